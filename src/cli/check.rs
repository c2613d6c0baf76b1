use std::process::ExitCode;

use super::{ConfigFile, block_on, say, sentence};
use crate::app::check;

/// Prints one line for each part, and fails when one of them is not fit.
pub(super) fn run(file: &ConfigFile) -> anyhow::Result<ExitCode> {
    let config = file.load_and_log()?;
    say("configuration: ok")?;
    block_on(async {
        let mut fit = true;
        for finding in check::all(&config).await {
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
    })
}
