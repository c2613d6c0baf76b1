use std::{path::PathBuf, process::Command};

use super::Succeeds;

/// Python with what `tests/harbor/requirements.txt` names.
pub struct Python;

impl Python {
    /// A command that runs the script; the environment is made at its first use.
    pub fn command(script: &str) -> Command {
        let mut command = Command::new(Self::environment().join("bin/python"));
        command
            .arg(script)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn environment() -> PathBuf {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("harbor-venv");
        let made = Command::new("tests/harbor/venv")
            .arg(&directory)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output();
        made.unwrap().succeeds();
        directory
    }
}
