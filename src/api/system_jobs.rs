//! Work on the gateway as a whole: tags such as `purge`, each with a schedule, runs and their logs
//! below one path.

use axum::{Extension, extract::State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Api, Shared,
    act::Act,
    answer::{Created, PlainText},
    caller::Caller,
    error::Error,
    json::Json,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::PathParameters,
};
use crate::{
    audit::{Operation, PurgeParameters},
    auth::{Resource, Verb},
    clock::Timestamp,
    gc::GcParameters,
    jobs::{Cadence, Cron, JobId, SystemJob, SystemRun, SystemSchedule, Trigger},
};

/// What is particular to one of them.
struct Work {
    tag: &'static str,
    path: &'static str,
    /// The parameter of the path that names a run.
    id: &'static str,
    resource: Resource,
    resource_type: &'static str,
    /// Behind "started" and the like.
    name: &'static str,
    job: fn(&Api) -> &SystemJob,
    /// What a client gave as parameters, as the job takes them; or what is wrong with them.
    check: fn(&Value) -> Result<Value, String>,
}

static ALL: &[Work] = &[GC, PURGE];

const GC: Work = Work {
    tag: "gc",
    path: "/system/gc",
    id: "gc_id",
    resource: Resource::GarbageCollection,
    resource_type: "garbage_collection",
    name: "garbage collection",
    job: |api| api.gc.job(),
    check: GcParameters::check,
};

const PURGE: Work = Work {
    tag: "purge",
    path: "/system/purgeaudit",
    id: "purge_id",
    resource: Resource::PurgeAudit,
    resource_type: "purge_audit",
    name: "the purge of the audit log",
    job: |api| api.audit_purge.job(),
    check: PurgeParameters::check,
};

pub(super) fn routes() -> Routes {
    let works = ALL.iter().map(Work::routes);
    works.fold(Routes::new("system"), Routes::merge)
}

impl Work {
    fn routes(&'static self) -> Routes {
        let (all, may) = (self.path, self.resource);
        let schedule = format!("{all}/schedule");
        let one = format!("{all}/{{{}}}", self.id);
        Routes::new(self.tag)
            .get(&schedule, "Read the schedule", scheduled)
            .needs(may, Verb::Read)
            .post(&schedule, "Start a run, or set the schedule", create)
            .needs(may, Verb::Create)
            .put(&schedule, "Set the schedule, or start a run", update)
            .needs(may, Verb::Update)
            .get(all, "List runs", list)
            .needs(may, Verb::List)
            .get(&one, "Read a run", read)
            .needs(may, Verb::Read)
            .put(&one, "Stop a run", stop)
            .needs(may, Verb::Stop)
            .get(&format!("{one}/log"), "What a run wrote", log)
            .needs(may, Verb::Read)
            .wrap(|router| router.layer(Extension(self)))
    }

    fn run_of(&self, path: &PathParameters) -> Result<JobId, Error> {
        Ok(JobId(path.id(self.id)?))
    }

    /// Does what a client wishes; the run that it started, if it did.
    async fn take(&self, api: &Api, caller: &Caller, wish: Wish) -> Result<Option<JobId>, Error> {
        let job = (self.job)(api);
        let cron = wish.schedule.cron.unwrap_or_default();
        let cadence = match wish.schedule.kind.as_str() {
            MANUAL => {
                let id = job.start(self.parameters(wish.parameters)?).await?;
                let what = format!("started {}", self.name);
                self.record(api, caller, (Operation::Create, id.to_string()), what);
                return Ok(Some(id));
            }
            NONE => {
                job.unschedule().await?;
                let what = format!("removed the schedule of {}", self.name);
                self.record(api, caller, (Operation::Update, SCHEDULE.to_owned()), what);
                return Ok(None);
            }
            word => Cadence::parse(word).ok_or_else(|| {
                Error::BadRequest(format!(
                    "the schedule's type must be Hourly, Daily, Weekly, Custom, Manual or None, \
                     not `{word}`"
                ))
            })?,
        };
        let cron = Cron::parse(&cron).map_err(|error| Error::BadRequest(error.to_string()))?;
        let parameters = self.parameters(wish.parameters)?;
        job.schedule(cadence, &cron, parameters).await?;
        let what = format!("set the schedule of {} to {cron}", self.name);
        self.record(api, caller, (Operation::Update, SCHEDULE.to_owned()), what);
        Ok(None)
    }

    fn parameters(&self, given: Option<Value>) -> Result<Value, Error> {
        let given = given.unwrap_or_else(|| json!({}));
        (self.check)(&given).map_err(Error::BadRequest)
    }

    fn record(
        &self,
        api: &Api,
        caller: &Caller,
        (operation, resource): (Operation, String),
        description: String,
    ) {
        let act = Act {
            operation,
            resource_type: self.resource_type,
            resource: &resource,
            project: None,
            description,
        };
        api.record(caller, &act);
    }
}

/// When runs are to start, or that one is to start now.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Schedule")]
struct Wish {
    schedule: WishedSchedule,
    #[serde(default)]
    /// What runs do, as their kind has it.
    #[schemars(
        with = "Option<serde_json::Map<String, Value>>",
        example = json!({
            "audit_retention_hour": 168, "include_event_types": "delete_user", "dry_run": true,
        })
    )]
    parameters: Option<Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ScheduleObj")]
struct WishedSchedule {
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["None", "Manual", "Hourly", "Daily", "Weekly", "Custom"]))]
    kind: String,
    #[serde(default)]
    #[schemars(example = "0 0 0 * * *")]
    cron: Option<String>,
}

/// A run, or the schedule: `ExecHistory` and `GCHistory`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExecHistory")]
struct RunShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
    job_name: String,
    /// What started the run; of the schedule, its cron expression.
    job_kind: String,
    job_parameters: String,
    schedule: ScheduleShape,
    #[serde(skip_serializing_if = "str::is_empty")]
    job_status: &'static str,
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_time: Option<Timestamp>,
}

/// When runs start.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ScheduleObj")]
struct ScheduleShape {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_scheduled_time: Option<Timestamp>,
}

impl From<SystemRun> for RunShape {
    fn from(run: SystemRun) -> Self {
        let mut parameters = run.parameters;
        if let (Some(parameters), Some(Value::Object(result))) =
            (parameters.as_object_mut(), run.result)
        {
            parameters.extend(result);
        }
        let trigger = match run.trigger {
            Trigger::Manual => MANUAL,
            Trigger::Schedule(_) => SCHEDULE,
        };
        Self {
            id: Some(run.id.0),
            job_name: run.kind,
            // In capitals here, and only here.
            job_kind: trigger.to_ascii_uppercase(),
            job_parameters: parameters.to_string(),
            schedule: ScheduleShape {
                kind: trigger,
                cron: None,
                next_scheduled_time: None,
            },
            job_status: run.state.harbor(),
            deleted: false,
            creation_time: Some(run.created),
            update_time: Some(run.updated),
        }
    }
}

impl From<SystemSchedule> for RunShape {
    fn from(schedule: SystemSchedule) -> Self {
        Self {
            id: None,
            job_name: String::new(),
            job_kind: schedule.cron.clone(),
            job_parameters: schedule.parameters.to_string(),
            schedule: ScheduleShape {
                kind: schedule.cadence.as_str(),
                cron: Some(schedule.cron),
                next_scheduled_time: schedule.next,
            },
            job_status: "",
            deleted: false,
            creation_time: None,
            update_time: None,
        }
    }
}

/// The schedule, if there is one.
#[derive(Debug, Serialize, JsonSchema)]
struct Scheduled {
    #[serde(flatten)]
    schedule: Option<RunShape>,
}

/// Harbor answers 200 with nothing where there is no schedule; an empty object can be parsed.
async fn scheduled(
    State(api): State<Shared>,
    Extension(work): Extension<&'static Work>,
    caller: Caller,
) -> Result<axum::Json<Scheduled>, Error> {
    api.system(&caller, work.resource, Verb::Read)?;
    let schedule = (work.job)(&api).scheduled().await?;
    Ok(axum::Json(Scheduled {
        schedule: schedule.map(RunShape::from),
    }))
}

async fn create(
    State(api): State<Shared>,
    Extension(work): Extension<&'static Work>,
    caller: Caller,
    Json(wish): Json<Wish>,
) -> Result<Created, Error> {
    api.system(&caller, work.resource, Verb::Create)?;
    let started = work.take(&api, &caller, wish).await?;
    Ok(match started {
        Some(id) => Created::at(work.path, id),
        None => Created::nowhere(),
    })
}

async fn update(
    State(api): State<Shared>,
    Extension(work): Extension<&'static Work>,
    caller: Caller,
    Json(wish): Json<Wish>,
) -> Result<(), Error> {
    api.system(&caller, work.resource, Verb::Update)?;
    work.take(&api, &caller, wish).await?;
    Ok(())
}

async fn list(
    State(api): State<Shared>,
    Extension(work): Extension<&'static Work>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<RunShape>, Error> {
    api.system(&caller, work.resource, Verb::List)?;
    let page = (work.job)(&api).history(query.listing()).await?;
    Ok(query.answer(page, RunShape::from))
}

async fn read(
    State(api): State<Shared>,
    Extension(work): Extension<&'static Work>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<RunShape>, Error> {
    api.system(&caller, work.resource, Verb::Read)?;
    let run = (work.job)(&api).run(work.run_of(&path)?).await?;
    Ok(axum::Json(run.into()))
}

async fn stop(
    State(api): State<Shared>,
    Extension(work): Extension<&'static Work>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    api.system(&caller, work.resource, Verb::Stop)?;
    let id = work.run_of(&path)?;
    (work.job)(&api).stop(id).await?;
    let what = format!("stopped {}", work.name);
    work.record(&api, &caller, (Operation::Update, id.to_string()), what);
    Ok(())
}

async fn log(
    State(api): State<Shared>,
    Extension(work): Extension<&'static Work>,
    caller: Caller,
    path: PathParameters,
) -> Result<PlainText, Error> {
    api.system(&caller, work.resource, Verb::Read)?;
    let text = (work.job)(&api).log(work.run_of(&path)?).await?;
    Ok(PlainText::new(text))
}

/// Harbor's words for what started a run, and for no schedule.
const MANUAL: &str = "Manual";
const NONE: &str = "None";
const SCHEDULE: &str = "Schedule";
