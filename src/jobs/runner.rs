use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Interval, MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Error, Handler, Jobs, Schedules, State,
    instance::ANNOUNCE_EVERY,
    metrics::DepthLabels,
    pause::SCHEDULER,
    queries::{self, Claimed},
    queue::{BATCH, Inner},
    settler::Settler,
    slots::Reason,
    system::queries::trim,
    wake,
    worker::Worker,
};
use crate::{
    clock::{Setbacks, Timestamp},
    failpoint, secret,
};

/// Runs the jobs of this process: dispatcher, workers, leases, schedules and sweeping.
pub struct Runner {
    jobs: Jobs,
    handlers: BTreeMap<&'static str, Arc<dyn Handler>>,
    free: Arc<Semaphore>,
    workers: TaskTracker,
    settler: Settler,
    /// Cancelled when nobody waits any more for the workers.
    forsaken: CancellationToken,
}

impl Runner {
    /// Jobs of kinds without a handler wait for an instance that has one.
    pub fn new(jobs: Jobs, handlers: impl IntoIterator<Item = Arc<dyn Handler>>) -> Self {
        let workers = jobs.inner.config.workers.max(1);
        let forsaken = CancellationToken::new();
        let handlers: BTreeMap<_, _> = handlers
            .into_iter()
            .map(|handler| (handler.kind(), handler))
            .collect();
        jobs.know_kinds(&handlers);
        Self {
            handlers,
            free: Arc::new(Semaphore::new(workers)),
            settler: Settler::start(jobs.inner.clone(), workers, forsaken.clone()),
            jobs,
            workers: TaskTracker::new(),
            forsaken,
        }
    }

    /// Runs until `shutdown`; then takes nothing more, tells running jobs to end, and returns when
    /// each has been handed back or has ended, at the latest after twice
    /// [`Config::stop_grace_seconds`](super::Config::stop_grace_seconds).
    pub async fn run(self, shutdown: CancellationToken) {
        let inner = self.jobs.inner.clone();
        let keeping = CancellationToken::new();
        let keeper = tokio::spawn(keep(inner.clone(), keeping.clone()));
        let chores = tokio::spawn(chores(self.jobs.clone(), shutdown.clone()));
        let sharing = tokio::spawn(wake::share(inner.clone(), shutdown.clone()));
        recover(&inner, &shutdown).await;
        report("read which kinds are paused", inner.read_pauses().await);
        self.dispatch(&shutdown).await;
        inner.closing.cancel();
        self.hand_back().await;
        keeping.cancel();
        for task in [keeper, chores, sharing] {
            if task.await.is_err() {
                tracing::error!("a task of the job engine panicked");
            }
        }
    }

    async fn dispatch(&self, shutdown: &CancellationToken) {
        let inner = &self.jobs.inner;
        while !shutdown.is_cancelled() {
            let permits = tokio::select! {
                permits = self.free_permits() => permits,
                () = shutdown.cancelled() => return,
            };
            let kinds = self.handlers.keys().copied();
            let kinds: Vec<&str> = kinds.filter(|kind| !inner.is_paused(kind)).collect();
            // Once sent, a claim is waited for: what it took must not be forgotten.
            let claimed = match inner.claim(&kinds, permits.len()).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::warn!("cannot read the job queue: {error}");
                    Vec::new()
                }
            };
            if !claimed.is_empty() {
                failpoint::hit("jobs.taken");
            }
            let is_idle = claimed.is_empty();
            for (row, permit) in claimed.into_iter().zip(permits) {
                self.start(row, permit);
            }
            if is_idle {
                self.wait_for_work(shutdown).await;
            }
        }
    }

    /// Tells running jobs to end, and waits for them.
    async fn hand_back(&self) {
        for slot in self.jobs.inner.slots.all() {
            slot.end(Reason::Shutdown);
        }
        self.workers.close();
        // Runs are dropped after the grace; as long again for the database to hear of it.
        let patience = self.jobs.inner.config.stop_grace() * 2;
        if timeout(patience, self.workers.wait()).await.is_err() {
            tracing::warn!("the database did not take in time how the last jobs ended");
            // Their leases run out, and another instance or the next start runs them again.
            self.forsaken.cancel();
            self.workers.wait().await;
        }
    }

    /// All permits that are free, at least one.
    async fn free_permits(&self) -> Vec<OwnedSemaphorePermit> {
        let mut permits = Vec::new();
        permits.extend(self.free.clone().acquire_owned().await);
        while let Ok(permit) = self.free.clone().try_acquire_owned() {
            permits.push(permit);
        }
        permits
    }

    /// Until somebody wakes the queue, or the time to poll, which varies so that instances do
    /// not poll in step.
    async fn wait_for_work(&self, shutdown: &CancellationToken) {
        let poll = self.jobs.inner.config.poll();
        let [random] = secret::random_bytes();
        let pause = poll.mul_f64(1.0 - f64::from(random) / 1024.0);
        tokio::select! {
            () = self.jobs.inner.woken.notified() => {}
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => {}
        }
    }

    fn start(&self, row: Claimed, permit: OwnedSemaphorePermit) {
        let Some(handler) = self.handlers.get(row.kind.as_str()).cloned() else {
            return;
        };
        let inner = self.jobs.inner.clone();
        let worker = Worker {
            slot: inner.occupy(&row),
            inner,
            handler,
            row,
            settler: self.settler.clone(),
        };
        let forsaken = self.forsaken.clone();
        self.workers.spawn(async move {
            let _ = forsaken.run_until_cancelled(worker.run()).await;
            drop(permit);
        });
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("kinds", &self.handlers.keys())
            .finish_non_exhaustive()
    }
}

/// Frees what an earlier life of this process held, as soon as the database answers.
async fn recover(inner: &Inner, shutdown: &CancellationToken) {
    loop {
        match inner.rescue_at_start().await {
            Ok(0) => return,
            Ok(count) => return tracing::info!(count, "freed the jobs of an earlier run"),
            Err(error) => tracing::warn!("cannot free the jobs of an earlier run: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(inner.config.poll()) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Keeps the leases of running jobs, writes their logs, and frees jobs of instances that died.
async fn keep(inner: Arc<Inner>, done: CancellationToken) {
    let mut beats = ticks(inner.config.heartbeat());
    let mut beaten = Instant::now();
    let mut rescued = Instant::now();
    while next_tick(&mut beats, &done).await {
        let sent = Instant::now();
        match inner.beat().await {
            Ok(()) => beaten = sent,
            Err(error) => tracing::warn!("cannot extend the leases of running jobs: {error}"),
        }
        // Others may take the jobs when the lease ends; the runs here must have ended by then.
        if beaten.elapsed() + 2 * inner.config.heartbeat() > inner.config.lease() {
            for slot in inner.slots.all() {
                slot.end(Reason::LeaseLost);
            }
        }
        report("write job logs", inner.write_logs(&inner.slots.all()).await);
        inner.charge_moved();
        if rescued.elapsed() >= inner.config.poll() {
            rescued = Instant::now();
            look_at_others(&inner).await;
        }
    }
}

/// Frees the jobs of instances that died, and reads which targets others have parked or opened.
async fn look_at_others(inner: &Inner) {
    let freed = inner.rescue().await;
    let opened = inner.refresh_targets().await;
    if matches!(freed, Ok(1..)) || matches!(opened, Ok(true)) {
        inner.woken.notify_one();
    }
    report("free the jobs of a dead instance", freed);
    report("read which targets are parked", opened);
}

/// Fires schedules, measures the queue and deletes old jobs.
async fn chores(jobs: Jobs, shutdown: CancellationToken) {
    let schedules = Schedules::new(jobs.clone());
    let inner = &jobs.inner;
    let mut seconds = ticks(inner.config.poll());
    let started = inner.clock.now();
    let (mut announced, mut measured, mut swept) = (None, None, None);
    let mut setbacks = Setbacks::default();
    let due = |last: &mut Option<Instant>, every: Duration| {
        let due = last.is_none_or(|last| last.elapsed() >= every);
        if due {
            *last = Some(Instant::now());
        }
        due
    };
    while next_tick(&mut seconds, &shutdown).await {
        let now = inner.clock.now();
        if setbacks.is_behind(now) {
            let followed = follow_setback(inner, &schedules, now).await;
            followed.is_ok().then(|| setbacks.taken_up(now));
            report("go by a clock that was set back", followed);
        }
        report("read which kinds are paused", inner.read_pauses().await);
        if due(&mut announced, ANNOUNCE_EVERY) {
            report("say that this process lives", inner.announce(started).await);
        }
        if !inner.is_paused(SCHEDULER) {
            report("fire schedules", schedules.fire().await);
        }
        if due(&mut measured, MEASURE_EVERY) {
            report("measure the job queue", measure(inner).await);
        }
        if due(&mut swept, SWEEP_EVERY) {
            report("delete old jobs", sweep(&jobs).await);
            let before = inner.clock.now().minus(inner.config.history());
            report("forget old firings", schedules.sweep(before).await);
        }
    }
    report("say that this process ends", inner.leave().await);
}

async fn follow_setback(inner: &Inner, schedules: &Schedules, now: Timestamp) -> Result<(), Error> {
    inner.follow_setback(now).await?;
    schedules.follow_setback(now).await
}

/// Sets the depth of the queue by kind and state.
async fn measure(inner: &Inner) -> Result<(), Error> {
    let rows = queries::depth(&inner.db).await?;
    inner.metrics.depth.clear();
    for row in rows {
        let Ok(state) = row.state.parse::<State>() else {
            continue;
        };
        let labels = DepthLabels {
            kind: row.kind,
            state: state.as_str(),
        };
        inner.metrics.depth.get_or_create(&labels).set(row.jobs);
    }
    Ok(())
}

/// Deletes finished jobs past their history.
pub(super) async fn sweep(jobs: &Jobs) -> Result<u64, Error> {
    let inner = &jobs.inner;
    let before = inner.clock.now().minus(inner.config.history());
    let mut deleted = 0;
    let kept = jobs.kept();
    for (kind, newest) in &kept {
        deleted += trim(&inner.db, kind, *newest).await?;
    }
    let kept: Vec<&str> = kept.into_iter().map(|(kind, _newest)| kind).collect();
    loop {
        let count = queries::sweep(&inner.db, before, BATCH, &kept).await?;
        failpoint::hit("jobs.swept");
        deleted += count;
        if count == 0 {
            return Ok(deleted);
        }
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits for the next tick; false once `done` is cancelled.
async fn next_tick(ticks: &mut Interval, done: &CancellationToken) -> bool {
    tokio::select! {
        _instant = ticks.tick() => true,
        () = done.cancelled() => false,
    }
}

fn report<T>(what: &str, result: Result<T, Error>) {
    if let Err(error) = result {
        tracing::warn!("cannot {what}: {error}");
    }
}

const MEASURE_EVERY: Duration = Duration::from_secs(15);
const SWEEP_EVERY: Duration = Duration::from_hours(1);
