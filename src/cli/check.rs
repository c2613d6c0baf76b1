use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, block_on, say, sentence};
use crate::{
    app::check::{self, Finding},
    server::ExternalUrl,
};

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    file: ConfigFile,
    /// Looks only at the way to the gateway that clients reach at this address, from here.
    #[arg(long, value_name = "URL", conflicts_with = "config", value_parser = address)]
    url: Option<ExternalUrl>,
}

impl Check {
    /// Prints one line for each part, and fails when one of them is not fit.
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        if let Some(url) = &self.url {
            return block_on(async { show(check::the_way_to(url).await) });
        }
        let config = self.file.load_and_log()?;
        say("configuration: ok")?;
        block_on(async { show(check::all(&config).await) })
    }
}

fn show(findings: Vec<Finding>) -> anyhow::Result<ExitCode> {
    let mut fit = true;
    for finding in findings {
        match finding.outcome {
            Ok(detail) => say(&format!("{}: ok, {detail}", finding.part))?,
            Err(problem) => {
                fit = false;
                say(&format!("{}: {}", finding.part, sentence(&problem)))?;
            }
        }
    }
    Ok(if fit {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn address(text: &str) -> Result<ExternalUrl, String> {
    ExternalUrl::try_from(text.to_owned())
}
