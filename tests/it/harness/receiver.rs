use std::process::Command;

use serde_json::{Value, json};

use super::{Process, free_port, until};

/// Python's receiver of `docs/how-to/webhooks.md`.
pub struct Receiver {
    process: Process,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Receiver {
    /// What a gateway's configuration needs, so that it may be told of something.
    pub const ALLOWED: &str = "[webhook]\nallowed_networks = [\"127.0.0.1\"]\n";

    pub fn start() -> Self {
        let guide = include_str!("../../../docs/how-to/webhooks.md");
        let (_, program) = guide.split_once("```python\n").unwrap();
        let (program, _) = program.split_once("```").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = Command::new("python3");
        command.args(["-c", program]).env("WEBHOOK_SECRET", SECRET);
        command.env("PORT", port.to_string());
        Self {
            process: Process::start(command, &directory.path().join("output")),
            port,
            _directory: directory,
        }
    }

    /// As a webhook policy names it.
    pub fn target(&self) -> Value {
        let address = format!("http://127.0.0.1:{}/hook", self.port);
        json!({"type": "http", "address": address, "secret": SECRET})
    }

    pub async fn until_it_prints(&self, line: &str) {
        until(line, async || {
            let output = self.process.output();
            output.lines().any(|printed| printed == line).then_some(())
        })
        .await;
    }
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
