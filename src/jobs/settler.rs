//! Writes how runs ended, many in one transaction.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    Error, JobId, State,
    lease::Ending,
    lifecycle::Refused,
    queries::{self, Entry},
    queue::Inner,
    slots::Slot,
    system::queries::put_result,
};
use crate::{clock::Timestamp, failpoint, store::Tx};

/// A run that has ended, and the rest of its log.
#[derive(Debug)]
pub(super) struct Ended {
    pub slot: Arc<Slot>,
    pub ending: Ending,
    pub log: Vec<Entry>,
}

/// The way to the settler; it works while one of these is alive.
#[derive(Debug, Clone)]
pub(super) struct Settler(mpsc::Sender<(Ended, oneshot::Sender<Option<State>>)>);

impl Settler {
    /// Starts to settle for a runner with so many workers, until the last handle or `forsaken`.
    pub(super) fn start(inner: Arc<Inner>, workers: usize, forsaken: CancellationToken) -> Self {
        let (sender, receiver) = mpsc::channel(workers.max(1));
        tokio::spawn(forsaken.run_until_cancelled_owned(work(inner, receiver)));
        Self(sender)
    }

    /// Returns when the database has taken it, however long it is away. `None`: the run's lease
    /// was lost and it counts for nothing.
    pub(super) async fn settle(&self, ended: Ended) -> Option<State> {
        let (answer, settled) = oneshot::channel();
        // It fails only after `forsaken`, when nobody reads the answer.
        let _ = self.0.send((ended, answer)).await;
        settled.await.ok().flatten()
    }
}

/// Takes all that has ended by now into each transaction, and waits for nobody.
async fn work(
    inner: Arc<Inner>,
    mut receiver: mpsc::Receiver<(Ended, oneshot::Sender<Option<State>>)>,
) {
    let mut waiting = Vec::new();
    while receiver.recv_many(&mut waiting, BATCH_ROWS).await > 0 {
        let (ended, answers): (Vec<Ended>, Vec<_>) = waiting.drain(..).unzip();
        let states = settle_in_time(&inner, &ended).await;
        for (answer, state) in answers.into_iter().zip(states) {
            // Who does not wait any more has been forsaken at shutdown.
            let _ = answer.send(state);
        }
    }
}

async fn settle_in_time(inner: &Inner, ended: &[Ended]) -> Vec<Option<State>> {
    let mut pause = FIRST_PAUSE;
    loop {
        match inner.settle(ended).await {
            Ok(states) => return states,
            Err(error) => {
                let runs = ended.len();
                tracing::warn!(runs, "cannot write how runs ended, trying again: {error}");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Inner {
    /// Writes how runs ended and the rest of their logs. The answers stand in the same order;
    /// `None`: the run's lease was lost, and nothing of it was written.
    pub(super) async fn settle(&self, ended: &[Ended]) -> Result<Vec<Option<State>>, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let mut settled = self.succeed(&mut tx, ended, now).await?;
        settled.extend(self.end_otherwise(&mut tx, ended, now).await?);
        let log: Vec<&Entry> = ended
            .iter()
            .filter(|ended| settled.contains_key(&ended.slot.id))
            .flat_map(|ended| &ended.log)
            .collect();
        if !log.is_empty() {
            queries::append_log(&mut tx, &log).await?;
        }
        for run in ended.iter().map(|ended| &ended.slot) {
            if let (Some(result), true) = (run.result(), settled.contains_key(&run.id)) {
                put_result(&mut tx, run.id, &result).await?;
            }
        }
        let news = self.write_targets(&mut tx, ended, now).await?;
        failpoint::hit("jobs.settle_before_commit");
        tx.commit().await?;
        self.enter_targets(news, now);
        failpoint::hit("jobs.settle_committed");
        let states = ended.iter().map(|ended| settled.get(&ended.slot.id));
        Ok(states.map(Option::<&State>::copied).collect())
    }

    /// The many that went well, in one statement.
    async fn succeed(
        &self,
        tx: &mut Tx,
        ended: &[Ended],
        now: Timestamp,
    ) -> Result<HashMap<JobId, State>, Error> {
        let runs: Vec<(i64, i64)> = ended
            .iter()
            .filter(|ended| ended.ending == Ending::Succeeded)
            .map(|ended| (ended.slot.id.0, ended.slot.epoch))
            .collect();
        if runs.is_empty() {
            return Ok(HashMap::new());
        }
        queries::succeed(tx, &runs, now)
            .await?
            .into_iter()
            .map(|row| Ok((JobId(row.id), row.state()?)))
            .collect()
    }

    /// The others, each by its own transition.
    async fn end_otherwise(
        &self,
        tx: &mut Tx,
        ended: &[Ended],
        now: Timestamp,
    ) -> Result<HashMap<JobId, State>, Error> {
        let runs: HashMap<i64, &Ended> = ended
            .iter()
            .filter(|ended| ended.ending != Ending::Succeeded)
            .map(|ended| (ended.slot.id.0, ended))
            .collect();
        let ids: Vec<JobId> = runs.keys().copied().map(JobId).collect();
        let changed = self
            .transition(tx, &ids, now, |job, row| {
                let run = runs.get(&row.id).ok_or(Refused)?;
                let epoch = run.slot.epoch;
                match &run.ending {
                    Ending::Succeeded => job.succeed(epoch),
                    Ending::Partial(pause) => job.go_on(epoch, now.plus(*pause)),
                    Ending::Released => job.release(epoch),
                    Ending::Failed(failure) => job.fail(
                        epoch,
                        failure,
                        self.retry_at((job, &run.slot.lane), failure, now),
                    ),
                }
            })
            .await?;
        let settled = changed
            .iter()
            .map(|(row, next)| (JobId(row.id), next.state));
        Ok(settled.collect())
    }
}

/// Runs settled in one transaction, at most; more would keep other writers waiting.
const BATCH_ROWS: usize = 500;

/// Pauses between tries to write how runs ended.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
