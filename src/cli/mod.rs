//! The command line: arguments in; one sentence and an exit code out.
//!
//! Exit codes: 0 done, 1 it did not work (one sentence on standard error says why), 2 the
//! arguments are wrong, 3 an import is done, but something of its file was left out. `serve` ends
//! with 1 when a second signal or the drain timeout cut work.
//! Each command is a file here; what they do stands in `app`.

mod admin;
mod check;
mod demo;
mod import;
mod migrate;
mod serve;
mod sync;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};

use crate::{config::Config, telemetry};

/// A registry gateway: TLS, docker login, role-based tokens, an unbuffered proxy and durable
/// replication in one binary.
///
/// Exit codes: 0 done; 1 it did not work, one sentence on standard error says why; 2 the
/// arguments are wrong; 3 an import is done, its report says what was left out.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows a push through a gateway arriving at a mirror; needs nothing else, changes nothing.
    Demo(demo::Demo),
    /// Runs the gateway until SIGTERM or Ctrl-C; a second signal ends it at once, with exit code
    /// 1 if work was cut.
    Serve(ConfigFile),
    /// Says whether configuration, certificate, database, upstream and the proxies on the way from
    /// clients are fit, and how to mend them.
    Check(check::Check),
    /// Brings the database's schema up to date.
    Migrate(ConfigFile),
    /// Makes lists, counts and sizes equal to what the registry holds. Cut, it goes on where it
    /// was; beside a running gateway it is done by that.
    Sync(sync::Sync),
    /// Takes over what nginx had: its configuration, and the users of its htpasswd file.
    Import(import::Import),
    /// Administers the gateway from its own machine.
    Admin(admin::Admin),
}

/// Which configuration a command works with.
#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file; without it ./tidegate.toml where that exists, else the defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(self.config.as_deref(), std::env::vars())?)
    }

    /// Loads the configuration and starts logging as it says.
    fn load_and_log(&self) -> anyhow::Result<Config> {
        let config = self.load()?;
        telemetry::init(&config.telemetry)?;
        Ok(config)
    }
}

/// Parses the process's arguments and runs the command.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap knows which stream and code they take.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let outcome = match cli.command {
        Command::Demo(demo) => demo.run(),
        Command::Serve(file) => serve::run(&file),
        Command::Check(check) => check.run(),
        Command::Migrate(file) => migrate::run(&file),
        Command::Sync(sync) => sync.run(),
        Command::Import(import) => import.run(),
        Command::Admin(admin) => admin.run(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// One sentence: an error's causes are left out where its own text tells them already.
fn say_error(error: &anyhow::Error) {
    // Nobody is left to be told when this fails.
    drop(tell(&format!("tidegate: {}", sentence(error))));
}

fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}

/// Writes one line to standard output: what the command was asked for.
fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Writes one line to standard error: what a person should know besides.
fn tell(line: &str) -> io::Result<()> {
    writeln!(io::stderr(), "{line}")
}

/// Runs a command's future on a runtime of its own. Tasks that are still stuck when it is done
/// do not keep the process.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(future);
    runtime.shutdown_timeout(STUCK_TASKS);
    outcome
}

/// How long tasks that block may go on when a command is done.
const STUCK_TASKS: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn an_error_tells_each_cause_once() {
        let inner = io::Error::other("no space left");
        let error = anyhow::Error::new(inner).context("cannot write x: no space left");
        assert_eq!(sentence(&error), "cannot write x: no space left");
        let error = anyhow::anyhow!("inner").context("outer");
        assert_eq!(sentence(&error), "outer: inner");
    }

    #[test]
    fn every_command_has_help() {
        Cli::command().debug_assert();
        let mut command = Cli::command();
        command.build();
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{}", sub.get_name());
        }
    }
}
