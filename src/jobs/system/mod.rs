//! Work on the gateway as a whole, such as garbage collection: one run at a time, started by
//! people and by one schedule, with a history of runs.
//!
//! A run is a job; the jobs of the kind are its history, of which
//! [`Handler::keeps`](super::Handler::keeps) says how many stay.

pub(super) mod queries;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Cron, Error, Failure, JobId, Jobs, NewJob, NewSchedule, Overlap, Running, Schedules, State,
    schedule,
};
use crate::{
    clock::Timestamp,
    store::{Listing, Page},
};
use queries::RunRow;

#[cfg(test)]
pub(crate) use queries::ALL;

/// One kind of such work. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SystemJob {
    jobs: Jobs,
    kind: &'static str,
}

/// One run of it.
#[derive(Debug, Clone)]
pub struct SystemRun {
    pub id: JobId,
    pub kind: String,
    pub trigger: Trigger,
    pub parameters: Value,
    /// What [`Running::report`] was given, or [`Running::report_in`] before the end.
    pub result: Option<Value>,
    pub state: State,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// What starts runs again and again.
#[derive(Debug, Clone)]
pub struct SystemSchedule {
    pub cadence: Cadence,
    pub cron: String,
    pub parameters: Value,
    /// `None`: never again.
    pub next: Option<Timestamp>,
}

/// What started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    Manual,
    Schedule(Cadence),
}

/// What a person calls the cron expression of a schedule; only a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cadence {
    Hourly,
    Daily,
    Weekly,
    Custom,
}

/// The parameters of the job.
#[derive(Debug, Serialize, Deserialize)]
struct Params {
    trigger: Trigger,
    parameters: Value,
}

impl SystemJob {
    pub fn new(jobs: Jobs, kind: &'static str) -> Self {
        Self { jobs, kind }
    }

    /// Starts a run; refused while there is one that is not over.
    pub async fn start(&self, parameters: Value) -> Result<JobId, Error> {
        let params = Params::of(Trigger::Manual, parameters);
        let mut tx = self.jobs.inner.db.begin().await?;
        let job = NewJob::new(self.kind, self.key(), params);
        let enqueued = self.jobs.enqueue(&mut tx, job).await?;
        if enqueued.coalesced {
            return Err(Error::InProgress(enqueued.id));
        }
        tx.commit().await?;
        self.jobs.wake();
        Ok(enqueued.id)
    }

    /// Starts runs by the clock from now on, instead of by the schedule before. A slot that comes
    /// due while a run is not over starts none, and leaves that one as it is.
    pub async fn schedule(
        &self,
        cadence: Cadence,
        cron: &Cron,
        parameters: Value,
    ) -> Result<(), Error> {
        let params = Params::of(Trigger::Schedule(cadence), parameters);
        let schedule = NewSchedule {
            key: &self.key(),
            kind: self.kind,
            cron,
            params: &params,
            overlap: Overlap::Skip,
        };
        let mut tx = self.jobs.inner.db.begin().await?;
        self.schedules().put(&mut tx, schedule).await?;
        Ok(tx.commit().await?)
    }

    /// Removes the schedule; a run under way goes on.
    pub async fn unschedule(&self) -> Result<(), Error> {
        let mut tx = self.jobs.inner.db.begin().await?;
        self.schedules().remove(&mut tx, &self.key()).await?;
        Ok(tx.commit().await?)
    }

    pub async fn scheduled(&self) -> Result<Option<SystemSchedule>, Error> {
        let row = schedule::row(&self.jobs.inner.db, &self.key()).await?;
        Ok(row.and_then(|row| {
            let params: Params = serde_json::from_str(&row.params).ok()?;
            let Trigger::Schedule(cadence) = params.trigger else {
                return None;
            };
            Some(SystemSchedule {
                cadence,
                cron: row.cron,
                parameters: params.parameters,
                next: row.next_ms.map(Timestamp::from_millis),
            })
        }))
    }

    /// Runs, newest first, by fields `id`, `status` (Harbor's words), `creation_time` and
    /// `update_time`.
    pub async fn history(&self, listing: &Listing) -> Result<Page<SystemRun>, Error> {
        let page = queries::runs(&self.jobs.inner.db, self.kind, listing).await?;
        let items = page.items.into_iter().map(SystemRun::try_from);
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            total: page.total,
        })
    }

    pub async fn run(&self, id: JobId) -> Result<SystemRun, Error> {
        let row = queries::run(&self.jobs.inner.db, self.kind, id).await?;
        row.ok_or(Error::NotFound(id))?.try_into()
    }

    /// Stops a run: at once while it waits, within a second while it works. One that is over
    /// stays as it is.
    pub async fn stop(&self, id: JobId) -> Result<(), Error> {
        self.run(id).await?;
        self.jobs.stop(id).await.map(drop)
    }

    /// What a run wrote for people.
    pub async fn log(&self, id: JobId) -> Result<String, Error> {
        self.run(id).await?;
        self.jobs.log(id).await
    }

    fn schedules(&self) -> Schedules {
        Schedules::new(self.jobs.clone())
    }

    /// Of the schedule and of each run, so that one at a time is live.
    pub(super) fn key(&self) -> String {
        format!("system/{}", self.kind)
    }
}

impl Running {
    /// What the run of a [`SystemJob`] was started with.
    pub fn parameters<P: DeserializeOwned>(&self) -> Result<P, Failure> {
        let params: Result<Params, _> = serde_json::from_value(self.params.clone());
        params
            .and_then(|params| serde_json::from_value(params.parameters))
            .map_err(|error| Failure::permanent(format!("the job's parameters: {error}")))
    }
}

impl Cadence {
    const ALL: [Self; 4] = [Self::Hourly, Self::Daily, Self::Weekly, Self::Custom];

    /// By Harbor's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|cadence| cadence.as_str() == word)
    }

    /// Harbor's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hourly => "Hourly",
            Self::Daily => "Daily",
            Self::Weekly => "Weekly",
            Self::Custom => "Custom",
        }
    }
}

impl Params {
    fn of(trigger: Trigger, parameters: Value) -> Value {
        serde_json::json!(Self {
            trigger,
            parameters
        })
    }
}

impl TryFrom<RunRow> for SystemRun {
    type Error = Error;

    fn try_from(row: RunRow) -> Result<Self, Error> {
        let id = JobId(row.id);
        let damaged = |column, value: &str| Error::Damaged {
            id,
            column,
            value: value.to_owned(),
        };
        let params: Params = serde_json::from_str(&row.params)
            .map_err(|_no_params| damaged("params", &row.params))?;
        let state = row.state.parse();
        Ok(Self {
            id,
            kind: row.kind,
            trigger: params.trigger,
            parameters: params.parameters,
            result: row.result.and_then(|text| serde_json::from_str(&text).ok()),
            state: state.map_err(|_unknown| damaged("state", &row.state))?,
            created: Timestamp::from_millis(row.created_ms),
            updated: Timestamp::from_millis(row.updated_ms),
        })
    }
}
