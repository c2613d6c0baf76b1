use std::{net::SocketAddr, process::ExitCode};

use clap::Args;

use super::{block_on, say};
use crate::{
    app::demo::{self, Audience},
    server::Shutdown,
    telemetry,
};

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Where the gateway listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
}

/// Standard output.
struct Terminal;

impl Audience for Terminal {
    fn say(&self, line: &str) -> std::io::Result<()> {
        say(line)
    }
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = telemetry::Config {
            log_level: "warn".to_owned(),
            ..telemetry::Config::default()
        };
        telemetry::init(&config)?;
        block_on(async {
            let shutdown = Shutdown::default();
            tokio::spawn(shutdown.clone().on_signals());
            demo::run(self.listen, &Terminal, shutdown).await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}
