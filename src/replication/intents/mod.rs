//! Changes are written down before the registry can make them, so that none is lost.
//!
//! [`Replication::intend`] records one row for each policy and reference that a change concerns;
//! [`Replication::confirm`] turns them into jobs once the registry has said yes,
//! [`Replication::withdraw`] removes them when it has said no, and a [`Ticket`] that is dropped
//! leaves them for the resolver, as the death of the process does. A job makes the destination
//! equal to what the source has when it runs, so turning an intent into one is never wrong.
//!
//! `writer.rs` groups concurrent changes into one commit, `promotion.rs` makes the jobs,
//! `resolver.rs` settles what was left behind with the looks of `look.rs`, `spill.rs` keeps changes while the database is away.

mod labels;
mod look;
mod promotion;
pub(crate) mod queries;
mod resolver;
mod spill;
#[cfg(test)]
mod tests;
mod ticket;
mod tombstone;
mod wish;
mod writer;

use std::time::Duration;

use super::{
    Change, Error, Replication,
    config::{Config, Mode},
};
use crate::{failpoint, oci::Tag};

pub(in crate::replication) use resolver::resolve;
pub(in crate::replication) use spill::Spill;
pub(in crate::replication) use ticket::InFlight;
pub use ticket::Ticket;
pub(in crate::replication) use wish::Wish;
pub(in crate::replication) use writer::{Desk, Writer};

impl Replication {
    /// Writes down what `change` means to the policies, before anything is sent upstream.
    ///
    /// Without a policy that cares nothing is written and the ticket is empty. While the
    /// database is away, mode `required` answers [`Error::Unrecorded`]; `best_effort` keeps the
    /// change in a local file until the database is back.
    ///
    /// [`Error::Superseded`] when a mirror makes the change and does not know yet that its tag
    /// was deleted here.
    pub async fn intend(&self, change: &Change) -> Result<Ticket, Error> {
        let shared = &self.shared;
        if change.origin.is_mirrored() {
            tombstone::check(shared, change).await?;
        }
        let mut affected = shared.snapshot.affected(change);
        if change.is_deletion() {
            affected = labels::wanted(shared, change, affected).await?;
        }
        let wishes = wish::of_change(&affected, change);
        if wishes.is_empty() {
            return Ok(Ticket::empty());
        }
        let optional = change.optional_tags();
        let recorded = shared.writer.record(wishes.clone()).await;
        match (recorded, shared.config.mode) {
            (Ok(intents), _) => {
                shared.metrics.intents.inc_by(intents.len() as u64);
                failpoint::hit("replication.intent_committed");
                let ticket = shared.in_flight.ticket(wishes, intents);
                Ok(ticket.with_optional(optional))
            }
            (Err(error), Mode::Required) => Err(error),
            (Err(error), Mode::BestEffort) => {
                tracing::warn!(
                    %error,
                    repository.name = %change.repository,
                    "the database does not take the change; it is kept in a file"
                );
                let kept = shared.spill.append(&wishes, shared.clock.now()).await?;
                shared.metrics.spilled.inc_by(wishes.len() as u64);
                failpoint::hit("replication.intent_spilled");
                Ok(Ticket::of_spilled(wishes, kept).with_optional(optional))
            }
        }
    }

    /// The registry has made the change: its jobs are enqueued in one transaction.
    ///
    /// `tags_set` are those of a push's [`ChangeKind::Push::tags`](super::ChangeKind::Push::tags)
    /// that the registry says it set; the others are forgotten in the same transaction. On an error nothing is lost: what was written down stays for the resolver.
    pub async fn confirm(&self, ticket: Ticket, tags_set: &[Tag]) -> Result<(), Error> {
        if ticket.is_empty() {
            return Ok(());
        }
        self.shared
            .writer
            .confirm(ticket.fulfilled(tags_set), ticket.intents.clone())
            .await?;
        failpoint::hit("replication.change_confirmed");
        self.shared.jobs.wake();
        Ok(())
    }

    /// The registry has refused the change: what was written down is removed.
    pub async fn withdraw(&self, ticket: Ticket) -> Result<(), Error> {
        if ticket.intents.is_empty() {
            return Ok(());
        }
        self.shared.writer.withdraw(ticket.intents.clone()).await
    }
}

impl Config {
    /// How old an intent without a conclusion must be before the resolver takes it.
    pub(in crate::replication) fn unknown_after(&self) -> Duration {
        Duration::from_secs(self.unknown_after_seconds)
    }

    /// How old it is when the resolver looks for the last time.
    fn unknown_for(&self) -> Duration {
        Duration::from_secs(self.unknown_for_seconds)
    }

    fn dead_after(&self) -> Duration {
        Duration::from_secs(self.dead_after_seconds.max(1))
    }
}
