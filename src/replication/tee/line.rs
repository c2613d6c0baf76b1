//! Between a push and the relay to one target: bytes one way, and how it ends both ways.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::{
    sync::{Notify, OwnedMutexGuard, watch},
    time::Instant,
};

use super::overflow::Stretch;
use crate::{oci::Digest, replication::metrics::TeeOutcome, wire::Body};

/// The push's end.
#[derive(Debug)]
pub(super) struct Line(Arc<Gauge>);

/// The relay's end.
#[derive(Debug)]
pub(super) struct Pieces {
    gauge: Arc<Gauge>,
    /// Read in part.
    stretch: Option<Stretch>,
}

/// Bytes of an upload, in memory or on disk.
#[derive(Debug)]
pub(super) enum Piece {
    Held(Bytes),
    Stretch(Stretch),
}

/// What both ends look at.
#[derive(Debug)]
pub(super) struct Gauge {
    queue: Mutex<Queue>,
    /// Told of changes in the queue.
    changed: Notify,
    fate: watch::Sender<Fate>,
    claim: Mutex<Option<Claim>>,
}

#[derive(Debug)]
struct Queue {
    pieces: VecDeque<Piece>,
    /// Of the pieces, what is in memory.
    held_bytes: usize,
    given_bytes: u64,
    taken_bytes: u64,
    /// When the relay last took something, or had too little to take.
    moved: Instant,
    is_whole: bool,
}

#[derive(Debug)]
struct Claim {
    digest: Digest,
    size_bytes: Option<u64>,
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
    let queue = Queue {
        pieces: VecDeque::new(),
        held_bytes: 0,
        given_bytes: 0,
        taken_bytes: 0,
        moved: Instant::now(),
        is_whole: false,
    };
    let gauge = Arc::new(Gauge {
        queue: Mutex::new(queue),
        changed: Notify::new(),
        fate: watch::Sender::new(Fate::Open),
        claim: Mutex::default(),
    });
    let pieces = Pieces {
        gauge: Arc::clone(&gauge),
        stretch: None,
    };
    (Line(gauge), pieces)
}

impl Line {
    /// Bytes in memory that wait for the relay.
    pub(super) fn held_bytes(&self) -> usize {
        self.0.queue().held_bytes
    }

    /// Bytes in memory and on disk that wait for the relay.
    #[cfg(test)]
    pub(super) fn waiting_bytes(&self) -> u64 {
        self.0.queue().waiting_bytes()
    }

    pub(super) fn is_open(&self) -> bool {
        *self.0.fate.borrow() == Fate::Open
    }

    pub(super) fn push(&self, piece: Piece) {
        if self.is_open() {
            self.0.queue().push(piece);
            self.0.changed.notify_one();
        }
    }

    /// `size_bytes`: of the whole upload, if that is known already.
    pub(super) fn claim(
        &self,
        digest: &Digest,
        size_bytes: Option<u64>,
        turn: OwnedMutexGuard<()>,
    ) {
        let mut claim = self.0.claim();
        if self.is_open() {
            *claim = Some(Claim {
                digest: digest.clone(),
                size_bytes,
                _turn: turn,
            });
            self.0.changed.notify_one();
        }
    }

    pub(super) fn close(&self) {
        self.0.queue().is_whole = true;
        self.0.changed.notify_one();
    }

    pub(super) fn commit(&self) {
        self.0.decide(Fate::Committed);
    }

    pub(super) fn drop_as(&self, outcome: TeeOutcome) {
        self.0.drop_as(outcome);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.drop_as(TeeOutcome::Abandoned);
    }
}

impl Queue {
    fn push(&mut self, piece: Piece) {
        if self.waiting_bytes() <= SMALL_BYTES {
            self.moved = Instant::now();
        }
        self.given_bytes += piece.bytes();
        match (self.pieces.back_mut(), piece) {
            (Some(Piece::Stretch(last)), Piece::Stretch(next)) => {
                if let Err(next) = last.join(next) {
                    self.pieces.push_back(Piece::Stretch(next));
                }
            }
            (_, Piece::Held(data)) => {
                self.held_bytes += data.len();
                self.pieces.push_back(Piece::Held(data));
            }
            (_, stretch) => self.pieces.push_back(stretch),
        }
    }

    fn waiting_bytes(&self) -> u64 {
        self.given_bytes - self.taken_bytes
    }

    fn pop(&mut self) -> Option<Piece> {
        let piece = self.pieces.pop_front();
        if let Some(Piece::Held(data)) = &piece {
            self.held_bytes -= data.len();
        }
        piece
    }

    fn take(&mut self, bytes: usize) {
        self.taken_bytes += bytes as u64;
        self.moved = Instant::now();
    }

    fn clear(&mut self) {
        self.pieces.clear();
        self.held_bytes = 0;
    }
}

impl Piece {
    fn bytes(&self) -> u64 {
        match self {
            Self::Held(data) => data.len() as u64,
            Self::Stretch(stretch) => stretch.bytes(),
        }
    }
}

impl Gauge {
    /// Whether this was decided: the first decision stands.
    fn decide(&self, fate: Fate) -> bool {
        self.fate.send_if_modified(|current| {
            let is_open = *current == Fate::Open;
            if is_open {
                *current = fate;
            }
            is_open
        })
    }

    pub(super) fn drop_as(&self, outcome: TeeOutcome) {
        if self.decide(Fate::Dropped(outcome)) {
            self.queue().clear();
        }
    }

    /// Whether bytes have lain here for so long that the target takes none.
    pub(super) fn is_stalled(&self) -> bool {
        let queue = self.queue();
        queue.waiting_bytes() > SMALL_BYTES && queue.moved.elapsed() > STALLED_AFTER
    }

    /// Waits until there are more than [`SMALL_BYTES`], or the size of the whole is known.
    pub(super) async fn sendable(&self) {
        while self.queue().given_bytes <= SMALL_BYTES && self.whole().is_none() {
            self.changed.notified().await;
        }
    }

    /// What all bytes are together, if that is known already.
    pub(super) fn whole(&self) -> Option<(Digest, u64)> {
        let claim = self.claim();
        let claim = claim.as_ref()?;
        let queue = self.queue();
        let known = queue.is_whole.then_some(queue.given_bytes);
        Some((claim.digest.clone(), known.or(claim.size_bytes)?))
    }

    pub(super) fn is_committed(&self) -> bool {
        *self.fate.borrow() == Fate::Committed
    }

    /// Whether the registry behind has the blob and the target all bytes of it.
    pub(super) fn is_drained(&self) -> bool {
        let queue = self.queue();
        self.is_committed() && queue.waiting_bytes() == 0
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
        self.queue().clear();
        claim.take();
    }

    /// Grows while the target takes bytes.
    pub(super) fn taken_bytes(&self) -> u64 {
        self.queue().taken_bytes
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(&self) -> MutexGuard<'_, Option<Claim>> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pieces {
    pub(super) fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }

    /// All that come, as a request body.
    pub(super) fn streamed(self) -> Body {
        let frames = stream::try_unfold(self, |mut pieces| async move {
            let data = pieces.next().await?;
            io::Result::Ok(data.map(|data| (Frame::data(data), pieces)))
        });
        Body::boxed(StreamBody::new(frames))
    }

    /// All `size_bytes` of them, as a request body whose end waits for the registry behind: the
    /// target cannot have the blob before it has.
    pub(super) fn gated(self, size_bytes: u64) -> Body {
        let frames = stream::try_unfold((self, size_bytes), |(mut pieces, left)| async move {
            let Some(data) = pieces.next().await? else {
                return io::Result::Ok(None);
            };
            let left = left.saturating_sub(data.len() as u64);
            if left == 0 {
                let given_up = |_outcome| io::Error::other("the push came to nothing");
                pieces.gauge.committed().await.map_err(given_up)?;
            }
            Ok(Some((Frame::data(data), (pieces, left))))
        });
        Body::boxed(StreamBody::new(frames))
    }

    /// The next piece; `None` after the last one.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(stretch) = &mut self.stretch {
                let data = stretch.read().await?;
                if stretch.bytes() == 0 {
                    self.stretch = None;
                }
                self.gauge.queue().take(data.len());
                return Ok(Some(data));
            }
            let (piece, is_whole) = {
                let mut queue = self.gauge.queue();
                (queue.pop(), queue.is_whole)
            };
            match piece {
                Some(Piece::Held(data)) => {
                    self.gauge.queue().take(data.len());
                    return Ok(Some(data));
                }
                Some(Piece::Stretch(stretch)) => self.stretch = Some(stretch),
                None if is_whole => return Ok(None),
                None => self.gauge.changed.notified().await,
            }
        }
    }
}

/// Of larger blobs the bytes go ahead although nobody knows yet how many there will be, which
/// costs a request more.
const SMALL_BYTES: u64 = 256 * 1024;
/// Longer than any way to a target and back takes, first connection and credentials included.
const STALLED_AFTER: Duration = Duration::from_secs(2);
