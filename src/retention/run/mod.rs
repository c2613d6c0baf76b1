//! The jobs of this room: one for each run of a policy, which goes through the repositories of
//! the project.

mod deletions;
mod report;
mod view;

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use serde_json::json;

use super::{
    Error, ExecutionId, Mode, PolicyId,
    evaluate::evaluate,
    handle::Shared,
    policy::Rule,
    queries::{self, Counts, Ended, NewExecution},
};
use crate::{
    auth::projects::Project,
    inventory,
    jobs::{ByHand, Failure, Handler, Running},
    oci::RepositoryName,
    store::Listing,
    webhook::{Event, EventType},
};
use report::Report;

/// Harbor's name of the kind.
pub(super) const KIND: &str = "RETENTION";

/// Harbor's words for what started a run.
pub(super) const MANUAL: &str = "Manual";
pub(super) const SCHEDULED: &str = "Schedule";

/// Runs the jobs.
#[derive(Debug)]
pub(super) struct Runs {
    shared: Arc<Shared>,
}

#[derive(Debug, Deserialize)]
struct Parameters {
    policy: PolicyId,
    trigger: String,
    #[serde(default)]
    dry_run: bool,
}

/// One run.
struct Run<'a> {
    shared: &'a Shared,
    job: &'a Running,
    execution: ExecutionId,
    mode: Mode,
    project: Project,
    rules: Vec<Rule>,
}

impl Runs {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn execute(&self, job: &Running) -> Result<(), Failure> {
        let parameters = Parameters::deserialize(&job.params)
            .map_err(|error| Failure::permanent(format!("the job's parameters: {error}")))?;
        let shared = &*self.shared;
        let policy = shared.policy(parameters.policy).await;
        let spec = policy.map_err(|error| failure(&error))?.spec;
        let project = shared.auth.project(spec.project).await;
        let project = project.map_err(|error| failure(&error.into()))?;
        let rules = spec.parsed().map_err(|error| failure(&error))?;
        let begun = begin(shared, job, &parameters).await;
        let Some(execution) = begun.map_err(|error| failure(&error))? else {
            job.log
                .line("skipped: another run of the policy is in progress");
            return Ok(());
        };
        let run = Run {
            shared,
            job,
            execution,
            mode: if parameters.dry_run {
                Mode::Dry
            } else {
                Mode::Real
            },
            project,
            rules,
        };
        let done = tokio::select! {
            done = run.all() => done,
            () = job.stop.cancelled() => Err(Failure::Stopped),
        };
        run.conclude(done).await
    }
}

impl Run<'_> {
    /// Goes through the repositories; how many of them were not done altogether.
    async fn all(&self) -> Result<usize, Failure> {
        self.shared.inventory.expect_complete().await?;
        let done = queries::done(&self.shared.db, self.execution).await?;
        let mut done: BTreeMap<String, String> = done.into_iter().collect();
        done.retain(|_, status| status == SUCCESS);
        let mut failed = 0;
        let mut behind = None;
        loop {
            let listing = Listing {
                behind,
                limit: Some(REPOSITORIES_AT_ONCE),
                ..Listing::default()
            };
            let projects = Some(std::slice::from_ref(&self.project.id));
            let page = self.shared.inventory.repositories(projects, &listing).await;
            let page = page?.items;
            let Some(last) = page.last() else {
                self.job.log.line("finished");
                return Ok(failed);
            };
            behind = Some(last.id.0);
            for repository in &page {
                if done.contains_key(within(&self.project, &repository.name)) {
                    continue;
                }
                let ended_well = self.repository(repository).await?;
                failed += usize::from(!ended_well);
            }
        }
    }

    /// Whether all that was to be deleted is.
    async fn repository(&self, repository: &inventory::Repository) -> Result<bool, Failure> {
        let (shared, rules) = (self.shared, &self.rules);
        let short = within(&self.project, &repository.name);
        if !rules.iter().any(|rule| rule.is_for(short)) {
            return Ok(true);
        }
        let name: RepositoryName = repository.name.parse().map_err(|error| {
            Failure::permanent(format!("repository {}: {error}", repository.name))
        })?;
        let immutable = shared.auth.immutable(&name).await;
        let immutable = immutable.map_err(|error| failure(&error.into()))?;
        let view = view::read(&shared.inventory, repository, (short, immutable)).await?;
        let now = shared.clock.now();
        let Some(plan) = evaluate(rules, &view, now.millis()) else {
            return Ok(true);
        };
        let mut report = Report::new(&view, &plan);
        let task = (self.execution, short);
        queries::begin_task(&shared.db, task, report.counts(), now).await?;
        if self.mode == Mode::Real {
            self.delete(&name, (&view, &plan), &mut report).await?;
        }
        self.end_task(short, &report).await?;
        if self.mode == Mode::Real {
            self.tell(repository, &report);
        }
        Ok(!report.has_failed())
    }

    async fn end_task(&self, short: &str, report: &Report<'_>) -> Result<(), Failure> {
        let Counts { total, retained } = report.counts();
        let what = match self.mode {
            Mode::Real => "kept",
            Mode::Dry => "would keep",
        };
        let line = format!("{short}: {what} {retained} of {total}");
        self.job.log.line(line);
        let ended = Ended {
            status: report.status(),
            retained,
            log: &report.table(self.mode),
            now: self.shared.clock.now(),
        };
        let task = (self.execution, short);
        Ok(queries::end_task(&self.shared.db, task, &ended).await?)
    }

    /// Tells webhooks what was deleted of a repository.
    fn tell(&self, repository: &inventory::Repository, report: &Report<'_>) {
        let Counts { total, retained } = report.counts();
        let kind = EventType::TagRetention;
        let webhooks = &self.shared.webhooks;
        if total == retained || !webhooks.wants(&self.project.name, kind) {
            return;
        }
        let at = self.shared.clock.now();
        let mut event = Event::new(kind, &self.project.name, AUTHOR, at);
        event.id = format!("retention_{}_{}", self.execution, repository.id);
        event.repository = repository.name.parse().ok();
        let retention = json!({
            "project_name": self.project.name,
            "status": report.status(),
            "total": total,
            "retained": retained,
            "deleted_artifact": report.deleted(MOST_TOLD),
        });
        event.details.insert("retention".to_owned(), retention);
        webhooks.fire(event);
    }

    async fn conclude(&self, done: Result<usize, Failure>) -> Result<(), Failure> {
        let (status, result) = match done {
            Ok(0) => (SUCCESS, Ok(())),
            Ok(failed) => {
                let message = format!("{failed} repositories were not done altogether");
                (ERROR, Err(Failure::permanent(message)))
            }
            Err(Failure::Stopped) if !self.job.is_interrupted() => (STOPPED, Err(Failure::Stopped)),
            Err(Failure::Permanent { message }) => (ERROR, Err(Failure::Permanent { message })),
            // Another attempt goes on.
            Err(failure) => return Err(failure),
        };
        let now = self.shared.clock.now();
        queries::end_execution(&self.shared.db, self.execution, status, now).await?;
        result
    }
}

impl Handler for Runs {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn by_hand(&self) -> Option<ByHand> {
        None
    }

    fn run<'a>(&'a self, job: &'a Running) -> BoxFuture<'a, Result<(), Failure>> {
        self.execute(job).boxed()
    }
}

/// The job's execution, made here unless a person or an earlier attempt has; `None` while
/// another one of the policy is in progress.
async fn begin(
    shared: &Shared,
    job: &Running,
    parameters: &Parameters,
) -> Result<Option<ExecutionId>, Error> {
    let mut tx = shared.db.begin().await?;
    if !queries::lock(&mut tx, parameters.policy).await? {
        return Err(Error::NoPolicy(parameters.policy));
    }
    if let Some(execution) = queries::open_of_job(&mut tx, job.id).await? {
        return Ok(Some(execution));
    }
    if queries::live_in(&mut tx, parameters.policy)
        .await?
        .is_some()
    {
        return Ok(None);
    }
    let new = NewExecution {
        policy: parameters.policy,
        job: job.id,
        trigger: if parameters.trigger == SCHEDULED {
            SCHEDULED
        } else {
            MANUAL
        },
        dry_run: parameters.dry_run,
        now: shared.clock.now(),
    };
    let execution = queries::insert_execution(&mut tx, &new).await?;
    tx.commit().await?;
    Ok(Some(execution))
}

fn within<'a>(project: &Project, repository: &'a str) -> &'a str {
    let rest = repository.strip_prefix(project.name.as_str());
    rest.and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(repository)
}

fn failure(error: &Error) -> Failure {
    match error.kind() {
        super::Kind::Unavailable => Failure::retryable(error.to_string()),
        _ => Failure::permanent(error.to_string()),
    }
}

const SUCCESS: &str = "Success";
const ERROR: &str = "Error";
const STOPPED: &str = "Stopped";

/// Who the audit trail and webhooks say has deleted.
const AUTHOR: &str = "tag-retention";

/// A notice is no list of ten thousand tags: the task's log is.
const MOST_TOLD: usize = 100;

const REPOSITORIES_AT_ONCE: i64 = 100;
