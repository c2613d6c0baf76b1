use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{Wish, promotion, queries};
use crate::{
    clock::SharedClock,
    failpoint,
    jobs::Jobs,
    replication::{Error, IntentId},
    store::{Db, Tx},
};

/// Writes intents: one task that commits together what came while it committed.
#[derive(Debug, Clone)]
pub(in crate::replication) struct Writer {
    sender: mpsc::Sender<Entry>,
}

/// What the writing task needs.
#[derive(Debug)]
pub(in crate::replication) struct Desk {
    pub db: Db,
    pub jobs: Jobs,
    pub clock: SharedClock,
    /// Names this life of the process.
    pub boot: Arc<str>,
    /// Whether the last transaction found no database.
    pub is_away: bool,
}

#[derive(Debug)]
struct Entry {
    work: Work,
    reply: oneshot::Sender<Result<Vec<IntentId>, Error>>,
}

#[derive(Debug)]
enum Work {
    Record(Vec<Wish>),
    Confirm(Vec<Wish>, Vec<IntentId>),
    Withdraw(Vec<IntentId>),
}

impl Writer {
    /// The writer and the loop that serves it, which ends when the last writer is dropped.
    pub(in crate::replication) fn new(
        desk: Desk,
        capacity: usize,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        (Self { sender }, desk.serve(receiver))
    }

    pub(super) async fn record(&self, wishes: Vec<Wish>) -> Result<Vec<IntentId>, Error> {
        let (reply, answer) = oneshot::channel();
        let work = Work::Record(wishes);
        self.sender
            .try_send(Entry { work, reply })
            .map_err(|_full_or_closed| Error::Overloaded)?;
        answer.await.map_err(|_writer_gone| Error::Overloaded)?
    }

    pub(super) async fn confirm(
        &self,
        wishes: Vec<Wish>,
        intents: Vec<IntentId>,
    ) -> Result<(), Error> {
        self.conclude(Work::Confirm(wishes, intents)).await
    }

    pub(super) async fn withdraw(&self, intents: Vec<IntentId>) -> Result<(), Error> {
        self.conclude(Work::Withdraw(intents)).await
    }

    /// Conclusions wait for their turn: each frees what a record has taken.
    async fn conclude(&self, work: Work) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.sender
            .send(Entry { work, reply })
            .await
            .map_err(|_closed| Error::Overloaded)?;
        answer.await.map_err(|_writer_gone| Error::Overloaded)??;
        Ok(())
    }
}

impl Desk {
    async fn serve(mut self, mut receiver: mpsc::Receiver<Entry>) {
        let mut batch = Vec::new();
        while receiver.recv_many(&mut batch, MAX_BATCH).await > 0 {
            let entries = std::mem::take(&mut batch);
            self.commit_together(entries).await;
        }
    }

    /// One transaction for all; when it fails, one for each, so that none suffers for another.
    async fn commit_together(&mut self, entries: Vec<Entry>) {
        let committed = self.commit(&entries).await;
        self.is_away = committed.as_ref().is_err_and(Error::retryable);
        match committed {
            Ok(answers) => {
                for (entry, intents) in entries.into_iter().zip(answers) {
                    entry.answer(Ok(intents));
                }
            }
            Err(error) if entries.len() == 1 || error.retryable() => {
                for entry in entries {
                    entry.answer(Err(Error::Unrecorded(error.to_string())));
                }
            }
            Err(_of_some_entry) => {
                for entry in entries {
                    let one = std::slice::from_ref(&entry);
                    let answer = self.commit(one).await.map(|answers| answers.concat());
                    entry.answer(answer);
                }
            }
        }
    }

    /// Who pushes while the database is away does not wait for it as long as the first did.
    async fn begin(&self) -> Result<Tx, Error> {
        let begun = if self.is_away {
            self.db.begin_within(WHILE_AWAY).await
        } else {
            self.db.begin().await
        };
        Ok(begun?)
    }

    async fn commit(&self, entries: &[Entry]) -> Result<Vec<Vec<IntentId>>, Error> {
        let mut tx = self.begin().await?;
        let mut answers = Vec::with_capacity(entries.len());
        for entry in entries {
            answers.push(self.perform(&mut tx, &entry.work).await?);
        }
        for entry in entries {
            match entry.work {
                Work::Record(_) => failpoint::hit("replication.record_before_commit"),
                Work::Confirm(..) => failpoint::hit("replication.confirm_before_commit"),
                Work::Withdraw(_) => failpoint::hit("replication.withdraw_before_commit"),
            }
        }
        tx.commit().await?;
        for entry in entries {
            match entry.work {
                Work::Record(_) => failpoint::hit("replication.record_after_commit"),
                Work::Confirm(..) => failpoint::hit("replication.confirm_after_commit"),
                Work::Withdraw(_) => failpoint::hit("replication.withdraw_after_commit"),
            }
        }
        Ok(answers)
    }

    async fn perform(&self, tx: &mut Tx, work: &Work) -> Result<Vec<IntentId>, Error> {
        let now = self.clock.now();
        match work {
            Work::Record(wishes) => {
                let mut intents = Vec::with_capacity(wishes.len());
                for wish in wishes {
                    intents.extend(queries::insert(tx, wish, &self.boot, now).await?);
                }
                Ok(intents)
            }
            Work::Confirm(wishes, intents) => {
                promotion::promote(tx, &self.jobs, wishes, now).await?;
                failpoint::hit("replication.wishes_promoted");
                queries::delete(tx, intents).await?;
                Ok(Vec::new())
            }
            Work::Withdraw(intents) => {
                queries::delete(tx, intents).await?;
                Ok(Vec::new())
            }
        }
    }
}

impl Entry {
    /// Nobody listens any more when the request was given up; the rows stay for the resolver.
    fn answer(self, answer: Result<Vec<IntentId>, Error>) {
        drop(self.reply.send(answer));
    }
}

/// Much longer than a connection takes that can be had.
const WHILE_AWAY: Duration = Duration::from_millis(500);
/// Enough for a burst; bounds the time that SQLite's one writer is held.
const MAX_BATCH: usize = 256;
