use std::process::ExitCode;

use super::{ConfigFile, block_on, say};
use crate::app;

/// Brings the schema up to date and says so.
pub(super) fn run(file: &ConfigFile) -> anyhow::Result<ExitCode> {
    let config = file.load_and_log()?;
    block_on(async {
        app::open_database(&config).await?.close().await;
        say("the database is up to date")?;
        Ok(ExitCode::SUCCESS)
    })
}
