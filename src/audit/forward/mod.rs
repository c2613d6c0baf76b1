//! Events sent on as they happen: to a syslog receiver, and to a file of JSON lines.
//!
//! Each place has a bounded queue of its own and a worker that sends on what is in it, so that a
//! place that is slow or away holds up neither requests nor the other one. `worker.rs` waits and
//! tries again, `syslog.rs` and `file.rs` write, `message.rs` says what. What is in a queue is
//! lost with the process.

mod file;
mod message;
mod syslog;
#[cfg(test)]
mod tests;
mod worker;

use std::{fs, io, sync::Arc};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Config, Metrics, metrics::Place, recorder::Noted};
use crate::{
    settings,
    tls::{self, ClientTrust},
};
use worker::Worker;

#[cfg(feature = "fuzzing")]
pub(super) use message::{Origin, line};

/// The ends of the queues where events go in. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Outlets {
    syslog: Outlet,
    /// None: no file is configured.
    file: Option<Outlet>,
}

/// The way to one place.
#[derive(Debug, Clone)]
struct Outlet {
    queue: mpsc::Sender<Arc<Noted>>,
    place: Place,
    metrics: Metrics,
}

/// What sends events on; somebody must run it.
#[derive(Debug)]
pub struct Forwarder {
    syslog: (Worker, syslog::Syslog),
    file: Option<(Worker, file::Lines)>,
}

/// Where a worker writes.
trait Sink: Send + Sync {
    /// Sends events on, the first ones first, and takes those that are sent off the list; where
    /// an error comes in between, some that are left may be there already. False, with nothing
    /// sent, where there is no place any more.
    fn send(
        &mut self,
        events: &mut Vec<Arc<Noted>>,
    ) -> impl Future<Output = io::Result<bool>> + Send;

    /// Whether another try may fare better at once: the place is another one now.
    fn has_moved(&self) -> bool;
}

impl Outlets {
    /// Fails when the file with the certificate of the receiver's authority cannot be read.
    pub(super) fn open(
        config: &Config,
        settings: settings::Reader,
        metrics: &Metrics,
    ) -> io::Result<(Self, Forwarder)> {
        let trust = trust(config)?;
        let open = |place| {
            let (queue, events) = mpsc::channel(config.forward_queue_length.max(1));
            let outlet = Outlet {
                queue,
                place,
                metrics: metrics.clone(),
            };
            (outlet, Worker::new(events, place, metrics.clone()))
        };
        let (syslog, worker) = open(Place::Syslog);
        let syslog_sink = syslog::Syslog::new(settings, trust);
        let file = config.forward_json.clone().map(|path| {
            let (outlet, worker) = open(Place::File);
            (outlet, (worker, file::Lines::new(path)))
        });
        let (file, file_sink) = file.unzip();
        let forwarder = Forwarder {
            syslog: (worker, syslog_sink),
            file: file_sink,
        };
        Ok((Self { syslog, file }, forwarder))
    }

    /// Sends an event on; never waits. Whether the queue of the syslog receiver took it.
    pub(super) fn offer(&self, noted: &Arc<Noted>, values: &settings::Values) -> bool {
        if let Some(file) = &self.file {
            file.offer(noted);
        }
        !values.audit_log_forward_endpoint.is_empty() && self.syslog.offer(noted)
    }
}

impl Outlet {
    fn offer(&self, noted: &Arc<Noted>) -> bool {
        let is_taken = noted.enter(&self.queue).is_ok();
        if !is_taken {
            self.metrics.unsent(self.place).inc();
        }
        is_taken
    }
}

impl Forwarder {
    /// Sends events on until told to stop or until the last recorder is gone; then once more what
    /// is in the queues, if the places take it at once.
    pub async fn run(self, stop: CancellationToken) {
        let (worker, sink) = self.syslog;
        let syslog = worker.run(sink, stop.clone());
        let file = async {
            if let Some((worker, sink)) = self.file {
                worker.run(sink, stop.clone()).await;
            }
        };
        tokio::join!(syslog, file);
    }
}

/// Whom a connection to a receiver believes.
fn trust(config: &Config) -> io::Result<ClientTrust> {
    let Some(path) = &config.forward_ca_cert else {
        return Ok(ClientTrust::default());
    };
    let named = |problem: String| {
        let path = path.display();
        io::Error::other(format!("audit.forward_ca_cert: {path}: {problem}"))
    };
    let pem = fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    let trust = ClientTrust {
        ca_certificate: Some(pem),
        insecure: false,
    };
    tls::client_config(&trust).map_err(|error| named(error.to_string()))?;
    Ok(trust)
}
