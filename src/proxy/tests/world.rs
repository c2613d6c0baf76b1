use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio_util::task::TaskTracker;
use tower::util::BoxCloneSyncService;
use url::Url;

use crate::{
    auth::{
        self, Auth, Role,
        bearer::{self, Access, Claims, Expected, PublicKey, Verifier},
        immutable::Rule,
        projects::{Metadata, NewProject},
        users::{NewUser, Profile},
    },
    clock::{Clock, ManualClock, SharedClock, Timestamp},
    oci::{Decoration, Pattern, RepositoryName, Selector},
    proxy::{
        Change, Config, Follower, Keep, Metrics, Observer, Outcome, Parts, Proxy, PublicAddress,
        Pull, Refusal, Ticket, Upstream,
    },
    quota::testing::Shelf,
    secret::{SealingKey, Secret},
    settings,
    store::{
        Db,
        testing::{self, TestDb},
    },
    wire::{Body, Exchange, ExchangeError, Peer, RequestId, collect},
};

/// A proxy with accounts and a registry behind it.
///
/// `team` is a private project of `alice` (maintainer) and `gina` (guest), `open` a public one;
/// `bob` is a member of none; `admin` is the system administrator.
pub(super) struct World {
    pub(super) proxy: Proxy,
    pub(super) auth: Auth,
    pub(super) settings: settings::Reader,
    pub(super) clock: Arc<ManualClock>,
    pub(super) observer: Arc<Listener>,
    pub(super) tasks: TaskTracker,
    pub(super) shelf: Shelf,
    key: jsonwebtoken::EncodingKey,
    _db: TestDb,
}

pub(super) const PASSWORD: &str = "Harbor12345";
pub(super) const HOST: &str = "reg.example:8443";

impl World {
    /// Over `upstream`; nobody wants changes.
    pub(super) async fn new(upstream: Exchange) -> Self {
        Self::with(upstream, Listener::default(), Config::default()).await
    }

    pub(super) async fn with(exchange: Exchange, observer: Listener, config: Config) -> Self {
        let url = Some(Url::parse("http://10.0.0.5:5000").unwrap());
        Self::over(
            Upstream {
                exchange,
                url,
                keep: Keep::Nothing,
            },
            observer,
            config,
        )
        .await
    }

    pub(super) async fn over(upstream: Upstream, observer: Listener, config: Config) -> Self {
        Self::followed(upstream, observer, config, None).await
    }

    pub(super) async fn followed(
        upstream: Upstream,
        observer: Listener,
        config: Config,
        follower: Option<Arc<dyn Follower>>,
    ) -> Self {
        let db = testing::sqlite().await;
        let same = (*db).clone();
        Self::on((db, same), upstream, (observer, follower), config).await
    }

    /// With a pool of one connection.
    pub(super) async fn over_one_connection(db: TestDb, exchange: Exchange) -> Self {
        let one = db.with_one_connection().await;
        let upstream = Upstream {
            exchange,
            url: None,
            keep: Keep::Nothing,
        };
        let listeners = (Listener::default(), None);
        Self::on((db, one), upstream, listeners, Config::default()).await
    }

    async fn on(
        (database, db): (TestDb, Db),
        upstream: Upstream,
        (observer, follower): (Listener, Option<Arc<dyn Follower>>),
        config: Config,
    ) -> Self {
        let _installed = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let clock = ManualClock::at(Timestamp::from_seconds(1_800_000_000));
        let auth = populated(&db, &clock).await;
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let public = PublicKey::from_pem("k", bearer::Algorithm::Es256, &pair.public_key_pem());
        let expected = Expected {
            issuer: "tidegate".into(),
            audience: "tidegate".into(),
        };
        let observer = Arc::new(observer);
        let tasks = TaskTracker::new();
        let settings = settings::Reader::default();
        let shared: SharedClock = clock.clone();
        let over = (settings.clone(), upstream.exchange.clone());
        let shelf = Shelf::over(&db, &shared, &auth, over).await;
        let parts = Parts {
            config,
            settings: settings.clone(),
            auth: auth.clone(),
            quota: shelf.quota.clone(),
            verifier: Verifier::new(vec![public.unwrap()], expected, clock.clone(), 100),
            upstream,
            observer: observer.clone(),
            follower,
            address: PublicAddress {
                external_url: None,
                service: "tidegate".into(),
            },
            mark: " tidegate/test".into(),
            clock: clock.clone(),
            metrics: Metrics::new(),
            sealing: Arc::new(SealingKey::new(&[7; SealingKey::LEN]).unwrap()),
            tasks: tasks.clone(),
        };
        Self {
            proxy: Proxy::new(parts),
            auth,
            settings,
            clock,
            observer,
            tasks,
            shelf,
            key: jsonwebtoken::EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap(),
            _db: database,
        }
    }

    /// A token of `subject` for half an hour, with access like `team/app:pull,push`.
    pub(super) fn token(&self, subject: &str, access: &[&str]) -> String {
        let now = self.clock.now().seconds();
        let claims = Claims {
            iss: "tidegate".into(),
            sub: subject.into(),
            aud: "tidegate".into(),
            exp: now + 1800,
            nbf: now,
            iat: now,
            jti: "j".into(),
            credential_version: (!subject.is_empty()).then_some(1),
            access: access.iter().map(|text| access_of(text)).collect(),
        };
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        header.kid = Some("k".into());
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }

    pub(super) fn bearer(&self, subject: &str, access: &[&str]) -> String {
        format!("Bearer {}", self.token(subject, access))
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::read(self.proxy.handle(request).await).await
    }

    /// Lets the project `team` hold so many bytes.
    pub(super) async fn limit_team(&self, bytes: i64) {
        let team = self.auth.project_named("team").await.unwrap().id;
        self.auth.set_storage_limit(team, bytes).await.unwrap();
    }

    /// Makes the tags of the project `team` immutable that match `pattern`.
    pub(super) async fn hold_tags(&self, pattern: &str) {
        let selecting = |pattern| {
            vec![Selector {
                decoration: Decoration::Matches,
                pattern: Pattern::parse(pattern).unwrap(),
            }]
        };
        let rule = Rule {
            repositories: selecting("**"),
            tags: selecting(pattern),
        };
        let team = self.auth.project_named("team").await.unwrap().id;
        let created = self.auth.create_immutable_rule(team, &rule, false);
        created.await.unwrap();
    }

    /// `method path` with what `authorization` says, unless it is empty.
    pub(super) async fn ask(&self, method: &str, path: &str, authorization: &str) -> Answer {
        self.send(request(method, path, authorization, Body::Empty))
            .await
    }
}

async fn populated(db: &Db, clock: &Arc<ManualClock>) -> Auth {
    let config = auth::Config {
        admin_password: Some(Secret::new(PASSWORD)),
        ..auth::Config::default()
    };
    let auth = Auth::new(db.clone(), clock.clone(), config);
    auth.bootstrap().await.unwrap();
    let admin = auth.principal("admin").await.unwrap().unwrap();
    for (name, public) in [("team", "false"), ("open", "true"), ("hidden", "false")] {
        let project = NewProject {
            name: name.into(),
            metadata: Metadata::from([("public".into(), public.into())]),
            storage_limit: None,
        };
        auth.create_project(&admin, project).await.unwrap();
    }
    let team = auth.project_named("team").await.unwrap().id;
    for (name, role) in [
        ("alice", Some(Role::Maintainer)),
        ("gina", Some(Role::Guest)),
        ("bob", None),
    ] {
        let user = NewUser {
            name: name.into(),
            password: Secret::new(PASSWORD),
            profile: Profile::default(),
        };
        let id = auth.create_user(user).await.unwrap();
        if let Some(role) = role {
            auth.add_member(team, id, role).await.unwrap();
        }
    }
    auth
}

fn access_of(text: &str) -> Access {
    let (name, actions) = text.rsplit_once(':').unwrap();
    let (resource_type, name) = name.split_once('!').unwrap_or(("repository", name));
    Access {
        resource_type: resource_type.into(),
        name: name.into(),
        actions: actions
            .split(',')
            .filter(|text| !text.is_empty())
            .map(Into::into)
            .collect(),
    }
}

pub(super) fn request(method: &str, path: &str, authorization: &str, body: Body) -> Request<Body> {
    let mut request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(path);
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    request
        .extension(Peer {
            address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            scheme: "https",
            host: HOST.into(),
        })
        .extension(RequestId("req-1".into()))
        .body(body)
        .unwrap()
}

pub(super) fn basic(name: &str, password: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    async fn read(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body: collect(body, 1 << 20).await.unwrap(),
        }
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The code of the error body.
    pub(super) fn code(&self) -> String {
        let body: crate::oci::ErrorBody = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(self.header("content-type"), "application/json");
        assert!(!body.errors[0].message.is_empty());
        body.errors[0].code.clone()
    }
}

/// A request as the registry behind saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// `None` when the body broke off.
    pub(super) body: Option<Bytes>,
}

impl Seen {
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// A registry that answers as a function says, after it has read the whole request.
#[derive(Clone, Default)]
pub(super) struct Stub(Arc<Mutex<Vec<Seen>>>);

impl Stub {
    pub(super) fn exchange<F>(&self, answer: F) -> Exchange
    where
        F: Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    {
        let (stub, answer) = (self.clone(), Arc::new(answer));
        BoxCloneSyncService::new(tower::service_fn(move |request: Request<Body>| {
            let (stub, answer) = (stub.clone(), answer.clone());
            async move {
                let seen = stub.note(request).await;
                if seen.body.is_none() {
                    return Err(interrupted("the request broke off"));
                }
                Ok(answer(&seen))
            }
        }))
    }

    pub(super) async fn note(&self, request: Request<Body>) -> Seen {
        let (head, body) = request.into_parts();
        let seen = Seen {
            method: head.method,
            target: head.uri.to_string(),
            headers: head.headers,
            body: collect(body, 16 << 20).await.ok(),
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(seen.clone());
        seen
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Method and target of every request so far.
    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }
}

/// A registry that gives the one answer it was told last.
#[derive(Clone, Default)]
pub(super) struct Script(Arc<Mutex<Option<Response<Body>>>>);

impl Script {
    pub(super) fn next(&self, answer: Response<Body>) {
        *self.0.lock().unwrap() = Some(answer);
    }

    pub(super) fn exchange(&self) -> Exchange {
        let script = self.clone();
        Stub::default().exchange(move |_| script.0.lock().unwrap().take().unwrap())
    }
}

pub(super) fn interrupted(reason: &'static str) -> ExchangeError {
    ExchangeError::Interrupted {
        address: "stub".into(),
        source: reason.into(),
    }
}

pub(super) fn respond(status: u16, headers: &[(&'static str, &str)]) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    response
}

/// Hears of changes and notes what it heard, in order.
#[derive(Default)]
pub(super) struct Listener {
    pub(super) wants: bool,
    /// How writing down ends; `None`: well.
    pub(super) refusal: Option<Refusal>,
    /// Writing down takes a permit of it, if there is one.
    pub(super) pause: Option<Arc<tokio::sync::Semaphore>>,
    pub(super) heard: Arc<Mutex<Vec<String>>>,
    pub(super) changes: Mutex<Vec<Arc<Change>>>,
    pub(super) pulls: Mutex<Vec<Pull>>,
}

impl Listener {
    pub(super) fn wanting() -> Self {
        Self {
            wants: true,
            ..Self::default()
        }
    }

    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    pub(super) fn last_change(&self) -> Arc<Change> {
        self.changes.lock().unwrap().last().unwrap().clone()
    }
}

impl Observer for Listener {
    fn wants(&self, _repository: &RepositoryName) -> bool {
        self.wants
    }

    fn intend(&self, change: Arc<Change>) -> BoxFuture<'_, Result<Ticket, Refusal>> {
        Box::pin(async move {
            if let Some(pause) = &self.pause {
                pause.acquire().await.unwrap().forget();
            }
            if let Some(refusal) = &self.refusal {
                return Err(refusal.clone());
            }
            self.heard
                .lock()
                .unwrap()
                .push(format!("intend {}", change.repository));
            let heard = Arc::clone(&self.heard);
            Ok(Ticket::new(move |outcome| {
                heard.lock().unwrap().push(format!("settle {outcome:?}"));
            }))
        })
    }

    fn begin(&self, _change: &Arc<Change>) {}

    fn conclude<'a>(&'a self, change: &'a Arc<Change>, outcome: &'a Outcome) -> BoxFuture<'a, ()> {
        self.changes.lock().unwrap().push(Arc::clone(change));
        self.heard
            .lock()
            .unwrap()
            .push(format!("conclude {outcome:?}"));
        Box::pin(async {})
    }

    fn pulled(&self, pull: Pull) {
        self.pulls.lock().unwrap().push(pull);
    }
}

/// Enough for anything in a test that does not hang.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
