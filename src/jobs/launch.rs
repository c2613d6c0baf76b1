//! Jobs that people launch, as against those that the gateway's own work enqueues.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;

use super::{Error, Handler, JobId, Jobs, NewJob};
use crate::secret;

/// Parameters that a kind takes from people; the error says in words what is wrong with them.
pub type ByHand = fn(&Value) -> Result<(), String>;

/// The kinds that a runner runs.
pub(super) type Kinds = BTreeMap<&'static str, Kind>;

/// What is known of a kind.
#[derive(Debug)]
pub(super) struct Kind {
    by_hand: Option<ByHand>,
    keeps: Option<u32>,
}

/// What a person wants to run.
#[derive(Debug, Clone)]
pub struct Launch {
    pub kind: String,
    pub params: Value,
    pub delay: Duration,
    /// Refuse while a job that was launched so, of this kind and with these parameters, lives.
    pub is_unique: bool,
}

impl Jobs {
    /// Enqueues a job of a kind whose handler takes jobs from people.
    pub async fn launch(&self, launch: Launch) -> Result<JobId, Error> {
        self.check(&launch.kind, &launch.params)?;
        let suffix = if launch.is_unique {
            format!(
                "unique/{}",
                hex::encode(secret::sha256(launch.params.to_string().as_bytes()))
            )
        } else {
            hex::encode(secret::random_bytes::<8>())
        };
        let run_at = self.inner.clock.now().plus(launch.delay);
        let job = NewJob::new(launch.kind, format!("launched/{suffix}"), launch.params);
        let mut tx = self.inner.db.begin().await?;
        let enqueued = self.enqueue(&mut tx, job.at(run_at)).await?;
        if enqueued.coalesced {
            return Err(Error::NotUnique(enqueued.id));
        }
        tx.commit().await?;
        self.wake();
        Ok(enqueued.id)
    }

    /// The kinds that this process runs.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.inner
            .kinds
            .get()
            .into_iter()
            .flatten()
            .map(|kind| *kind.0)
    }

    pub(super) fn know_kinds(&self, handlers: &BTreeMap<&'static str, Arc<dyn Handler>>) {
        let kinds = handlers.iter();
        let kinds = kinds.map(|(kind, handler)| {
            let (by_hand, keeps) = (handler.by_hand(), handler.keeps());
            (*kind, Kind { by_hand, keeps })
        });
        // A second runner over the same queue has the same handlers.
        let _ = self.inner.kinds.set(kinds.collect());
    }

    /// The kinds of which so many jobs that are over stay.
    pub(super) fn kept(&self) -> Vec<(&'static str, u32)> {
        let kinds = self.inner.kinds.get().into_iter().flatten();
        kinds
            .filter_map(|(name, kind)| Some((*name, kind.keeps?)))
            .collect()
    }

    fn check(&self, kind: &str, params: &Value) -> Result<(), Error> {
        let known = self.inner.kinds.get().and_then(|kinds| kinds.get(kind));
        let refused = match known.map(|kind| kind.by_hand) {
            None => format!("there is no job of the name `{kind}`"),
            Some(None) => format!("jobs of the name `{kind}` are not launched by hand"),
            Some(Some(check)) => match check(params) {
                Ok(()) => return Ok(()),
                Err(why) => format!("the parameters do not fit a job of the name `{kind}`: {why}"),
            },
        };
        Err(Error::Unlaunchable(refused))
    }
}
