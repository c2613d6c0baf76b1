use std::{fmt::Display, str::FromStr, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    api::{
        Api, Shared,
        caller::Caller,
        error::Error,
        openapi::{Answer, Success},
        paging,
        path::ProjectReference,
    },
    auth::{Resource, Verb},
    oci::{Digest, Reference, RepositoryName},
    replication::{Awaited, PolicyId, Standing, TargetStanding},
};

/// Where a reference is, and where it is still missing.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Standing")]
struct StandingShape {
    #[schemars(with = "String")]
    repository: RepositoryName,
    #[schemars(with = "String")]
    reference: Reference,
    #[schemars(with = "String")]
    digest: Digest,
    complete: bool,
    targets: Vec<TargetShape>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TargetStanding")]
struct TargetShape {
    policy_id: i64,
    policy: String,
    registry_id: i64,
    repository: String,
    /// `there`, `waiting`, `running`, `retrying`, `unknown` or `missing`.
    #[schemars(extend("enum" = ["there", "waiting", "running", "retrying", "unknown", "missing"]))]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<i64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

impl TargetShape {
    /// What targets answer is for those who run them.
    fn new(target: TargetStanding, shows_message: bool) -> Self {
        Self {
            policy_id: target.policy.0,
            policy: target.policy_name,
            registry_id: target.registry.0,
            repository: target.repository,
            status: target.progress.name(),
            job_id: target.job.map(|job| job.0),
            message: Some(target.message)
                .filter(|_| shows_message)
                .unwrap_or_default(),
        }
    }
}

/// `GET /api/v1/replication/wait`: 200 once the reference is at every target, 409 when nobody
/// brings it to where it is missing, 408 when the time is up. For whoever is
/// signed in and may pull it.
pub(super) async fn wait(
    State(api): State<Shared>,
    caller: Caller,
    uri: Uri,
) -> Result<Waited, Error> {
    caller.signed_in()?;
    let (awaited, patience) = parse(&uri)?;
    api.pullable(&caller, &awaited.repository).await?;
    let standing = api.replication.wait(&awaited, patience).await?;
    let status = status_of(&standing);
    let (resource, verb) = (Resource::ReplicationPolicy, Verb::Read);
    let shows_message = api.system(&caller, resource, verb).is_ok();
    let shape = StandingShape {
        repository: awaited.repository,
        reference: awaited.reference,
        complete: standing.is_complete(),
        digest: standing.digest,
        targets: standing
            .targets
            .into_iter()
            .map(|target| TargetShape::new(target, shows_message))
            .collect(),
    };
    Ok(Waited(status, shape))
}

/// The standing when the waiting ended, and whether it is what was hoped for.
pub(super) struct Waited(StatusCode, StandingShape);

impl IntoResponse for Waited {
    fn into_response(self) -> Response {
        (self.0, axum::Json(self.1)).into_response()
    }
}

impl Answer for Waited {
    fn success() -> Success {
        Success {
            statuses: &[200, 408, 409],
            ..Success::json::<StandingShape>()
        }
    }
}

fn status_of(standing: &Standing) -> StatusCode {
    if standing.is_complete() {
        StatusCode::OK
    } else if standing.is_under_way() {
        StatusCode::REQUEST_TIMEOUT
    } else {
        StatusCode::CONFLICT
    }
}

fn parse(uri: &Uri) -> Result<(Awaited, Duration), Error> {
    let parameters = paging::parameters(uri);
    let find = |name| paging::find(&parameters, name);
    let required = |name| {
        let missing = || Error::BadRequest(format!("{name} is missing in the query"));
        find(name).ok_or_else(missing)
    };
    let awaited = Awaited {
        repository: read("repository", required("repository")?)?,
        reference: read("reference", required("reference")?)?,
        digest: find("digest")
            .map(|digest| read("digest", digest))
            .transpose()?,
        policy: find("policy").map(policy).transpose()?,
    };
    let seconds = find("timeout").map_or(Ok(DEFAULT_SECONDS), seconds)?;
    Ok((awaited, Duration::from_secs(seconds)))
}

fn read<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, Error> {
    let invalid = |error: T::Err| Error::BadRequest(format!("{name} in the query: {error}"));
    text.parse().map_err(invalid)
}

fn policy(text: &str) -> Result<PolicyId, Error> {
    let id = text.parse().map_err(|_no_number| {
        Error::BadRequest(format!("policy is the number of one, not `{text}`"))
    })?;
    Ok(PolicyId(id))
}

fn seconds(text: &str) -> Result<u64, Error> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MOST_SECONDS);
    seconds.ok_or_else(|| {
        let message = format!("timeout is in seconds, from 0 to {MOST_SECONDS}, not `{text}`");
        Error::BadRequest(message)
    })
}

impl Api {
    /// Refuses unless the caller may pull from the repository; that there is no such project is
    /// not told.
    async fn pullable(&self, caller: &Caller, repository: &RepositoryName) -> Result<(), Error> {
        let name = repository.project().unwrap_or_default().to_owned();
        let project = self.find_project(&ProjectReference::Name(name)).await?;
        let project = project.ok_or_else(|| caller.refusal())?;
        let permitted = self.auth.permits(
            &caller.principal,
            project.id,
            Resource::Repository,
            Verb::Pull,
        );
        if permitted.await? {
            Ok(())
        } else {
            Err(caller.refusal())
        }
    }
}

const DEFAULT_SECONDS: u64 = 60;
/// As long as proxies in between let a request be silent at most.
const MOST_SECONDS: u64 = 600;
