use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{ConfigFile, block_on, say, tell};
use crate::{
    app::import::{self, ImportedUsers, Users},
    auth::{Role, users::Keep},
    import::nginx,
};

#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes the configuration of a registry that nginx serves, and what became of each
    /// directive. Exit code 3: done, but something is left to do.
    Nginx(Nginx),
    /// Makes users of an htpasswd file, who keep their passwords. Exit code 3: done, but some
    /// lines are not imported.
    Htpasswd(Htpasswd),
}

#[derive(Debug, Args)]
struct Nginx {
    /// nginx's configuration: the whole, or a file of it with the registry's server.
    file: PathBuf,
    /// Where to write; no file is overwritten. `-` is standard output, the report then goes to
    /// standard error.
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// A name in the `server_name` of the registry's server, where it could be several.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// The registry's address, where it is not fixed in the file.
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where relative paths begin; without it the folder above FILE with an nginx.conf, or else
    /// FILE's own.
    #[arg(long, value_name = "FOLDER")]
    prefix: Option<PathBuf>,
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
            Command::Nginx(nginx) => nginx.run(),
            Command::Htpasswd(htpasswd) => htpasswd.run(),
        }
    }
}

impl Nginx {
    fn run(self) -> anyhow::Result<ExitCode> {
        let options = nginx::Options {
            server_name: self.server_name,
            upstream: self.upstream,
            folder: self.prefix,
        };
        let imported = import::nginx(&self.file, &options)?;
        let report = if self.output == Path::new("-") {
            say(imported.toml.trim_end())?;
            tell
        } else {
            import::write_new(&self.output, &imported.toml)?;
            say
        };
        for line in &imported.report {
            report(&line.to_string())?;
        }
        Ok(done(imported.report.iter().any(nginx::Line::is_left)))
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
