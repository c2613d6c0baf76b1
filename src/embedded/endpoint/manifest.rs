use std::sync::Arc;

use http::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_TYPE, ETAG},
    request::Parts,
};

use super::conditional::{etag, is_known};
use crate::{
    embedded::{
        Registry,
        answer::{Answer, CONTENT_DIGEST, Draft, OCI_SUBJECT, OCI_TAG, created},
        disk::{Disk, StoredManifest},
        error::Failure,
    },
    oci::{Digest, ErrorCode, MAX_MANIFEST_BYTES, Manifest, Reference, RepositoryName, Tag},
    wire::{Body, CollectError, Looking, collect},
};

/// Where a manifest is pushed.
#[derive(Debug)]
pub(in crate::embedded) struct Target {
    pub(in crate::embedded) name: RepositoryName,
    pub(in crate::embedded) reference: Reference,
    /// Further tags, with a push by digest.
    pub(in crate::embedded) tags: Vec<Tag>,
}

impl Registry {
    pub(in crate::embedded) async fn manifests(
        &self,
        target: Target,
        request: &Parts,
        body: Body,
    ) -> Answer {
        let headers = &request.headers;
        match request.method {
            Method::PUT => self.put_manifest(target, headers, body).await,
            Method::DELETE => self.delete_manifest(target.name, target.reference).await,
            Method::HEAD if request.extensions.get::<Looking>().is_none() => {
                self.manifest(target, headers, Disk::promise_manifest).await
            }
            _ => self.manifest(target, headers, Disk::manifest).await,
        }
    }

    /// `GET` and `HEAD /v2/<name>/manifests/<reference>`: end-3. `Accept` is not asked: there is
    /// one form of every manifest.
    async fn manifest(&self, target: Target, headers: &HeaderMap, find: Find) -> Answer {
        let disk = Arc::clone(&self.disk);
        let Target {
            name, reference, ..
        } = target;
        let asked = reference.clone();
        let found = self.threads.run(move || find(&disk, &name, &asked)).await?;
        let stored = found.ok_or_else(|| unknown(&reference))?;
        let describe = |status| {
            Draft::new(status)
                .header(CONTENT_DIGEST, stored.digest.as_str())
                .header(ETAG, &etag(&stored.digest))
        };
        if is_known(headers, &stored.digest) {
            return Ok(describe(StatusCode::NOT_MODIFIED).empty());
        }
        Ok(describe(StatusCode::OK).bytes(&stored.media_type, stored.bytes))
    }

    /// `PUT /v2/<name>/manifests/<reference>`: end-7.
    async fn put_manifest(&self, target: Target, headers: &HeaderMap, body: Body) -> Answer {
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let Some(content_type) = content_type else {
            return Err(Failure::refused(
                ErrorCode::ManifestInvalid,
                "a manifest needs a Content-Type header with its media type",
            ));
        };
        let bytes = collect(body, MAX_MANIFEST_BYTES)
            .await
            .map_err(|error| unread(&error))?;
        let manifest = Manifest::parse(content_type, &bytes)
            .map_err(|error| Failure::refused(ErrorCode::ManifestInvalid, error.to_string()))?;
        let Target {
            name,
            reference,
            tags,
        } = target;
        let mut echoed = Vec::new();
        let (digest, tags) = match reference {
            Reference::Digest(digest) => {
                echoed.clone_from(&tags);
                (check_digest(digest, &bytes)?, tags)
            }
            Reference::Tag(tag) if tags.is_empty() => (Digest::sha256(&bytes), vec![tag]),
            Reference::Tag(_) => return Err(tags_twice()),
        };
        let stored = StoredManifest {
            digest: digest.clone(),
            media_type: manifest.media_type.clone(),
            bytes: bytes.into(),
        };
        let mut draft = created(&name, "manifests", &digest);
        if let Some(subject) = &manifest.subject {
            draft = draft.header(OCI_SUBJECT, subject.digest.as_str());
        }
        for tag in &echoed {
            draft = draft.header(OCI_TAG, tag.as_str());
        }
        let disk = Arc::clone(&self.disk);
        self.threads
            .run(move || disk.put_manifest(&name, &stored, &manifest, &tags))
            .await?;
        Ok(draft.empty())
    }

    /// `DELETE /v2/<name>/manifests/<reference>`: end-9. A tag goes alone; a digest takes the
    /// tags that point to it along.
    async fn delete_manifest(&self, name: RepositoryName, reference: Reference) -> Answer {
        let disk = Arc::clone(&self.disk);
        let asked = reference.clone();
        let deleted = self
            .threads
            .run(move || match asked {
                Reference::Tag(tag) => disk.delete_tag(&name, &tag),
                Reference::Digest(digest) => disk.delete_manifest(&name, &digest),
            })
            .await?;
        if deleted {
            Ok(Draft::new(StatusCode::ACCEPTED).empty())
        } else {
            Err(unknown(&reference))
        }
    }
}

/// How a manifest is found on the disk.
type Find = fn(&Disk, &RepositoryName, &Reference) -> Result<Option<StoredManifest>, Failure>;

fn check_digest(digest: Digest, bytes: &[u8]) -> Result<Digest, Failure> {
    let found = Digest::of(digest.algorithm(), bytes);
    if found == digest {
        return Ok(digest);
    }
    Err(Failure::refused(
        ErrorCode::DigestInvalid,
        format!("the manifest has the digest {found}, not {digest}"),
    ))
}

fn unread(error: &CollectError) -> Failure {
    let code = match error {
        CollectError::TooLarge { .. } => ErrorCode::ManifestTooLarge,
        CollectError::Read(_) => ErrorCode::ManifestInvalid,
    };
    Failure::refused(code, format!("the manifest cannot be read: {error}"))
}

fn unknown(reference: &Reference) -> Failure {
    Failure::refused(
        ErrorCode::ManifestUnknown,
        format!("the repository has no manifest {reference}"),
    )
}

fn tags_twice() -> Failure {
    Failure::refused(
        ErrorCode::BadRequest,
        "`tag` parameters go with a push by digest; this push names a tag in its path",
    )
}
