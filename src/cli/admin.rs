use std::{process::ExitCode, sync::Arc};

use clap::{Args, Subcommand};

use super::{ConfigFile, block_on, say};
use crate::{app, auth::Auth, clock::SystemClock};

#[derive(Debug, Args)]
pub(super) struct Admin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Gives a user a new, generated password and prints it; every login of theirs ends.
    ResetPassword {
        /// The user's name.
        user: String,
        #[command(flatten)]
        file: ConfigFile,
    },
}

impl Admin {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::ResetPassword { user, file } => reset_password(&user, &file),
        }
    }
}

fn reset_password(user: &str, file: &ConfigFile) -> anyhow::Result<ExitCode> {
    let config = file.load_and_log()?;
    block_on(async {
        let db = app::open_database(&config).await?;
        let auth = Auth::new(db.clone(), Arc::new(SystemClock), config.auth);
        let password = auth.reset_password(user, None).await?;
        db.close().await;
        say(&format!(
            "user {user}, password {} (shown only now)",
            password.expose()
        ))?;
        Ok(ExitCode::SUCCESS)
    })
}
