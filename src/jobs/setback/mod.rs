//! What to do when the clock was set back: what was written down for a time that then lies far
//! ahead would wait until the clock comes there again.

mod queries;

#[cfg(test)]
pub(crate) use queries::ALL;

use super::{Error, queue::Inner};
use crate::clock::{Setbacks, Timestamp};

impl Inner {
    /// Makes due the jobs that were written down when the clock was ahead of `now`, lets parked
    /// targets be tried, and has leases that others hold end when they would have ended: who lives
    /// extends its own.
    pub(super) async fn follow_setback(&self, now: Timestamp) -> Result<(), Error> {
        let ahead = now.plus(Setbacks::SLACK);
        let due = queries::make_due(&self.db, now, ahead).await?;
        if due > 0 {
            tracing::warn!(
                due,
                "the clock was set back; jobs that waited for it are due"
            );
            self.woken.notify_one();
        }
        queries::let_try(&self.db, now).await?;
        let lease = self.config.lease();
        let until = (now.plus(lease), ahead.plus(lease));
        Ok(queries::shorten_leases(&self.db, &self.boot, until).await?)
    }
}
