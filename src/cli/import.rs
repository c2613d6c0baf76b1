use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{ConfigFile, block_on, say, tell};
use crate::{
    app::import::{self, ImportedUsers, Users},
    auth::{Role, users::Keep},
};

#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes users of an htpasswd file, who keep their passwords. Exit code 3: done, but some
    /// lines are not imported.
    Htpasswd(Htpasswd),
}

#[derive(Debug, Args)]
struct Htpasswd {
    /// The file; lines are `name:hash`.
    file: PathBuf,
    /// A project that those who are imported become members of.
    #[arg(long, value_name = "NAME", requires = "role")]
    project: Option<String>,
    /// Their role in it: projectAdmin, maintainer, developer, guest or limitedGuest.
    #[arg(long, value_name = "ROLE", requires = "project", value_parser = role)]
    role: Option<Role>,
    /// Says what would be done, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    config: ConfigFile,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Htpasswd(htpasswd) => htpasswd.run(),
        }
    }
}

impl Htpasswd {
    fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.config.load_and_log()?;
        let users = Users {
            membership: self.project.zip(self.role),
            keep: if self.dry_run { Keep::No } else { Keep::Yes },
        };
        let imported = block_on(import::htpasswd(&config, &self.file, &users))?;
        if let Some(password) = &imported.first_password {
            let password = password.expose();
            tell(&format!("user admin, password {password} (shown only now)")).context(
                "admin's password could not be shown; tidegate admin reset-password admin makes \
                 another",
            )?;
        }
        for line in &imported.report {
            say(line)?;
        }
        say(&summary(&imported, &users))?;
        Ok(done(imported.refused > 0))
    }
}

fn summary(imported: &ImportedUsers, users: &Users) -> String {
    let ImportedUsers {
        admitted,
        left_alone,
        refused,
        ..
    } = imported;
    let counts = format!("{admitted} imported, {left_alone} left alone, {refused} not imported");
    let next = match (&users.membership, users.keep) {
        (_, Keep::No) => "; nothing was changed (--dry-run)".to_owned(),
        (Some((project, role)), Keep::Yes) => format!("; role {} in {project}", role.as_str()),
        (None, Keep::Yes) if *admitted > 0 => "; they have no role yet: add them as members of \
             projects, or import them with --project and --role"
            .to_owned(),
        (None, Keep::Yes) => String::new(),
    };
    format!("{counts}{next}")
}

fn role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.as_str() == text);
    found.ok_or_else(|| {
        let names: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

fn done(something_is_left: bool) -> ExitCode {
    if something_is_left {
        ExitCode::from(SOMETHING_LEFT)
    } else {
        ExitCode::SUCCESS
    }
}

/// Done, and the report says what a person has to do besides.
const SOMETHING_LEFT: u8 = 3;
