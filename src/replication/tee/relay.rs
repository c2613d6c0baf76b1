use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    Target,
    line::{Gauge, Pieces},
};
use crate::{
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
        let relayed = self.relay(pieces).await;
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

    async fn relay(&self, pieces: Pieces) -> Result<(), TeeOutcome> {
        let client = self.client().await?;
        let (upload, pieces) = self.begin(&client, pieces).await?;
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

    /// Opens a session. Who gives the upload up meanwhile gets its memory back, but the answer is
    /// waited for: a session that nobody knows of stays at the target until it expires.
    async fn begin(&self, client: &Client, pieces: Pieces) -> Result<(Upload, Pieces), TeeOutcome> {
        let begun = timeout(self.idle(), client.start_upload(&self.target.repository));
        let mut begun = std::pin::pin!(begun);
        let (begun, pieces) = tokio::select! {
            begun = begun.as_mut() => (begun, pieces),
            _outcome = self.gauge.dropped() => {
                drop(pieces);
                (begun.await, Pieces::none(&self.gauge))
            }
            () = self.shared.tee.stop.cancelled() => return Err(TeeOutcome::Abandoned),
        };
        match begun {
            Ok(Ok(upload)) => Ok((upload, pieces)),
            Ok(Err(error)) => Err(self.refused(&error)),
            Err(_elapsed) => Err(TeeOutcome::Idle),
        }
    }

    /// Sends the bytes while they come, and ends the upload once the registry behind has them.
    /// What is small goes whole with the last request.
    async fn send(
        &self,
        client: &Client,
        upload: &Upload,
        mut pieces: Pieces,
    ) -> Result<(), TeeOutcome> {
        let whole = self.patient(gather(&mut pieces)).await?;
        let body = Body::boxed(pieces);
        let (upload, left_bytes, body) = if let Some(size_bytes) = whole {
            (upload.clone(), size_bytes, body)
        } else {
            let streamed = self.patient(client.stream_upload(upload, body)).await?;
            let streamed = streamed.map_err(|error| self.refused(&error))?;
            (streamed, 0, Body::Empty)
        };
        let digest = self.gauge.committed().await?;
        let put = client.put_upload(&upload, &digest, left_bytes, body).await;
        put.map_err(|error| self.refused(&error))?;
        let bytes = self.gauge.taken_bytes() as u64;
        self.shared.metrics.teed_bytes.inc_by(bytes);
        let place = places::Place {
            registry: self.target.registry,
            repository: &self.target.repository,
        };
        self.shared.places.saw_blobs(place, &[&digest]).await;
        Ok(())
    }

    /// Waits for a step as long as the target takes bytes.
    async fn patient<T>(&self, step: impl Future<Output = T>) -> Result<T, TeeOutcome> {
        let mut step = std::pin::pin!(step);
        let mut taken = self.gauge.taken_bytes();
        loop {
            if let Ok(output) = timeout(self.idle(), step.as_mut()).await {
                return Ok(output);
            }
            let now = self.gauge.taken_bytes();
            if now == taken {
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

/// Takes pieces until there are more bytes than one request should hold back; the size if that
/// was all.
async fn gather(pieces: &mut Pieces) -> Option<u64> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    while bytes <= SMALL_BYTES {
        let Some(piece) = pieces.next().await else {
            pieces.put_back(taken);
            return Some(bytes as u64);
        };
        bytes += piece.len();
        taken.push(piece);
    }
    pieces.put_back(taken);
    None
}

/// Blobs up to this size go with one request, most configurations among them; larger ones are
/// worth a request more, for their bytes go ahead.
const SMALL_BYTES: usize = 256 * 1024;
/// The next push or the end of the process does not wait for a target that is slow to forget.
const CANCEL_WITHIN: Duration = Duration::from_secs(2);
