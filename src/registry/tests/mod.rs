//! The client against a real registry (`distribution.rs`), and against a peer that does what no
//! good registry does (`faults.rs`, `challenges.rs`, `leading.rs`).

mod challenges;
mod distribution;
mod faults;
mod leading;
mod peer;
mod pings;
mod providers;
mod proxies;

use std::{path::Path, process::Stdio, sync::Arc};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{Client, Config, Credential, Endpoint, Error, PutManifest, Remote};
use crate::{
    clock::SystemClock,
    oci::{Digest, Reference, RepositoryName, media_type},
    secret::Secret,
    tls,
};
pub(super) use leading::Told;

/// A `docker-registry` of its own on a free port; ends with this value.
pub(crate) struct Distribution {
    address: String,
    _process: Child,
    directory: TempDir,
}

pub(crate) enum Setup {
    Open,
    /// As `alice` with `wonderland`.
    Htpasswd,
    /// Open, over TLS with a certificate of its own CA, which [`Distribution::ca`] gives.
    Tls,
}

impl Distribution {
    pub(crate) async fn start(setup: Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().display();
        let (mut auth, mut tls) = (String::new(), String::new());
        match setup {
            Setup::Open => {}
            Setup::Tls => {
                let clock = Arc::new(SystemClock);
                tls::Server::load(&tls::Config::default(), directory.path(), &[], clock).unwrap();
                tls =
                    format!(", tls: {{certificate: {root}/tls/tls.crt, key: {root}/tls/tls.key}}");
            }
            Setup::Htpasswd => {
                std::fs::write(directory.path().join("htpasswd"), ALICE).unwrap();
                auth = format!("auth: {{htpasswd: {{realm: r, path: {root}/htpasswd}}}}\n");
            }
        }
        let config = format!(
            "version: 0.1\n\
             log: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {root}/data}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '127.0.0.1:0', secret: x{tls}}}\n\
             {auth}"
        );
        let (address, process) = serve(directory.path(), &config).await;
        Self {
            address,
            _process: process,
            directory,
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        plain_endpoint(&self.address)
    }

    pub(crate) fn ca(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("tls/ca.crt")).unwrap()
    }

    fn client(&self) -> Client {
        client(&self.endpoint())
    }
}

/// Starts a `docker-registry` on a configuration that lets it choose its port; its address.
pub(crate) async fn serve(directory: &Path, config: &str) -> (String, Child) {
    let path = directory.join("config.yml");
    std::fs::write(&path, config).unwrap();
    let mut process = Command::new("docker-registry")
        .arg("serve")
        .arg(path)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("docker-registry is installed (Debian package docker-registry)");
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
    let address = loop {
        let line = log
            .next_line()
            .await
            .unwrap()
            .expect("docker-registry starts");
        if let Some((_before, after)) = line.split_once("listening on ") {
            break after
                .chars()
                .take_while(|c| c.is_ascii_digit() || ".:".contains(*c))
                .collect();
        }
    };
    // A full pipe would stop the registry.
    tokio::spawn(async move { while let Ok(Some(_line)) = log.next_line().await {} });
    (address, process)
}

fn plain_endpoint(address: &str) -> Endpoint {
    Endpoint::new(format!("http://{address}").parse().unwrap())
}

fn client(endpoint: &Endpoint) -> Client {
    client_with(endpoint, &Config::default())
}

fn client_with(endpoint: &Endpoint, config: &Config) -> Client {
    Client::new(Remote::challenged(endpoint, config).unwrap().exchange())
}

pub(crate) fn alice(password: &str) -> Credential {
    Credential::Basic {
        username: "alice".into(),
        password: Secret::new(password),
    }
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn tag(text: &str) -> Reference {
    text.parse().unwrap()
}

async fn put_v1(client: &Client, repository: &str, bytes: Bytes) -> Result<PutManifest, Error> {
    let (name, reference) = (name(repository), tag("v1"));
    let put = client.put_manifest(&name, &reference, media_type::OCI_MANIFEST, bytes);
    put.await
}

/// An image manifest of one blob that is config and layer.
fn manifest_of(blob: &Digest, size: usize) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{blob}","size":{size}}},"layers":[]}}"#
    )
}

/// bcrypt of `wonderland`.
const ALICE: &str = "alice:$2b$05$abcdefghijklmnopqrstuuA0vov2GDneHB3.8.cv9UF9g.RdvScIW\n";
