use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{KIND, becomes, enqueue, instance, listed, noon, state, wish};
use crate::{
    jobs::{Config, Failure, Handler, JobId, Jobs, Log, NewJob, Runner, Running, State},
    store::{Db, testing},
};

/// A run that waits for the test to say how it ends.
struct Run {
    id: JobId,
    attempt: u32,
    log: Log,
    stop: CancellationToken,
    end: oneshot::Sender<Outcome>,
}

enum Outcome {
    Returns(Result<(), Failure>),
    /// Leaves the rest to a run after this time.
    Leaves(Duration),
    Panics(&'static str),
    /// Goes on whatever happens.
    Hangs,
}

struct Puppet(mpsc::UnboundedSender<Run>);

impl Handler for Puppet {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn run<'a>(&'a self, job: &'a Running) -> BoxFuture<'a, Result<(), Failure>> {
        let (end, ended) = oneshot::channel();
        let run = Run {
            id: job.id,
            attempt: job.attempt,
            log: job.log.clone(),
            stop: job.stop.clone(),
            end,
        };
        Box::pin(async move {
            self.0.send(run).unwrap();
            match ended.await {
                Ok(Outcome::Returns(result)) => result,
                Ok(Outcome::Leaves(pause)) => {
                    job.leave_rest(pause);
                    Ok(())
                }
                Ok(Outcome::Panics(message)) => panic!("{message}"),
                Ok(Outcome::Hangs) => std::future::pending().await,
                // The test let go of the run: wait to be told to end.
                Err(_dropped) => {
                    job.stop.cancelled().await;
                    Err(Failure::Stopped)
                }
            }
        })
    }
}

/// A runner at work, and the runs it begins.
struct Stage {
    jobs: Jobs,
    runs: mpsc::UnboundedReceiver<Run>,
    shutdown: CancellationToken,
    runner: JoinHandle<()>,
}

impl Stage {
    fn new(db: &Db) -> Self {
        Self::of(instance(db, &noon()))
    }

    fn of(jobs: Jobs) -> Self {
        let (sender, runs) = mpsc::unbounded_channel();
        let puppet: Arc<dyn Handler> = Arc::new(Puppet(sender));
        let shutdown = CancellationToken::new();
        let runner = Runner::new(jobs.clone(), [puppet]);
        Self {
            jobs,
            runs,
            runner: tokio::spawn(runner.run(shutdown.clone())),
            shutdown,
        }
    }

    async fn next_run(&mut self) -> Run {
        let run = tokio::time::timeout(Duration::from_secs(30), self.runs.recv()).await;
        run.expect("a run begins").unwrap()
    }

    async fn shut_down(self) -> Jobs {
        self.shutdown.cancel();
        self.runner.await.unwrap();
        self.jobs
    }
}

fn end(run: Run, outcome: Outcome) {
    assert!(run.end.send(outcome).is_ok(), "the run is waiting");
}

#[tokio::test]
async fn a_job_runs_and_its_log_is_read_from_another_instance() {
    for db in testing::databases().await {
        let mut stage = Stage::new(&db);
        let id = enqueue(&stage.jobs, wish("a", 1)).await.id;
        let run = stage.next_run().await;
        assert_eq!((run.id, run.attempt), (id, 1));
        run.log.line("copied 3 blobs");
        end(run, Outcome::Returns(Ok(())));
        becomes(&stage.jobs, id, State::Done).await;
        let other = instance(&db, &noon());
        assert_eq!(
            other.log(id).await.unwrap(),
            "2027-01-15T08:00:00Z copied 3 blobs\n"
        );
        stage.shut_down().await;
    }
}

#[tokio::test]
async fn a_small_job_passes_large_ones() {
    let large = |key: &str| NewJob {
        size_bytes: Some(1 << 30),
        ..wish(key, 0)
    };
    for db in testing::databases().await {
        let mut stage = Stage::new(&db);
        let mut running = Vec::new();
        for key in ["large 1", "large 2", "large 3"] {
            enqueue(&stage.jobs, large(key)).await;
        }
        running.push(stage.next_run().await);
        running.push(stage.next_run().await);
        let small = enqueue(&stage.jobs, wish("small", 0)).await;
        let third = stage.next_run().await;
        assert_eq!(third.id, small.id, "the third worker is kept for it");
        end(third, Outcome::Returns(Ok(())));
        becomes(&stage.jobs, small.id, State::Done).await;
        assert_eq!(listed(&stage.jobs, Some(State::Ready)).await.len(), 1);
        stage.shut_down().await;
    }
}

#[tokio::test]
async fn no_more_jobs_run_at_once_than_there_are_workers() {
    for db in testing::databases().await {
        let mut stage = Stage::new(&db);
        for n in 0..5 {
            enqueue(&stage.jobs, wish(&format!("k{n}"), n)).await;
        }
        let mut running = Vec::new();
        for _ in 0..3 {
            running.push(stage.next_run().await);
        }
        let waiting = listed(&stage.jobs, Some(State::Ready)).await;
        assert_eq!(waiting.len(), 2);
        end(running.pop().unwrap(), Outcome::Returns(Ok(())));
        stage.next_run().await;
        stage.shut_down().await;
    }
}

#[tokio::test]
async fn what_a_run_leaves_is_due_later_and_can_be_stopped_meanwhile() {
    for db in testing::databases().await {
        let mut stage = Stage::new(&db);
        let id = enqueue(&stage.jobs, wish("long", 1)).await.id;
        for _part in 0..3 {
            let run = stage.next_run().await;
            assert_eq!((run.id, run.attempt), (id, 1));
            end(run, Outcome::Leaves(Duration::ZERO));
        }
        end(
            stage.next_run().await,
            Outcome::Leaves(Duration::from_mins(1)),
        );
        becomes(&stage.jobs, id, State::Ready).await;
        let job = stage.jobs.job(id).await.unwrap();
        assert_eq!(job.run_at, job.updated.plus(Duration::from_mins(1)));
        assert_eq!((job.error, job.generation), (None, 1));
        stage.jobs.stop(id).await.unwrap();
        assert_eq!(state(&stage.jobs, id).await, State::Stopped);
        stage.shut_down().await;
    }
}

#[tokio::test]
async fn a_run_that_was_stopped_leaves_nothing() {
    for db in testing::databases().await {
        let mut stage = Stage::new(&db);
        let id = enqueue(&stage.jobs, wish("long", 1)).await.id;
        let run = stage.next_run().await;
        stage.jobs.stop(id).await.unwrap();
        end(run, Outcome::Leaves(Duration::ZERO));
        becomes(&stage.jobs, id, State::Stopped).await;
        stage.shut_down().await;
    }
}

#[tokio::test]
async fn a_panic_fails_the_job_and_the_worker_lives_on() {
    for db in testing::databases().await {
        let mut stage = Stage::new(&db);
        for n in 0..4 {
            let id = enqueue(&stage.jobs, wish(&format!("k{n}"), n)).await.id;
            let run = stage.next_run().await;
            end(run, Outcome::Panics("index out of bounds"));
            becomes(&stage.jobs, id, State::Failed).await;
            let error = stage.jobs.job(id).await.unwrap().error.unwrap();
            assert!(error.ends_with("a bug: index out of bounds"), "{error}");
        }
        stage.shut_down().await;
    }
}

#[tokio::test]
async fn a_stop_reaches_the_run_and_a_run_that_does_not_listen_is_dropped() {
    for db in testing::databases().await {
        let mut stage = Stage::new(&db);
        let polite = enqueue(&stage.jobs, wish("polite", 1)).await.id;
        drop(stage.next_run().await.end);
        let deaf = enqueue(&stage.jobs, wish("deaf", 1)).await.id;
        end(stage.next_run().await, Outcome::Hangs);
        let other = instance(&db, &noon());
        other.stop(polite).await.unwrap();
        stage.jobs.stop(deaf).await.unwrap();
        becomes(&other, polite, State::Stopped).await;
        becomes(&other, deaf, State::Stopped).await;
        stage.shut_down().await;
    }
}

#[tokio::test]
async fn a_failed_run_is_tried_again_with_the_next_attempt() {
    for db in testing::databases().await {
        let mut stage = Stage::new(&db);
        let id = enqueue(&stage.jobs, wish("a", 1)).await.id;
        let run = stage.next_run().await;
        end(run, Outcome::Returns(Err(Failure::retryable("reset"))));
        becomes(&stage.jobs, id, State::Retry).await;
        stage.jobs.retry(id).await.unwrap();
        let run = stage.next_run().await;
        assert_eq!(run.attempt, 1, "a retry by hand has all its attempts");
        end(run, Outcome::Returns(Ok(())));
        becomes(&stage.jobs, id, State::Done).await;
        let log = stage.jobs.log(id).await.unwrap();
        assert!(log.contains("failed (retryable): reset"), "{log}");
        stage.shut_down().await;
    }
}

#[tokio::test]
async fn a_shutdown_hands_running_jobs_back() {
    for db in testing::databases().await {
        let mut stage = Stage::new(&db);
        let id = enqueue(&stage.jobs, wish("a", 1)).await.id;
        let run = stage.next_run().await;
        let stop = run.stop.clone();
        drop(run.end);
        let jobs = stage.shut_down().await;
        assert!(stop.is_cancelled());
        let job = jobs.job(id).await.unwrap();
        assert_eq!((job.state, job.attempts), (State::Ready, 0));
        let mut next_life = Stage::new(&db);
        assert_eq!(next_life.next_run().await.id, id);
        next_life.shut_down().await;
    }
}

#[tokio::test]
async fn logs_are_bounded_within_a_run_and_over_all_runs() {
    for db in testing::databases().await {
        let mut stage = Stage::new(&db);
        let id = enqueue(&stage.jobs, wish("a", 1)).await.id;
        for attempt in 1..=4 {
            let run = stage.next_run().await;
            for n in 0..50 {
                run.log.line(format!("attempt {attempt} line {n}"));
            }
            end(run, Outcome::Returns(Err(Failure::retryable("reset"))));
            becomes(&stage.jobs, id, State::Retry).await;
            stage.jobs.retry(id).await.unwrap();
        }
        drop(stage.next_run().await);
        let log = stage.jobs.log(id).await.unwrap();
        assert!(log.starts_with("[lines of earlier runs"), "{log}");
        assert!(log.contains("[45 more lines of this run"), "{log}");
        assert!(!log.contains("attempt 1"), "{log}");
        assert!(log.lines().count() <= 1 + 2 * (5 + 3), "{log}");
        stage.shut_down().await;
    }
}

#[tokio::test]
async fn a_job_without_a_handler_waits() {
    for db in testing::databases().await {
        let mut stage = Stage::new(&db);
        let unknown = NewJob::new("unknown", "a", serde_json::Value::Null);
        let unknown = enqueue(&stage.jobs, unknown).await.id;
        enqueue(&stage.jobs, wish("a", 1)).await;
        drop(stage.next_run().await);
        assert_eq!(state(&stage.jobs, unknown).await, State::Ready);
        stage.shut_down().await;
    }
}

#[tokio::test]
async fn a_job_of_another_instance_begins_without_waiting_for_the_poll() {
    let far_poll = |db: Db| {
        let config = Config {
            poll_ms: 3_600_000,
            ..Config::default()
        };
        Jobs::new(db, noon(), config)
    };
    for db in testing::databases().await {
        if let Db::Lite { .. } = &*db {
            continue;
        }
        let mut stage = Stage::of(far_poll(db.with_one_connection().await));
        // It has no handler for the job.
        let other = far_poll(db.with_one_connection().await);
        let runner = Runner::new(other.clone(), Vec::new());
        let runner = tokio::spawn(runner.run(stage.shutdown.clone()));
        for key in ["a", "b", "c"] {
            let id = enqueue(&other, wish(key, 1)).await.id;
            let run = stage.next_run().await;
            assert_eq!(run.id, id);
            end(run, Outcome::Returns(Ok(())));
            becomes(&other, id, State::Done).await;
        }
        stage.shut_down().await;
        runner.await.unwrap();
    }
}
