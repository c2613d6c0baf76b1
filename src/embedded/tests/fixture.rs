use std::{
    fs,
    path::{Path, PathBuf},
};

use http::{Request, StatusCode};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::{
    clock::{ManualClock, Timestamp},
    embedded::{Config, Durability, Registry},
    oci::{Digest, ErrorBody, media_type},
    wire::{Body, collect},
};

/// A registry in a folder of its own.
pub(super) struct Fixture {
    root: PathBuf,
    _folder: Option<TempDir>,
    registry: Option<Registry>,
    pub(super) clock: std::sync::Arc<ManualClock>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        Self::open(root, Some(folder))
    }

    /// In a folder that stays.
    #[cfg(feature = "failpoints")]
    pub(super) fn at(root: &Path) -> Self {
        Self::open(root.to_owned(), None)
    }

    fn open(root: PathBuf, folder: Option<TempDir>) -> Self {
        let mut fixture = Self {
            root,
            _folder: folder,
            registry: None,
            clock: ManualClock::at(Timestamp::from_seconds(0)),
        };
        fixture.reopen();
        fixture
    }

    /// As after a restart: nothing in memory stays.
    pub(super) fn reopen(&mut self) {
        self.reopen_with(&Config {
            durability: Durability::Cached,
            ..Config::default()
        });
    }

    pub(super) fn reopen_with(&mut self, config: &Config) {
        self.registry = None;
        let registry = Registry::open_with(self.root(), config, self.clock.clone());
        self.registry = Some(registry.unwrap());
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn registry(&self) -> &Registry {
        self.registry.as_ref().unwrap()
    }

    /// `target` is `METHOD path`.
    pub(super) async fn send(
        &self,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let (method, path) = target.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let response = self.registry().exchange().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: collect(body, usize::MAX).await.unwrap().into(),
        }
    }

    pub(super) async fn ask(&self, target: &str) -> Reply {
        self.send(target, &[], Body::Empty).await
    }

    /// Begins an upload; where it goes on.
    pub(super) async fn begin(&self, name: &str) -> String {
        let reply = self.ask(&format!("POST /v2/{name}/blobs/uploads/")).await;
        reply.is(202).header("location").to_owned()
    }

    pub(super) async fn push_blob(&self, name: &str, content: &[u8]) -> Digest {
        let digest = Digest::sha256(content);
        let target = format!("POST /v2/{name}/blobs/uploads/?digest={digest}");
        self.send(&target, &[], content.to_vec()).await.is(201);
        digest
    }

    pub(super) async fn put_manifest(&self, name: &str, reference: &str, json: &str) -> Reply {
        let target = format!("PUT /v2/{name}/manifests/{reference}");
        let kind = if json.contains("\"manifests\"") {
            media_type::OCI_INDEX
        } else {
            media_type::OCI_MANIFEST
        };
        let headers = [("content-type", kind)];
        self.send(&target, &headers, json.to_owned()).await
    }

    /// Pushes an image of one layer under `tag`; the digest of its manifest.
    pub(super) async fn push_image(&self, name: &str, tag: &str, layer: &[u8]) -> Digest {
        let json = self.image(name, layer, "").await;
        self.put_manifest(name, tag, &json).await.is(201);
        Digest::sha256(json.as_bytes())
    }

    /// Pushes the blobs of an image; its manifest.
    pub(super) async fn image(&self, name: &str, layer: &[u8], more: &str) -> String {
        self.push_blob(name, b"{}").await;
        self.push_blob(name, layer).await;
        image(layer, more)
    }
}

/// The manifest of an image of one layer, with `more` members (`,"subject":{…}`).
pub(super) fn image(layer: &[u8], more: &str) -> String {
    let (config, digest) = (Digest::sha256(b"{}"), Digest::sha256(layer));
    let size = layer.len();
    format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"{}","digest":"{config}","size":2}},"layers":[{{"mediaType":"{}","digest":"{digest}","size":{size}}}]{more}}}"#,
        media_type::OCI_CONFIG,
        media_type::OCI_LAYER_GZIP,
    )
}

impl Reply {
    #[track_caller]
    pub(super) fn is(&self, status: u16) -> &Self {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{body}");
        self
    }

    /// A refusal of the specification's form.
    #[track_caller]
    pub(super) fn refuses(&self, status: u16, code: &str) -> &Self {
        self.is(status);
        let body: ErrorBody = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body.errors.len(), 1);
        assert_eq!(body.errors[0].code, code, "{}", body.errors[0].message);
        assert!(!body.errors[0].message.is_empty());
        self
    }

    #[track_caller]
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .unwrap_or_else(|| panic!("no {name}"))
            .to_str()
            .unwrap()
    }

    /// The target of a `Link` to the next page.
    pub(super) fn next_page(&self) -> Option<String> {
        let link = self.headers.get("link")?.to_str().unwrap();
        let target = link.strip_suffix(">; rel=\"next\"").unwrap();
        Some(target.strip_prefix('<').unwrap().to_owned())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Every file below a folder, which may be gone.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
