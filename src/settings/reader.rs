use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Named, Values};

/// The settings at hand. Cheap to clone; [`Reader::default`] has the defaults for ever.
///
/// What this process changes is here at once, what others change within [`super::Settings::PAUSE`].
#[derive(Debug, Clone, Default)]
pub struct Reader(Arc<ArcSwap<Snapshot>>);

/// The settings as they were read once.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// Which reading of the database it was; a later one has a greater number.
    pub reading: u64,
    /// What is not left to its default.
    pub named: Named,
    pub values: Arc<Values>,
}

impl Reader {
    /// The values now.
    pub fn values(&self) -> Arc<Values> {
        Arc::clone(&self.0.load().values)
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Takes what was read, unless something read later is here already.
    pub(super) fn take(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        self.0.rcu(|held| {
            let later = held.reading > snapshot.reading;
            Arc::clone(if later { held } else { &snapshot })
        });
    }

    /// Puts these values in place of all others.
    #[cfg(test)]
    pub(crate) fn set(&self, values: Values) {
        self.take(Snapshot {
            reading: self.snapshot().reading + 1,
            named: Named::new(),
            values: Arc::new(values),
        });
    }
}
