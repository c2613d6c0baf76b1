use serde_json::{Value, json};

use super::{Config, journal::Journal};
use crate::embedded::Collected;

/// What a run has done so far, or in a dry run would have.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) deleted_manifests: u64,
    /// Manifests that could not be deleted.
    pub(super) failed: u64,
    pub(super) space: Space,
}

/// What became of the space.
#[derive(Debug)]
pub(super) enum Space {
    Collected(Collected),
    /// A remote registry keeps about so many bytes until it collects them itself.
    Left {
        bytes: u64,
    },
}

impl Default for Space {
    fn default() -> Self {
        Self::Collected(Collected::default())
    }
}

impl Outcome {
    /// As `job_parameters` of Harbor's API shows it; the first three are Harbor's.
    pub(super) fn report(&self, config: &Config) -> Value {
        let mut report = json!({
            "freed_space": 0, "purged_blobs": 0, "purged_manifests": self.deleted_manifests,
            "time_window": config.window_hours,
        });
        match &self.space {
            Space::Collected(collected) => {
                report["freed_space"] = collected.freed_bytes.into();
                report["purged_blobs"] = collected.deleted_blobs.into();
                report["quarantined_space"] = collected.quarantined_bytes.into();
                report["quarantined_blobs"] = collected.quarantined_blobs.into();
            }
            Space::Left { bytes } => {
                report["unreclaimed_space"] = (*bytes).into();
                report["note"] = REMOTE.into();
            }
        }
        report
    }

    pub(super) fn tell(&self, config: &Config, journal: &Journal) {
        journal.close();
        journal.line(format!("manifests deleted: {}", self.deleted_manifests));
        match &self.space {
            Space::Collected(collected) => {
                journal.line(format!(
                    "blobs taken out of repositories: {}",
                    collected.links
                ));
                journal.line(format!(
                    "blobs put into quarantine: {}, {} bytes; a run after {} hours deletes them",
                    collected.quarantined_blobs,
                    collected.quarantined_bytes,
                    config.quarantine_hours
                ));
                journal.line(format!(
                    "blobs deleted: {}; bytes freed: {}",
                    collected.deleted_blobs, collected.freed_bytes
                ));
            }
            Space::Left { bytes } => {
                journal.line(format!("{REMOTE}; about {bytes} bytes wait for it"));
            }
        }
    }
}

const REMOTE: &str = "the registry behind gives the space back when it collects garbage itself \
                      (distribution: `registry garbage-collect` while nobody pushes)";
