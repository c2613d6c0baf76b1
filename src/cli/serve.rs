use std::process::ExitCode;

use anyhow::Context;

use super::{ConfigFile, block_on};
use crate::{app::App, clock::SystemClock, server::Shutdown};

/// Serves until told to stop.
pub(super) fn run(file: &ConfigFile) -> anyhow::Result<ExitCode> {
    let config = file.load_and_log()?;
    block_on(async {
        let shutdown = Shutdown::default();
        let app = App::build(config, std::sync::Arc::new(SystemClock)).await?;
        if let Some(password) = app.first_password() {
            let password = password.expose();
            super::tell(&format!("user admin, password {password} (shown only now)"))
                .context("admin's password could not be shown; tidegate admin reset-password admin makes another")?;
        }
        tokio::spawn(shutdown.clone().on_signals());
        app.serve(shutdown).await?;
        Ok(ExitCode::SUCCESS)
    })
}
