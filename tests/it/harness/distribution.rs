use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{Gateway, Http, Process, free_port, until};

/// A running CNCF distribution (`docker-registry`).
pub struct Distribution {
    process: Process,
    directory: tempfile::TempDir,
    port: u16,
    trusted: Option<PathBuf>,
}

impl Distribution {
    /// Without authentication, deletion enabled.
    pub async fn start() -> Self {
        Self::with(|_| String::new()).await
    }

    pub async fn on_port(port: u16) -> Self {
        Self::launch(port, None, |_| String::new()).await
    }

    /// Tells the gateway, which shows itself with its own CA, of what happens to it.
    pub async fn notifying(port: u16, gateway: &Gateway, secret: &str) -> Self {
        let endpoint = format!(
            "notifications:\n  endpoints:\n    - name: tidegate\n      \
             url: {}/service/notifications\n      \
             headers: {{ Authorization: [Bearer {secret}] }}\n      \
             timeout: 10s\n      threshold: 100\n      backoff: 1s\n",
            gateway.url()
        );
        Self::launch(port, Some(&gateway.ca()), |_| endpoint).await
    }

    /// `more` is added to its YAML; it is given the registry's directory.
    pub async fn with(more: impl FnOnce(&Path) -> String) -> Self {
        Self::launch(free_port(), None, more).await
    }

    /// `trusted` is the CA of whom it talks to.
    async fn launch(port: u16, trusted: Option<&Path>, more: impl FnOnce(&Path) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            "version: 0.1\nlog: {{ level: warn }}\n\
             storage:\n  filesystem: {{ rootdirectory: {root}/data }}\n  delete: {{ enabled: true }}\n\
             http: {{ addr: 127.0.0.1:{port}, secret: tests }}\n{more}",
            root = directory.path().display(),
            more = more(directory.path()),
        );
        let path = directory.path().join("config.yml");
        std::fs::write(&path, config).unwrap();
        let registry = Self {
            process: serve(directory.path(), trusted),
            directory,
            port,
            trusted: trusted.map(Path::to_owned),
        };
        registry.until_answers().await;
        registry
    }

    async fn until_answers(&self) {
        let http = self.http();
        until("distribution answers", async || {
            http.try_send(http::Method::GET, "/v2/", &[], bytes::Bytes::new())
                .await
                .ok()
        })
        .await;
    }

    /// SIGKILL.
    pub fn die(&mut self) {
        self.process.kill();
    }

    /// Starts again what has died, with what it has stored.
    pub async fn come_back(&mut self) {
        self.process = serve(self.directory.path(), self.trusted.as_deref());
        self.until_answers().await;
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    pub fn http(&self) -> Http {
        Http::plain(&self.url())
    }

    /// Lines of the access log with this text.
    pub fn requests(&self, text: &str) -> Vec<String> {
        let output = self.process.output();
        let lines = output.lines().filter(|line| line.contains(text));
        lines.map(str::to_owned).collect()
    }

    /// Where it keeps its content.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Runs its own collector, which must not be done while somebody pushes.
    pub fn collect_garbage(&self) -> Output {
        let mut command = Command::new("docker-registry");
        command.arg("garbage-collect");
        command.arg(self.directory.path().join("config.yml"));
        command.output().unwrap()
    }

    /// Upload sessions of a repository that were neither ended nor cancelled.
    pub fn open_uploads(&self, repository: &str) -> usize {
        let repositories = self.data().join("docker/registry/v2/repositories");
        let uploads = repositories.join(repository).join("_uploads");
        std::fs::read_dir(uploads).map_or(0, Iterator::count)
    }

    /// The digest a tag has here, `None` when it has none.
    pub async fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let accept = [("accept", tidegate::oci::MANIFEST_MEDIA_TYPES)];
        let path = format!("/v2/{repository}/manifests/{tag}");
        let answer = self
            .http()
            .send(http::Method::HEAD, &path, &accept, bytes::Bytes::new())
            .await;
        (answer.status == 200).then(|| answer.header("docker-content-digest").to_owned())
    }
}

fn serve(directory: &Path, trusted: Option<&Path>) -> Process {
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(directory.join("config.yml"));
    if let Some(trusted) = trusted {
        command.env("SSL_CERT_FILE", trusted);
    }
    Process::start(command, &directory.join("output.log"))
}
