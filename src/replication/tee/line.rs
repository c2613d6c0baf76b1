//! Between a push and the relay to one target: bytes one way, and how it ends both ways.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::{OwnedMutexGuard, mpsc, watch};

use crate::{oci::Digest, replication::metrics::TeeOutcome, wire::BoxError};

/// The push's end.
#[derive(Debug)]
pub(super) struct Line {
    /// Bounded by the memory that what it holds takes its share of. None after the last byte.
    pieces: Mutex<Option<mpsc::UnboundedSender<Bytes>>>,
    gauge: Arc<Gauge>,
}

/// The relay's end: the bytes, as a request body.
#[derive(Debug)]
pub(super) struct Pieces {
    /// Taken before and put back.
    first: VecDeque<Bytes>,
    rest: mpsc::UnboundedReceiver<Bytes>,
    gauge: Arc<Gauge>,
}

/// What both ends look at.
#[derive(Debug)]
pub(super) struct Gauge {
    /// Bytes that wait for the relay.
    queued: AtomicUsize,
    /// Bytes that the relay has taken.
    taken: AtomicUsize,
    fate: watch::Sender<Fate>,
    claim: Mutex<Option<Claim>>,
}

#[derive(Debug)]
struct Claim {
    digest: Digest,
    /// Makes other uploads of the digest to the target wait.
    _turn: OwnedMutexGuard<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Committed,
    Dropped(TeeOutcome),
}

pub(super) fn line() -> (Line, Pieces) {
    let (sender, rest) = mpsc::unbounded_channel();
    let gauge = Arc::new(Gauge {
        queued: AtomicUsize::new(0),
        taken: AtomicUsize::new(0),
        fate: watch::Sender::new(Fate::Open),
        claim: Mutex::default(),
    });
    let line = Line {
        pieces: Mutex::new(Some(sender)),
        gauge: Arc::clone(&gauge),
    };
    let pieces = Pieces {
        first: VecDeque::new(),
        rest,
        gauge,
    };
    (line, pieces)
}

impl Line {
    /// Bytes that wait for the relay.
    pub(super) fn queued_bytes(&self) -> usize {
        self.gauge.queued.load(Ordering::Relaxed)
    }

    pub(super) fn is_open(&self) -> bool {
        *self.gauge.fate.borrow() == Fate::Open
    }

    pub(super) fn push(&self, piece: Bytes) {
        let length = piece.len();
        self.gauge.queued.fetch_add(length, Ordering::Relaxed);
        let sent = self
            .sender()
            .as_ref()
            .is_some_and(|sender| sender.send(piece).is_ok());
        if !sent {
            self.drop_as(TeeOutcome::Abandoned);
        }
    }

    pub(super) fn claim(&self, digest: &Digest, turn: OwnedMutexGuard<()>) {
        let mut claim = self.gauge.claim();
        if self.is_open() {
            let digest = digest.clone();
            *claim = Some(Claim {
                digest,
                _turn: turn,
            });
        }
    }

    pub(super) fn close(&self) {
        self.sender().take();
    }

    pub(super) fn commit(&self) {
        self.gauge.decide(Fate::Committed);
    }

    pub(super) fn drop_as(&self, outcome: TeeOutcome) {
        self.gauge.decide(Fate::Dropped(outcome));
        self.close();
    }

    fn sender(&self) -> MutexGuard<'_, Option<mpsc::UnboundedSender<Bytes>>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.drop_as(TeeOutcome::Abandoned);
    }
}

impl Gauge {
    /// The first decision stands.
    fn decide(&self, fate: Fate) {
        self.fate.send_if_modified(|current| {
            let is_open = *current == Fate::Open;
            if is_open {
                *current = fate;
            }
            is_open
        });
    }

    /// Waits until the push is over; the digest if the registry behind has the blob.
    pub(super) async fn committed(&self) -> Result<Digest, TeeOutcome> {
        let mut fates = self.fate.subscribe();
        let fate = fates.wait_for(|fate| *fate != Fate::Open).await;
        match fate.map(|fate| *fate) {
            Ok(Fate::Dropped(outcome)) => Err(outcome),
            _committed => {
                let claim = self.claim();
                let digest = claim.as_ref().map(|claim| claim.digest.clone());
                digest.ok_or(TeeOutcome::Abandoned)
            }
        }
    }

    /// Waits until somebody gives the upload up.
    pub(super) async fn dropped(&self) -> TeeOutcome {
        let mut fates = self.fate.subscribe();
        let is_dropped = |fate: &Fate| matches!(fate, Fate::Dropped(_));
        match fates.wait_for(is_dropped).await.map(|fate| *fate) {
            Ok(Fate::Dropped(outcome)) => outcome,
            _no_sender => TeeOutcome::Abandoned,
        }
    }

    /// Ends the line from the relay's side; others may bring the blob from now on.
    pub(super) fn end(&self) {
        let mut claim = self.claim();
        self.decide(Fate::Dropped(TeeOutcome::Abandoned));
        claim.take();
    }

    /// Grows while the target takes bytes.
    pub(super) fn taken_bytes(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn claim(&self) -> MutexGuard<'_, Option<Claim>> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pieces {
    pub(super) fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }

    /// What is left when the bytes have been thrown away.
    pub(super) fn none(gauge: &Arc<Gauge>) -> Self {
        Self {
            first: VecDeque::new(),
            rest: mpsc::unbounded_channel().1,
            gauge: Arc::clone(gauge),
        }
    }

    /// The next piece; `None` after the last one.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Puts what was taken back to the front.
    pub(super) fn put_back(&mut self, pieces: Vec<Bytes>) {
        self.first = pieces.into();
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.pop_front() {
            return Poll::Ready(Some(first));
        }
        let piece = ready!(self.rest.poll_recv(context));
        if let Some(piece) = &piece {
            self.gauge.queued.fetch_sub(piece.len(), Ordering::Relaxed);
            self.gauge.taken.fetch_add(piece.len(), Ordering::Relaxed);
        }
        Poll::Ready(piece)
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let piece = ready!(self.poll_next(context));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }
}
