use std::{
    path::PathBuf,
    process::{Command, Output},
};

use super::{Gateway, Image, Process, gateway::PASSWORD, until};

/// skopeo, signed in at one gateway.
pub struct Skopeo {
    certificates: PathBuf,
    credentials: String,
}

impl Skopeo {
    pub fn at(gateway: &Gateway, user: &str) -> Self {
        Self::with(gateway, user, PASSWORD)
    }

    pub fn with(gateway: &Gateway, user: &str, password: &str) -> Self {
        Self {
            certificates: gateway.certificates(),
            credentials: format!("{user}:{password}"),
        }
    }

    /// Trusting what is in a directory of certificates.
    pub fn trusting(certificates: &std::path::Path, user: &str, password: &str) -> Self {
        Self {
            certificates: certificates.into(),
            credentials: format!("{user}:{password}"),
        }
    }

    /// Pushes an image and returns what skopeo said; the test asks whether it went well.
    pub fn push(&self, image: &Image, name: &str) -> Output {
        let mut command = Command::new("skopeo");
        command
            .args([
                "copy",
                "--preserve-digests",
                "--dest-creds",
                &self.credentials,
            ])
            .arg("--dest-cert-dir")
            .arg(&self.certificates);
        run(command.arg(image.source()).arg(format!("docker://{name}")))
    }

    pub fn pull(&self, name: &str, into: &std::path::Path) -> Output {
        let mut command = Command::new("skopeo");
        command
            .args([
                "copy",
                "--preserve-digests",
                "--src-creds",
                &self.credentials,
            ])
            .arg("--src-cert-dir")
            .arg(&self.certificates);
        run(command
            .arg(format!("docker://{name}"))
            .arg(format!("oci:{}", into.display())))
    }

    /// `inspect`, `delete`, `list-tags`: what takes one name.
    pub fn run(&self, verb: &str, name: &str) -> Output {
        let mut command = Command::new("skopeo");
        command
            .args([verb, "--creds", &self.credentials, "--cert-dir"])
            .arg(&self.certificates);
        run(command.arg(format!("docker://{name}")))
    }
}

/// podman with storage of its own.
pub struct Podman {
    directory: tempfile::TempDir,
    certificates: PathBuf,
}

impl Podman {
    pub fn at(gateway: &Gateway) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            certificates: gateway.certificates(),
        }
    }

    /// Runs podman; `--cert-dir` goes after the verb.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command
            .arg(arguments[0])
            .arg("--cert-dir")
            .arg(&self.certificates)
            .args(&arguments[1..]);
        run(&mut command)
    }

    /// Runs a verb that talks to no registry.
    pub fn local(&self, arguments: &[&str]) -> Output {
        run(self.command().args(arguments))
    }

    fn command(&self) -> Command {
        let directory = self.directory.path();
        let mut command = Command::new("podman");
        command
            .args(["--storage-driver", "vfs", "--root"])
            .arg(directory.join("root"));
        command.arg("--runroot").arg(directory.join("run"));
        command.env("REGISTRY_AUTH_FILE", directory.join("auth.json"));
        command
    }
}

/// The docker client and an engine of its own, without a network.
pub struct Docker {
    _engine: Process,
    directory: tempfile::TempDir,
}

impl Docker {
    pub async fn start(gateway: &Gateway) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let trusted = PathBuf::from("/etc/docker/certs.d").join(gateway.host());
        std::fs::create_dir_all(&trusted).unwrap();
        std::fs::copy(gateway.ca(), trusted.join("ca.crt")).unwrap();
        let mut command = Command::new("dockerd");
        command.args([
            "--iptables=false",
            "--ip6tables=false",
            "--bridge=none",
            "--storage-driver=vfs",
        ]);
        command
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"));
        command
            .arg("--pidfile")
            .arg(at("pid"))
            .arg("-H")
            .arg(format!("unix://{}", at("socket").display()));
        let engine = Process::start(command, &at("output.log"));
        let docker = Self {
            _engine: engine,
            directory,
        };
        until("the engine answers", async || {
            docker.run(&["version"]).status.success().then_some(())
        })
        .await;
        docker
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let socket = format!("unix://{}", self.directory.path().join("socket").display());
        let mut command = Command::new("docker");
        command
            .arg("--config")
            .arg(self.directory.path().join("config"))
            .args(["-H", &socket]);
        run(command.args(arguments))
    }
}

/// Fails the test with all that was said unless the command went well.
pub trait Succeeds {
    fn succeeds(self) -> String;
}

impl Succeeds for Output {
    #[track_caller]
    fn succeeds(self) -> String {
        let said = String::from_utf8_lossy(&self.stdout).into_owned();
        assert!(
            self.status.success(),
            "{}\n{said}{}",
            self.status,
            String::from_utf8_lossy(&self.stderr)
        );
        said
    }
}

fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
