use std::{
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::process::{Process, free_port};

/// A PostgreSQL server of the test's own, which may be taken away.
pub struct Postgres {
    /// None while it is away.
    process: Option<Process>,
    directory: TempDir,
    programs: PathBuf,
    port: u16,
}

impl Postgres {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        if let Some((user, group)) = other_user() {
            chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let server = Self {
            process: None,
            programs: newest(Path::new("/usr/lib/postgresql")).join("bin"),
            port: free_port(),
            directory,
        };
        let mut init = server.program("initdb");
        init.args(["-U", "tidegate", "--auth=trust", "-D"]);
        let output = init.arg(server.data()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut server = server;
        server.come_back().await;
        server
    }

    pub fn url(&self) -> String {
        format!("postgres://tidegate@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it as an administrator does, with every connection.
    pub async fn go_away(&mut self) {
        self.end("INT").await;
    }

    /// Ends it without a word to anybody; it recovers when it comes back.
    pub async fn crash(&mut self) {
        self.end("QUIT").await;
    }

    async fn end(&mut self, signal: &str) {
        let mut process = self.process.take().unwrap();
        process.signal(signal);
        process.wait().await;
    }

    pub async fn come_back(&mut self) {
        let mut server = self.program("postgres");
        server.arg("-D").arg(self.data()).arg("-k");
        server
            .arg(self.directory.path())
            .args(["-p", &self.port.to_string()]);
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        let log = self.directory.path().join("log");
        let mut process = Process::start(server, &log);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert_eq!(process.exited(), None, "{}", process.output());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        self.process = Some(process);
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// PostgreSQL refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.directory.path());
        if let Some((user, group)) = other_user() {
            command.uid(user).gid(group);
        }
        command
    }
}

fn newest(versions: &Path) -> PathBuf {
    let folders = std::fs::read_dir(versions).unwrap();
    folders.map(|folder| folder.unwrap().path()).max().unwrap()
}

/// The user and group `postgres`, if this is root.
fn other_user() -> Option<(u32, u32)> {
    let id = |arguments: [&str; 2]| {
        let output = Command::new("id").args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().parse::<u32>().unwrap()
    };
    let own = Command::new("id").arg("-u").output().unwrap();
    (own.stdout == b"0\n").then(|| (id(["-u", "postgres"]), id(["-g", "postgres"])))
}
