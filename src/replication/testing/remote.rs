//! A registry over HTTP that works, or does what a script says.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{clock, digest_at};
use crate::{
    embedded,
    oci::Digest,
    registry::Client,
    wire::{Body, Exchange, INSTALLATION_HEADER},
};

/// A registry that is served over plain HTTP on loopback.
pub(in crate::replication) struct RemoteRegistry {
    pub url: String,
    pub client: Client,
    pub folder: PathBuf,
    exchange: Exchange,
    /// `METHOD /path` of each request that came over HTTP.
    seen: Arc<Mutex<Vec<String>>>,
    script: watch::Sender<Option<Arc<Script>>>,
    /// Whether it says that it is [`THERE`].
    pub is_gateway: Arc<AtomicBool>,
}

type Answering = dyn Fn(&Ask) -> Option<Reply> + Send + Sync;
type Change = dyn FnOnce(&mut Response<Body>) + Send;

/// What is done with requests instead of the registry's work.
struct Script {
    reply: Box<Answering>,
    /// Requests so far, by method and kind of thing.
    counts: Mutex<HashMap<String, usize>>,
}

/// A request, as a script sees it.
pub(in crate::replication) struct Ask {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    /// How many of this method, and to this kind of thing, came before under the same script.
    pub number: usize,
}

pub(in crate::replication) enum Reply {
    Answer(Response<Body>),
    /// The registry's work, and then another answer.
    Work(Box<Change>),
    /// The connection is closed in the middle of the request's body.
    HangUp,
    /// Nothing, until there is another script.
    Silence,
}

/// What each connection of a registry shares.
#[derive(Clone)]
struct Service {
    exchange: Exchange,
    seen: Arc<Mutex<Vec<String>>>,
    script: watch::Receiver<Option<Arc<Script>>>,
    is_gateway: Arc<AtomicBool>,
}

impl RemoteRegistry {
    pub(in crate::replication) async fn serve(root: &Path, stop: CancellationToken) -> Self {
        Self::serve_exchange(open(root), root, stop).await
    }

    /// The same registry under another address.
    pub(in crate::replication) async fn elsewhere(&self, stop: CancellationToken) -> Self {
        Self::serve_exchange(self.exchange.clone(), &self.folder, stop).await
    }

    async fn serve_exchange(exchange: Exchange, root: &Path, stop: CancellationToken) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (script, follow) = watch::channel(None);
        let remote = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            client: Client::new(exchange.clone()),
            folder: root.to_owned(),
            exchange: exchange.clone(),
            seen: Arc::default(),
            script,
            is_gateway: Arc::new(AtomicBool::new(true)),
        };
        let service = Service {
            exchange,
            seen: Arc::clone(&remote.seen),
            script: follow,
            is_gateway: Arc::clone(&remote.is_gateway),
        };
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                tokio::spawn(service.clone().serve(stream));
            }
        }));
        remote
    }

    /// What it does from now on.
    pub(in crate::replication) fn script(
        &self,
        reply: impl Fn(&Ask) -> Option<Reply> + Send + Sync + 'static,
    ) {
        self.script.send_replace(Some(Arc::new(Script {
            reply: Box::new(reply),
            counts: Mutex::default(),
        })));
    }

    /// It works again.
    pub(in crate::replication) fn mend(&self) {
        self.script.send_replace(None);
    }

    /// Requests since the last call whose line contains `part`.
    pub(in crate::replication) fn requests(&self, part: &str) -> Vec<String> {
        let mut seen = self.seen.lock().unwrap();
        let lines = std::mem::take(&mut *seen);
        lines
            .into_iter()
            .filter(|line| line.contains(part))
            .collect()
    }

    pub(in crate::replication) async fn digest(
        &self,
        repository: &str,
        reference: &str,
    ) -> Option<Digest> {
        digest_at(&self.client, repository, reference).await
    }
}

impl Service {
    async fn serve(self, stream: TcpStream) {
        let answer = hyper::service::service_fn(|request| {
            let service = self.clone();
            async move { service.answer(request).await }
        });
        let connection = hyper::server::conn::http1::Builder::new();
        let served = connection.serve_connection(TokioIo::new(stream), answer);
        served.await.ok();
    }

    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let line = format!("{} {}", request.method(), request.uri().path());
        self.seen.lock().unwrap().push(line);
        let mut follow = self.script.clone();
        let script = follow.borrow_and_update().clone();
        match script.and_then(|script| script.reply(&request)) {
            None => self.work(request).await,
            Some(Reply::Answer(answer)) => {
                // What is not read would be met as a broken connection.
                request
                    .into_body()
                    .collect()
                    .await
                    .map_err(io::Error::other)?;
                Ok(answer)
            }
            Some(Reply::Work(change)) => {
                let mut answer = self.work(request).await?;
                change(&mut answer);
                Ok(answer)
            }
            Some(Reply::HangUp) => {
                let _first = request.into_body().frame().await;
                Err(io::Error::other("hangs up"))
            }
            Some(Reply::Silence) => {
                follow.changed().await.ok();
                Err(io::Error::other("hangs up after a silence"))
            }
        }
    }

    async fn work(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let mut answer = self
            .exchange
            .clone()
            .oneshot(request.map(Body::from))
            .await
            .map_err(io::Error::other)?;
        if self.is_gateway.load(Ordering::SeqCst) {
            let there = HeaderValue::from_static(THERE);
            answer.headers_mut().insert(INSTALLATION_HEADER, there);
        }
        Ok(answer)
    }
}

impl Script {
    fn reply(&self, request: &Request<Incoming>) -> Option<Reply> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let kinds = ["/manifests/", "/blobs/uploads/", "/blobs/"];
        let kind = kinds.into_iter().find(|kind| path.contains(kind));
        let kind = format!("{method} {}", kind.unwrap_or(&path));
        let mut counts = self.counts.lock().unwrap();
        let count = counts.entry(kind).or_default();
        *count += 1;
        (self.reply)(&Ask {
            method,
            path,
            headers: request.headers().clone(),
            number: *count - 1,
        })
    }
}

impl Ask {
    pub(in crate::replication) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }

    /// Whether bytes of a blob come with it.
    pub(in crate::replication) fn is_upload_of_data(&self) -> bool {
        self.is("PUT", "/blobs/uploads/") || self.is("PATCH", "/blobs/uploads/")
    }
}

impl Reply {
    /// An error as the specification wants it.
    pub(in crate::replication) fn refusal(status: u16, code: &str, message: &str) -> Self {
        let body = json!({"errors": [{"code": code, "message": message}]});
        Self::status(status, &body.to_string())
    }

    pub(in crate::replication) fn status(status: u16, body: &str) -> Self {
        let mut answer = Response::new(Body::from(body.to_owned()));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        Self::Answer(answer)
    }

    /// The registry's work, with a header that says something else.
    pub(in crate::replication) fn work_with(name: HeaderName, value: String) -> Self {
        Self::Work(Box::new(move |answer| {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }))
    }

    /// With another header, if it is an answer.
    pub(in crate::replication) fn and(mut self, name: HeaderName, value: &str) -> Self {
        if let Self::Answer(answer) = &mut self {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        self
    }

    /// 429 with the wish to be left alone for a second.
    pub(in crate::replication) fn not_so_fast() -> Self {
        Self::refusal(429, "TOOMANYREQUESTS", "not so fast").and(header::RETRY_AFTER, "1")
    }
}

/// The installation of the remote registry.
pub(in crate::replication) const THERE: &str = "fedcba9876543210";

/// An embedded registry in this folder.
pub(super) fn open(root: &Path) -> Exchange {
    let config = embedded::Config {
        durability: embedded::Durability::Cached,
        ..embedded::Config::default()
    };
    std::fs::create_dir_all(root).unwrap();
    embedded::Registry::open_with(root, &config, clock())
        .unwrap()
        .exchange()
}
