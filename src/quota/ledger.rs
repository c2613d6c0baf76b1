//! What counts for projects beside their artifacts, and whether more fits. No I/O, no clock: times
//! are the clock's `elapsed`.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::Exceeded;
use crate::{auth::ProjectId, oci::Digest};

/// All projects with a limit that something was pushed to.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: HashMap<ProjectId, Account>,
    next: u64,
    /// Of all accounts.
    entries: usize,
}

/// One project.
#[derive(Debug, Default)]
struct Account {
    reading: Option<Reading>,
    /// Blobs and manifests that were in no artifact at the last reading.
    stored: HashMap<Digest, Entry>,
    /// What is on its way.
    pending: HashMap<u64, Pending>,
    /// Of both together; sizes are what clients say, and their sum may pass 64 bits.
    held_bytes: u128,
    told: Option<Duration>,
}

/// What the database said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub used_bytes: u64,
    /// When it was asked last.
    pub at: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    bytes: u64,
    /// `None`: as long as it is under way.
    until: Option<Duration>,
}

#[derive(Debug)]
struct Pending {
    entry: Entry,
    /// What of it the database counts already.
    counted: Counted,
    /// The blob that a request brings now, as it says, and of which something is free to it.
    repeats: Option<Digest>,
}

/// Digests that the database counts for a project, with the size that each counts with.
pub(super) type Counted = BTreeMap<Digest, u64>;

impl Entry {
    fn counts_at(&self, now: Duration) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// What is to be on its way.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// Bytes from a client, of the blob that it says they are, if it says so. Nobody has seen them
    /// yet: of a blob that the project has, no more is free than that blob has, and to one upload
    /// at a time.
    Upload { digest: Option<Digest>, bytes: u64 },
    /// What the registry behind has, or a manifest with it, with the size of each; what the
    /// project has costs nothing.
    Known(Vec<(Digest, u64)>),
}

impl Wanted {
    pub(super) fn digests(&self) -> Vec<&Digest> {
        match self {
            Self::Upload { digest, .. } => digest.iter().collect(),
            Self::Known(blobs) => blobs.iter().map(|(digest, _)| digest).collect(),
        }
    }

    /// The blob that is brought again, when no more than this is needed for it.
    fn repeats(&self, need: u64) -> Option<Digest> {
        match self {
            Self::Upload { digest, bytes } if need < *bytes => digest.clone(),
            Self::Upload { .. } | Self::Known(_) => None,
        }
    }
}

/// How full a project is after something was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filled {
    pub bytes: u64,
    /// It has just passed [`WARNING_PERCENT`].
    pub is_news: bool,
}

impl Ledger {
    /// A number for something that is on its way.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn reading(&self, project: ProjectId) -> Option<Reading> {
        self.accounts.get(&project)?.reading
    }

    /// What is held of blobs whose place a reading may show.
    pub(super) fn stored(&self, project: ProjectId) -> Vec<Digest> {
        let account = self.accounts.get(&project);
        account.map_or_else(Vec::new, |account| account.stored.keys().cloned().collect())
    }

    /// Takes a reading, which counts these digests already.
    pub(super) fn read(&mut self, project: ProjectId, reading: Reading, counted: &Counted) {
        self.change(project, |account| {
            account.reading = Some(reading);
            account.keep(|digest, entry| {
                entry.counts_at(reading.at)
                    && !digest.is_some_and(|digest| counted.contains_key(digest))
            });
        });
    }

    /// What was read last stands, for want of anything newer; false when nothing was.
    pub(super) fn stands(&mut self, project: ProjectId, now: Duration) -> bool {
        self.change(project, |account| {
            if let Some(reading) = &mut account.reading {
                reading.at = now;
            }
            account.reading.is_some()
        })
    }

    /// Like [`Ledger::take`], before it is known what of `wanted` the database counts. `None`,
    /// with nothing taken, where that matters: it does not fit without, or would be news.
    pub(super) fn try_take(
        &mut self,
        (project, id): (ProjectId, u64),
        wanted: &Wanted,
        limit: u64,
    ) -> Option<Filled> {
        self.change(project, |account| {
            let none = Counted::new();
            let (need, filled) = account.weigh(id, wanted, &none, limit).ok()?;
            let is_sure = !filled.is_news || wanted.digests().is_empty();
            is_sure.then(|| {
                account.put_pending(id, need, none, wanted.repeats(need));
                filled
            })
        })
    }

    /// Puts `wanted` in the place of what `id` stands for, if it fits; less always does. It is
    /// under way from now on. `counted`: what of it the database counts.
    pub(super) fn take(
        &mut self,
        (project, id): (ProjectId, u64),
        wanted: &Wanted,
        counted: &Counted,
        limit: u64,
    ) -> Result<Filled, Exceeded> {
        self.change(project, |account| {
            let (need, filled) = account.weigh(id, wanted, counted, limit)?;
            account.put_pending(id, need, counted.clone(), wanted.repeats(need));
            Ok(filled)
        })
    }

    /// What `id` stands for waits for its next request, and counts until then: so many bytes, which
    /// are here whether they fit or not, and are no blob that the project has.
    pub(super) fn rest(&mut self, (project, id): (ProjectId, u64), bytes: u64, until: Duration) {
        self.change(project, |account| {
            if let Some(pending) = account.pending.get_mut(&id) {
                account.held_bytes += u128::from(bytes);
                account.held_bytes -= u128::from(pending.entry.bytes);
                pending.entry.bytes = bytes;
                pending.entry.until = Some(until);
                pending.repeats = None;
            }
        });
    }

    /// What `id` stands for has come to this; what the database counts of it is not held.
    pub(super) fn store(
        &mut self,
        (project, id): (ProjectId, u64),
        blobs: &[(Digest, u64)],
        until: Duration,
    ) {
        self.change(project, |account| {
            let counted = account.drop_pending(id);
            let held = blobs
                .iter()
                .filter(|(digest, _)| !counted.contains_key(digest));
            for (digest, bytes) in held {
                let entry = account.stored.entry(digest.clone());
                let entry = entry.or_insert(Entry {
                    bytes: 0,
                    until: None,
                });
                account.held_bytes += u128::from(bytes.saturating_sub(entry.bytes));
                entry.bytes = entry.bytes.max(*bytes);
                entry.until = entry.until.max(Some(until));
            }
        });
    }

    /// What `id` stands for is no more on its way.
    pub(super) fn release(&mut self, project: ProjectId, id: u64) {
        self.change(project, |account| drop(account.drop_pending(id)));
    }

    /// Forgets what has counted long enough for the project.
    pub(super) fn sweep_project(&mut self, project: ProjectId, now: Duration) {
        self.change(project, |account| {
            account.keep(|_, entry| entry.counts_at(now));
        });
    }

    /// Forgets what has counted long enough.
    pub(super) fn sweep(&mut self, now: Duration) {
        for account in self.accounts.values_mut() {
            account.keep(|_, entry| entry.counts_at(now));
        }
        self.entries = self.accounts.values().map(Account::entries).sum();
    }

    /// Whether the project's webhooks are to be told of a refusal: now and then.
    pub(super) fn is_told(&mut self, project: ProjectId, now: Duration) -> bool {
        self.change(project, |account| {
            let is_due = account
                .told
                .is_none_or(|told| now.saturating_sub(told) >= TOLD_EVERY);
            if is_due {
                account.told = Some(now);
            }
            is_due
        })
    }

    /// Uploads and blobs that are held.
    pub(super) const fn entries(&self) -> usize {
        self.entries
    }

    /// Those of the project.
    pub(super) fn entries_of(&self, project: ProjectId) -> usize {
        self.accounts.get(&project).map_or(0, Account::entries)
    }

    fn change<T>(&mut self, project: ProjectId, change: impl FnOnce(&mut Account) -> T) -> T {
        let account = self.accounts.entry(project).or_default();
        let before = account.entries();
        let result = change(account);
        self.entries = self.entries - before + account.entries();
        result
    }
}

impl Account {
    fn total(&self) -> u128 {
        let used = self.reading.map_or(0, |reading| reading.used_bytes);
        u128::from(used) + self.held_bytes
    }

    fn entries(&self) -> usize {
        self.stored.len() + self.pending.len()
    }

    /// What `wanted` needs in the place of what `id` stands for, and how full the project is then.
    fn weigh(
        &self,
        id: u64,
        wanted: &Wanted,
        counted: &Counted,
        limit: u64,
    ) -> Result<(u64, Filled), Exceeded> {
        let need = self.need(id, wanted, counted);
        let old = self.pending.get(&id);
        let old = old.map_or(0, |pending| pending.entry.bytes);
        let before = self.total();
        let used = before - u128::from(old);
        let bytes = used + u128::from(need);
        if need > old && bytes > u128::from(limit) {
            return Err(Exceeded {
                adding: need,
                used: saturated(used),
                limit,
            });
        }
        let filled = Filled {
            bytes: saturated(bytes),
            is_news: is_nearly_full(bytes, limit) && !is_nearly_full(before, limit),
        };
        Ok((need, filled))
    }

    fn need(&self, id: u64, wanted: &Wanted, counted: &Counted) -> u64 {
        let stored = |digest| self.stored.get(digest).map_or(0, |entry| entry.bytes);
        match wanted {
            Wanted::Upload { digest, bytes } => {
                let digest = digest.as_ref();
                let had = digest.map_or(0, |digest| {
                    let counted = counted.get(digest).copied();
                    counted.unwrap_or_else(|| stored(digest))
                });
                // Each of them lies on the disk until it ends, whatever it is named.
                let is_second = had > 0 && self.is_repeated_by_another(id, digest);
                let free = if is_second { 0 } else { had };
                bytes.saturating_sub(free)
            }
            Wanted::Known(blobs) => {
                let blobs = blobs.iter();
                let missing = blobs.filter(|(digest, _)| !counted.contains_key(digest));
                missing.fold(0, |sum: u64, (digest, size)| {
                    sum.saturating_add(size.saturating_sub(stored(digest)))
                })
            }
        }
    }

    fn is_repeated_by_another(&self, id: u64, digest: Option<&Digest>) -> bool {
        let mut pending = self.pending.iter();
        pending.any(|(other, pending)| *other != id && pending.repeats.as_ref() == digest)
    }

    /// Drops the others; what is stored has a digest.
    fn keep(&mut self, stays: impl Fn(Option<&Digest>, &Entry) -> bool) {
        self.stored
            .retain(|digest, entry| stays(Some(digest), entry));
        self.pending
            .retain(|_, pending| stays(None, &pending.entry));
        self.held_bytes = self.held().map(|entry| u128::from(entry.bytes)).sum();
    }

    fn held(&self) -> impl Iterator<Item = &Entry> {
        let pending = self.pending.values().map(|pending| &pending.entry);
        self.stored.values().chain(pending)
    }

    fn put_pending(&mut self, id: u64, bytes: u64, counted: Counted, repeats: Option<Digest>) {
        self.drop_pending(id);
        self.held_bytes += u128::from(bytes);
        let pending = Pending {
            entry: Entry { bytes, until: None },
            counted,
            repeats,
        };
        self.pending.insert(id, pending);
    }

    /// What of it the database counts.
    fn drop_pending(&mut self, id: u64) -> Counted {
        let Some(pending) = self.pending.remove(&id) else {
            return Counted::new();
        };
        self.held_bytes -= u128::from(pending.entry.bytes);
        pending.counted
    }
}

fn saturated(bytes: u128) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn is_nearly_full(bytes: u128, limit: u64) -> bool {
    bytes * 100 >= u128::from(limit) * WARNING_PERCENT
}

/// Harbor's (`src/pkg/config`, quota warning).
pub(super) const WARNING_PERCENT: u128 = 85;

/// A client that is refused goes on with its other layers: one event says it.
const TOLD_EVERY: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROJECT: ProjectId = ProjectId(1);
    const LIMIT: u64 = 100;

    #[derive(Debug, Clone)]
    enum Step {
        /// What is on its way, in bytes or as a blob.
        Take(u64, u64, Option<u8>),
        /// It is stored as this blob.
        Store(u64, u8, u64),
        /// So much of it is here.
        Rest(u64, u64),
        Release(u64),
        /// So much is used, and blobs up to this one count in it.
        Read(u64, u8),
        Sweep,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let (id, blob, bytes) = (1..5_u64, 0..4_u8, 0..60_u64);
        let step = prop_oneof![
            3 => (id.clone(), bytes.clone(), prop::option::of(blob.clone()))
                .prop_map(|(id, bytes, blob)| Step::Take(id, bytes, blob)),
            2 => (id.clone(), blob.clone(), bytes.clone())
                .prop_map(|(id, blob, bytes)| Step::Store(id, blob, bytes)),
            1 => (id.clone(), bytes.clone()).prop_map(|(id, bytes)| Step::Rest(id, bytes)),
            1 => id.prop_map(Step::Release),
            1 => (bytes, blob).prop_map(|(used, blob)| Step::Read(used, blob)),
            1 => Just(Step::Sweep),
        ];
        prop::collection::vec(step, 1..60)
    }

    fn digest(blob: u8) -> Digest {
        Digest::sha256(&[blob])
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The sums are those of the entries, and nothing that grows passes the limit.
        #[test]
        fn sums_are_right_and_nothing_grows_past_the_limit(steps in steps()) {
            let mut ledger = Ledger::default();
            for (number, step) in (0_u64..).zip(steps) {
                let now = Duration::from_secs(number);
                let until = Duration::from_secs(number + 10);
                match step {
                    Step::Take(id, bytes, blob) => take(&mut ledger, (id, bytes, blob))?,
                    Step::Rest(id, bytes) => ledger.rest((PROJECT, id), bytes, until),
                    Step::Store(id, blob, bytes) => {
                        ledger.store((PROJECT, id), &[(digest(blob), bytes)], until);
                    }
                    Step::Release(id) => ledger.release(PROJECT, id),
                    Step::Read(used_bytes, last) => {
                        let counted = (0..last).map(|blob| (digest(blob), 1)).collect();
                        ledger.read(PROJECT, Reading { used_bytes, at: now }, &counted);
                        prop_assert!(ledger.stored(PROJECT).iter().all(|held| !counted.contains_key(held)));
                    }
                    Step::Sweep => ledger.sweep(now),
                }
                if let Some(account) = ledger.accounts.get(&PROJECT) {
                    let held = account.held().map(|entry| u128::from(entry.bytes));
                    prop_assert_eq!(account.held_bytes, held.sum::<u128>());
                    prop_assert_eq!(ledger.entries(), account.entries());
                }
            }
        }
    }

    fn take(
        ledger: &mut Ledger,
        (id, bytes, blob): (u64, u64, Option<u8>),
    ) -> Result<(), TestCaseError> {
        let before = total(ledger);
        let wanted = Wanted::Upload {
            digest: blob.map(digest),
            bytes,
        };
        let taken = ledger.take((PROJECT, id), &wanted, &Counted::new(), LIMIT);
        let after = total(ledger);
        match taken {
            Ok(filled) => {
                prop_assert_eq!(filled.bytes, after);
                prop_assert!(after <= LIMIT.max(before));
            }
            Err(exceeded) => {
                prop_assert_eq!(after, before);
                prop_assert!(exceeded.used + exceeded.adding > LIMIT);
            }
        }
        Ok(())
    }

    fn unnamed(bytes: u64) -> Wanted {
        Wanted::Upload {
            digest: None,
            bytes,
        }
    }

    fn total(ledger: &Ledger) -> u64 {
        saturated(ledger.accounts.get(&PROJECT).map_or(0, Account::total))
    }

    #[test]
    fn a_project_that_becomes_nearly_full_is_news_once() {
        let mut ledger = Ledger::default();
        let news = [
            (84, false),
            (85, true),
            (90, false),
            (10, false),
            (100, true),
        ];
        for (bytes, is_news) in news {
            let wanted = unnamed(bytes);
            let filled = ledger.take((PROJECT, 1), &wanted, &Counted::new(), LIMIT);
            assert_eq!(filled, Ok(Filled { bytes, is_news }));
        }
    }

    #[test]
    fn sizes_of_any_kind_are_added_up() {
        let mut ledger = Ledger::default();
        let until = Duration::from_secs(10);
        let huge = [(digest(0), u64::MAX), (digest(1), u64::MAX)];
        ledger.store((PROJECT, 1), &huge, until);
        let wanted = unnamed(1);
        let refused = ledger.take((PROJECT, 2), &wanted, &Counted::new(), LIMIT);
        assert_eq!(refused.unwrap_err().used, u64::MAX);
        ledger.sweep(until);
        let taken = ledger.take((PROJECT, 2), &wanted, &Counted::new(), LIMIT);
        assert_eq!(taken.unwrap().bytes, 1);
    }

    #[test]
    fn what_is_under_way_counts_to_its_end() {
        let mut ledger = Ledger::default();
        let wanted = unnamed(LIMIT);
        let taken = ledger.take((PROJECT, 1), &wanted, &Counted::new(), LIMIT);
        assert!(taken.is_ok());
        ledger.sweep(Duration::from_secs(1_000_000));
        assert_eq!(total(&ledger), LIMIT);
        ledger.rest((PROJECT, 1), LIMIT, Duration::from_secs(1_000_001));
        ledger.sweep(Duration::from_secs(1_000_000));
        assert_eq!(total(&ledger), LIMIT);
        ledger.sweep_project(PROJECT, Duration::from_secs(1_000_001));
        assert_eq!(total(&ledger), 0);
    }

    #[test]
    fn what_the_database_counts_is_neither_news_nor_held() {
        let mut ledger = Ledger::default();
        let blobs = vec![(digest(0), 90)];
        let wanted = Wanted::Known(blobs.clone());
        assert_eq!(ledger.try_take((PROJECT, 1), &wanted, LIMIT), None);
        assert_eq!(total(&ledger), 0);
        let counted = Counted::from([(digest(0), 90)]);
        let taken = ledger.take((PROJECT, 1), &wanted, &counted, LIMIT);
        let nothing = Filled {
            bytes: 0,
            is_news: false,
        };
        assert_eq!(taken, Ok(nothing));
        ledger.store((PROJECT, 1), &blobs, Duration::from_secs(10));
        assert_eq!((total(&ledger), ledger.entries()), (0, 0));
    }

    #[test]
    fn no_more_of_an_upload_is_free_than_the_blob_it_names_has() {
        for is_counted in [true, false] {
            let mut ledger = Ledger::default();
            let mut counted = Counted::new();
            if is_counted {
                counted.insert(digest(0), 60);
            } else {
                ledger.store((PROJECT, 1), &[(digest(0), 60)], Duration::from_secs(10));
            }
            let before = total(&ledger);
            let mut adds = |id, bytes| {
                let wanted = Wanted::Upload {
                    digest: Some(digest(0)),
                    bytes,
                };
                let taken = ledger.take((PROJECT, id), &wanted, &counted, u64::MAX);
                taken.unwrap().bytes - before
            };
            assert_eq!(adds(2, 60), 0);
            assert_eq!(adds(2, 1060), 1000);
            assert_eq!(adds(2, 60), 0);
            assert_eq!(adds(3, 60), 60, "another one at once");
            ledger.rest((PROJECT, 2), 50, Duration::from_secs(10));
            assert_eq!(total(&ledger) - before, 110, "it came to no blob");
        }
    }

    #[test]
    fn refusals_are_told_once_a_minute() {
        let mut ledger = Ledger::default();
        for (second, told) in [(0, true), (59, false), (60, true), (61, false)] {
            assert_eq!(ledger.is_told(PROJECT, Duration::from_secs(second)), told);
        }
    }
}
