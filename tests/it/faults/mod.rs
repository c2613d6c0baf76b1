//! Faults while the gateway is busy: what can succeed does, the rest gets a clear answer, and
//! nothing is lost or left behind.
//!
//! `load.rs` keeps clients at work, `book.rs` judges every answer they get; each of the other
//! files is one fault, but for `soak.rs`, which mixes them and looks for leaks.

mod book;
mod certificate;
mod clock;
mod database;
mod disk;
mod files;
mod load;
mod signals;
mod soak;
mod upstream;

use std::time::Duration;

use crate::harness::{Distribution, Gateway, Ledger, Options, until};
use book::Book;

/// A gateway that mirrors every repository of the registry behind it.
struct Mirrored {
    gateway: Gateway,
    source: Distribution,
    mirror: Distribution,
}

impl Mirrored {
    async fn with(options: Options) -> Self {
        let (source, mirror) = tokio::join!(Distribution::start(), Distribution::start());
        let gateway = Gateway::with(Options {
            upstream: Some(source.url()),
            extra: format!("{QUICK}{}", options.extra),
            ..options
        })
        .await;
        gateway.mirror_to(&mirror.url()).await;
        Self {
            gateway,
            source,
            mirror,
        }
    }

    /// Waits until both registries have all that was acknowledged.
    async fn has_all_of(&self, book: &Book) {
        assert!(!book.pushed.is_empty());
        for push in &book.pushed {
            let here = self.source.digest(push.repository, &push.tag).await;
            assert_eq!(here.as_ref(), Some(&push.digest), "{push:?} is lost");
            let what = format!("{push:?} is at the mirror");
            until(&what, async || {
                let there = self.mirror.digest(push.repository, &push.tag).await?;
                (there == push.digest).then_some(())
            })
            .await;
        }
    }

    /// The same, and that the gateway has no work left.
    async fn has_done_all_of(&self, book: &Book) {
        self.has_all_of(book).await;
        let ledger = Ledger::of(&self.gateway);
        until("no work is left", async || {
            ledger.unfinished().await.is_empty().then_some(())
        })
        .await;
    }
}

/// What was left undone is taken up within seconds.
const QUICK: &str = "[jobs]\nretry_base_ms = 50\nretry_cap_seconds = 2\npoll_ms = 200\n";

/// How long after a fault has ended every worker has ended some rounds well: seconds, and much more
/// where the processors are busy with other tests.
const SOON: Duration = Duration::from_secs(20);
