use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, block_on, say};
use crate::app;

#[derive(Debug, Args)]
pub(super) struct Sync {
    /// Only the repositories of this project.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

impl Sync {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.file.load_and_log()?;
        block_on(async {
            // Who has closed the other end of the pipe does not want to read on.
            app::sync::run(config, self.project, |line| drop(say(line))).await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}
