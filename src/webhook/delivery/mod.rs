//! Deliveries: the jobs that send what was stored, to where the policy says now.

mod connect;
mod guard;
mod sending;
mod signature;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::{
    NotifyType, Target,
    handle::Shared,
    metrics::DeliveryOutcome,
    policies::open_secrets,
    queries::{self, DeliveryRow},
};
use crate::{
    auth::ProjectId,
    clock::Timestamp,
    jobs::{Failure, Handler, Running},
    secret::Secret,
};

pub(super) use guard::permit;
use sending::{Letter, Outcome};

/// The handler of one kind of delivery.
#[derive(Debug)]
pub(super) struct Deliveries {
    shared: Arc<Shared>,
    kind: NotifyType,
}

impl Deliveries {
    pub(super) fn new(shared: Arc<Shared>, kind: NotifyType) -> Self {
        Self { shared, kind }
    }

    async fn deliver(&self, job: &Running) -> Result<(), Failure> {
        let shared = &self.shared;
        let row = queries::delivery(&shared.db, job.id).await;
        let row = row.map_err(|error| Failure::retryable(error.to_string()))?;
        let letter = match self.letter(row) {
            Ok(letter) => letter,
            Err(problem) => return self.give_up(&problem),
        };
        job.log.line(format!(
            "attempt {}: {} to {}",
            job.attempt,
            letter.subject,
            place(&letter.address)
        ));
        let sent = job.stop.run_until_cancelled(sending::send(shared, &letter));
        let Some(outcome) = sent.await else {
            return Err(Failure::Stopped);
        };
        self.conclude(job, outcome)
    }

    /// What is to be sent, or why nothing is.
    fn letter(&self, row: Option<DeliveryRow>) -> Result<Letter, String> {
        let shared = &self.shared;
        let row = row.ok_or("the webhook policy is gone")?;
        let now = shared.clock.now();
        if now.since(Timestamp::from_millis(row.created_ms)) > shared.config.give_up_after() {
            let hours = shared.config.give_up_after_hours;
            return Err(format!("given up {hours} h after the event"));
        }
        if !row.enabled {
            return Err("the webhook policy is disabled".to_owned());
        }
        let target = target(&row).ok_or("the webhook policy has this target no more")?;
        let opened = open_secrets(&shared.sealing, ProjectId(row.project_id), &target);
        let opened = opened.map_err(|error| format!("a secret of the target: {error}"))?;
        let sign =
            |secret: &Secret| signature::of(secret, &row.event_id, (now.seconds(), &row.body));
        Ok(Letter {
            signature: opened.secret.as_ref().map(sign).transpose()?,
            subject: row.event_type,
            address: target.address,
            skip_cert_verify: target.skip_cert_verify,
            content_type: row.content_type,
            auth_header: opened.auth_header,
            id: row.event_id,
            body: row.body.into(),
        })
    }

    fn conclude(&self, job: &Running, outcome: Outcome) -> Result<(), Failure> {
        let metrics = &self.shared.metrics;
        match outcome {
            Outcome::Taken { status } => {
                metrics.delivery(DeliveryOutcome::Delivered);
                job.log.line(format!("the receiver answered {status}"));
                Ok(())
            }
            Outcome::Refused {
                status,
                retry_after,
            } => {
                metrics.delivery(DeliveryOutcome::Refused);
                let message = if status.is_redirection() {
                    format!("the receiver answered {status}; redirects are not followed")
                } else {
                    format!("the receiver answered {status}")
                };
                Err(match retry_after {
                    Some(wait) if matches!(status.as_u16(), 429 | 503) => Failure::Throttled {
                        message,
                        retry_after: wait.min(LONGEST_PATIENCE),
                    },
                    _ => Failure::retryable(message),
                })
            }
            Outcome::Unreachable { problem } => {
                metrics.delivery(DeliveryOutcome::Unreachable);
                Err(Failure::target_down(problem))
            }
            Outcome::Forbidden { problem } => self.give_up(&problem),
        }
    }

    fn give_up(&self, why: &str) -> Result<(), Failure> {
        self.shared.metrics.delivery(DeliveryOutcome::GivenUp);
        Err(Failure::permanent(why))
    }
}

/// The target as the policy has it now.
fn target(row: &DeliveryRow) -> Option<Target> {
    let targets: Vec<Target> = serde_json::from_str(&row.targets).ok()?;
    targets.into_iter().find(|target| {
        target.address == row.address && target.notify_type.name() == row.notify_type
    })
}

impl Handler for Deliveries {
    fn kind(&self) -> &'static str {
        self.kind.job_kind()
    }

    fn run<'a>(&'a self, job: &'a Running) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.deliver(job))
    }
}

/// Scheme, host and port: paths of receivers hold secrets.
fn place(address: &str) -> String {
    url::Url::parse(address).map_or_else(
        |_unreadable| String::new(),
        |url| url.origin().ascii_serialization(),
    )
}

/// A receiver may not park its own deliveries for longer.
const LONGEST_PATIENCE: Duration = Duration::from_hours(1);
