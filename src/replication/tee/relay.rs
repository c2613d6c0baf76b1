use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    Target,
    line::{Gauge, Pieces},
};
use crate::{
    failpoint,
    oci::Digest,
    registry::{Client, Error, Upload},
    replication::{Origin, Shared, metrics::TeeOutcome, places},
    wire::{Body, ORIGIN_HEADER},
};

/// Brings one blob to one target.
pub(super) struct Relay {
    pub shared: Arc<Shared>,
    pub target: Target,
    pub origin: Origin,
    pub gauge: Arc<Gauge>,
    /// Its place among all relays.
    pub slot: OwnedSemaphorePermit,
}

impl Relay {
    pub(super) async fn run(self, pieces: Pieces) {
        let relayed = self.watched(self.relay(pieces)).await;
        self.gauge.end();
        let outcome = relayed.err().unwrap_or(TeeOutcome::Committed);
        self.shared.metrics.count_teed(outcome);
        tracing::debug!(
            repository.name = %self.target.repository,
            registry.id = self.target.registry.0,
            size_bytes = self.gauge.taken_bytes(),
            ?outcome,
            "a blob was sent on while it was pushed"
        );
        drop(self.slot);
    }

    /// While memory is short, a target that takes nothing gets no more of it, nor another upload
    /// for a while.
    async fn watched<T>(&self, relaying: impl Future<Output = T>) -> T {
        let mut relaying = std::pin::pin!(relaying);
        loop {
            if let Ok(relayed) = timeout(LOOK_EVERY, relaying.as_mut()).await {
                return relayed;
            }
            let tee = &self.shared.tee;
            if self.gauge.is_stalled() && tee.memory.is_short() {
                self.gauge.drop_as(TeeOutcome::Slow);
                tee.rest(self.target.registry);
            }
        }
    }

    async fn relay(&self, pieces: Pieces) -> Result<(), TeeOutcome> {
        let client = self.client().await?;
        let upload = self.begin(&client).await?;
        let sent = tokio::select! {
            biased;
            outcome = self.gauge.dropped() => Err(outcome),
            () = self.shared.tee.stop.cancelled() => Err(TeeOutcome::Abandoned),
            sent = self.send(&client, &upload, pieces) => sent,
        };
        if sent.is_err() {
            let cancelled = timeout(CANCEL_WITHIN, client.cancel_upload(&upload)).await;
            if !matches!(cancelled, Ok(Ok(()))) {
                tracing::debug!(
                    registry.id = self.target.registry.0,
                    "a half upload stays there"
                );
            }
        }
        sent
    }

    /// Opens a session. The answer is waited for even if somebody gives the upload up meanwhile:
    /// a session that nobody knows of stays at the target until it expires.
    async fn begin(&self, client: &Client) -> Result<Upload, TeeOutcome> {
        let begun = timeout(self.idle(), client.start_upload(&self.target.repository));
        let begun = tokio::select! {
            begun = begun => begun,
            () = self.shared.tee.stop.cancelled() => return Err(TeeOutcome::Abandoned),
        };
        match begun {
            Ok(Ok(upload)) => {
                failpoint::hit("replication.tee_begun");
                Ok(upload)
            }
            Ok(Err(error)) => Err(self.refused(&error)),
            Err(_elapsed) => Err(TeeOutcome::Idle),
        }
    }

    /// Sends the bytes while they come, and ends the upload once the registry behind has them.
    async fn send(
        &self,
        client: &Client,
        upload: &Upload,
        pieces: Pieces,
    ) -> Result<(), TeeOutcome> {
        let gauge = &self.gauge;
        self.patient(gauge.sendable()).await?;
        let digest = match gauge.whole() {
            Some((digest, size_bytes)) if size_bytes <= GATED_BYTES || gauge.is_committed() => {
                self.put(client, upload, &digest, size_bytes, pieces)
                    .await?;
                digest
            }
            _unknown_or_large => {
                let streamed = client.stream_upload(upload, pieces.streamed());
                let streamed = self.patient(streamed).await?;
                let streamed = streamed.map_err(|error| self.refused(&error))?;
                let digest = gauge.committed().await?;
                let put = client.put_upload(&streamed, &digest, 0, Body::Empty).await;
                put.map_err(|error| self.refused(&error))?;
                digest
            }
        };
        failpoint::hit("replication.tee_committed");
        let metrics = &self.shared.metrics;
        metrics.teed_bytes.inc_by(gauge.taken_bytes());
        let place = places::Place {
            registry: self.target.registry,
            repository: &self.target.repository,
        };
        self.shared.places.saw_blobs(place, &[&digest]).await;
        failpoint::hit("replication.tee_remembered");
        Ok(())
    }

    /// One request less, and one way to the target and back less after the client's last byte.
    async fn put(
        &self,
        client: &Client,
        upload: &Upload,
        digest: &Digest,
        size_bytes: u64,
        pieces: Pieces,
    ) -> Result<(), TeeOutcome> {
        let body = if size_bytes == 0 {
            self.gauge.committed().await?;
            Body::Empty
        } else {
            pieces.gated(size_bytes)
        };
        let put = client.put_upload(upload, digest, size_bytes, body);
        let put = self.patient(put).await?;
        put.map_err(|error| self.refused(&error))
    }

    /// Waits for a step as long as the target takes bytes. Once it has all, and the registry behind
    /// too, it may take as long as the client lets it.
    async fn patient<T>(&self, step: impl Future<Output = T>) -> Result<T, TeeOutcome> {
        let mut step = std::pin::pin!(step);
        let mut taken = self.gauge.taken_bytes();
        loop {
            if let Ok(output) = timeout(self.idle(), step.as_mut()).await {
                return Ok(output);
            }
            let now = self.gauge.taken_bytes();
            if now == taken && !self.gauge.is_drained() {
                return Err(TeeOutcome::Idle);
            }
            taken = now;
        }
    }

    /// The target's client, which tells a gateway there which ones the upload has passed.
    async fn client(&self) -> Result<Client, TeeOutcome> {
        let client = self.shared.client(self.target.registry).await;
        let client = client.map_err(|error| {
            tracing::debug!(%error, "no client for a target");
            TeeOutcome::Refused
        })?;
        let passed = self.origin.clone().and(self.shared.snapshot.own());
        Ok(match HeaderValue::from_str(&passed.to_string()) {
            Ok(value) => client.with_header(HeaderName::from_static(ORIGIN_HEADER), value),
            Err(_impossible) => client,
        })
    }

    fn refused(&self, error: &Error) -> TeeOutcome {
        tracing::debug!(
            registry.id = self.target.registry.0,
            %error,
            "a target does not take a blob while it is pushed"
        );
        TeeOutcome::Refused
    }

    fn idle(&self) -> Duration {
        Duration::from_secs(self.shared.config.tee_idle_seconds)
    }
}

/// The registry behind may take longer to store a larger blob than a target waits for the last
/// bytes of a request.
const GATED_BYTES: u64 = 64 * 1024 * 1024;
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The next push or the end of the process does not wait for a target that is slow to forget.
const CANCEL_WITHIN: Duration = Duration::from_secs(2);
