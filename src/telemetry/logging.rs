use std::{io::IsTerminal, path::PathBuf};

use tracing_subscriber::{
    Layer, Registry, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt,
};

/// `[telemetry]`: what is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub log_format: LogFormat,
    /// A level (`error`, `warn`, `info`, `debug`, `trace`), or a comma-separated list of
    /// `target=level` with an optional bare level: `info,tidegate::replication=debug`.
    pub log_level: String,
    pub access_log: AccessLogFormat,
    /// The file of the access log; `None`: standard output.
    pub access_log_path: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Text,
            log_level: "info".into(),
            access_log: AccessLogFormat::Json,
            access_log_path: None,
        }
    }
}

/// The form of log lines on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// The form of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLogFormat {
    /// One JSON object a line.
    Json,
    /// nginx's `combined`, for tools that read it; it has no place for request id and duration.
    /// Times are in UTC.
    Combined,
    Off,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "telemetry.log_level: \"{value}\" is not a level or a list of target=level; \
         write for example \"info\" or \"info,tidegate::proxy=debug\""
    )]
    Level { value: String },
    #[error("logging is set up already")]
    AlreadySet,
}

/// Sends the log lines of this process to standard error. Call once, early in `main`.
pub fn init(config: &Config) -> Result<(), Error> {
    let filter = filter(&config.log_level)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.log_format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
    };
    Registry::default()
        .with(lines.with_filter(filter))
        .try_init()
        .map_err(|_already| Error::AlreadySet)
}

fn filter(level: &str) -> Result<Targets, Error> {
    let refused = || Error::Level {
        value: level.to_owned(),
    };
    let names_only_levels = level
        .split(',')
        .map(|part| part.rsplit('=').next().unwrap_or(part).trim())
        .all(|part| LEVELS.contains(&part.to_ascii_lowercase().as_str()));
    if !names_only_levels {
        return Err(refused());
    }
    level.parse().map_err(|_parse| refused())
}

/// `Targets` would read an unknown word as a target at level trace, so words are checked first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_filter_by_target() {
        let filter = filter("warn,tidegate::proxy=debug").unwrap();
        assert!(filter.would_enable("tidegate::proxy", &Level::DEBUG));
        assert!(!filter.would_enable("tidegate::jobs", &Level::INFO));
        assert!(filter.would_enable("tidegate::jobs", &Level::WARN));
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for level in ["loud", "", "info,tidegate=loud", "tidegate"] {
            let error = filter(level).unwrap_err().to_string();
            assert!(error.contains(&format!("\"{level}\"")), "{error}");
        }
    }
}
