use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Method;
use tidegate::oci::{Digest, MANIFEST_MEDIA_TYPES};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::book::{Book, Pushed, Trouble, Work, judge};
use crate::harness::{Answer, Gateway, Http, Line, PASSWORD, Parcel, until};

/// Clients that push, pull, log in and list, each one round after the other, until they are told
/// to stop. Some of them open a connection for each round, the others keep theirs.
pub struct Load {
    shared: Arc<Shared>,
    workers: JoinSet<()>,
}

struct Shared {
    book: Mutex<Book>,
    /// Rounds that each worker has ended well since the last trouble or [`Load::until_well`].
    streaks: Mutex<BTreeMap<usize, usize>>,
    stop: CancellationToken,
}

/// What a worker needs.
#[derive(Clone)]
struct Client {
    gateway: Arc<dyn Fn() -> Http + Send + Sync>,
    kept: Http,
    /// Of user `busy`, for the repositories of the load.
    token: String,
    keeps_connections: bool,
}

impl Load {
    /// Makes the project and the user of the load and begins.
    pub async fn on(gateway: &Gateway) -> Self {
        gateway.create_project("load").await;
        gateway.create_member("load", "busy", 2).await;
        Self::again_on(gateway).await
    }

    /// On a gateway that had a load before.
    pub async fn again_on(gateway: &Gateway) -> Self {
        let token = token(&gateway.http()).await.unwrap();
        let shared = Arc::new(Shared {
            book: Mutex::default(),
            streaks: Mutex::default(),
            stop: CancellationToken::new(),
        });
        let (url, ca) = (gateway.url(), gateway.ca());
        let open = Arc::new(move || Http::trusting(&url, &ca));
        let mut workers = JoinSet::new();
        for (number, work) in WORKERS.into_iter().enumerate() {
            shared.streaks().insert(number, 0);
            let client = Client {
                kept: open(),
                gateway: open.clone(),
                token: token.clone(),
                keeps_connections: number % 2 == 0,
            };
            workers.spawn(Arc::clone(&shared).keep_busy(number, work, client));
        }
        Self { shared, workers }
    }

    /// Waits until every worker has ended some rounds well, with no trouble in between.
    pub async fn until_well(&self) {
        self.shared
            .streaks()
            .values_mut()
            .for_each(|streak| *streak = 0);
        let begun = Instant::now();
        while self.shared.streaks().values().any(|streak| *streak < WELL) {
            assert!(begun.elapsed() < PATIENCE, "{:#?}", self.newest_trouble());
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn newest_trouble(&self) -> Vec<(Work, Trouble)> {
        let trouble = &self.shared.book().trouble;
        trouble[trouble.len().saturating_sub(WORKERS.len())..].to_vec()
    }

    /// Waits until workers have met with so much trouble since [`Load::turn_over`].
    pub async fn until_troubled(&self, times: usize) {
        until("workers have met with trouble", async || {
            let met = self.shared.book().trouble.len();
            (met >= times).then_some(())
        })
        .await;
    }

    /// Waits until so many rounds of a kind went well since [`Load::turn_over`].
    pub async fn until_done(&self, work: Work, rounds: usize) {
        until(
            &format!("{rounds} rounds of {work:?} went well"),
            async || (self.shared.book().done(work) >= rounds).then_some(()),
        )
        .await;
    }

    /// What was written down so far; a new page begins.
    pub fn turn_over(&self) -> Book {
        std::mem::take(&mut *self.shared.book())
    }

    /// Lets every worker end its round, and shows what was written down since the last page.
    pub async fn stop(mut self) -> Book {
        self.shared.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            ended.unwrap();
        }
        self.turn_over()
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    fn streaks(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        self.streaks.lock().unwrap()
    }

    async fn keep_busy(self: Arc<Self>, number: usize, work: Work, mut client: Client) {
        let mut last = None;
        let mut is_renewed = false;
        while !self.stop.is_cancelled() {
            let round = client.round(work, &mut last);
            let ended = tokio::time::timeout(ANSWER, round).await;
            let ended = ended.unwrap_or_else(|_elapsed| {
                Err(Trouble::Wrong(format!(
                    "{work:?}: no end within {ANSWER:?}"
                )))
            });
            let is_challenged = matches!(ended, Err(Trouble::Challenged(_)));
            if is_challenged && !is_renewed && client.renew().await {
                is_renewed = true;
                continue;
            }
            is_renewed = false;
            self.write_down(number, work, &ended);
            let pause = if ended.is_ok() { PAUSE } else { PAUSE * 5 };
            let paused = tokio::time::sleep(pause);
            let _ = self.stop.run_until_cancelled(paused).await;
        }
    }

    fn write_down(&self, number: usize, work: Work, ended: &Result<Option<Pushed>, Trouble>) {
        let mut book = self.book();
        let mut streaks = self.streaks();
        match ended {
            Ok(pushed) => {
                book.pushed.extend(pushed.clone());
                *book.done.entry(work).or_default() += 1;
                *streaks.entry(number).or_default() += 1;
            }
            Err(trouble) => {
                book.trouble.push((work, trouble.clone()));
                streaks.insert(number, 0);
            }
        }
    }
}

impl Client {
    fn http(&self) -> Http {
        if self.keeps_connections {
            self.kept.clone()
        } else {
            (self.gateway)()
        }
    }

    /// Gets another token, as clients do that are told to; false when there is none.
    async fn renew(&mut self) -> bool {
        let Ok(token) = token(&self.http()).await else {
            return false;
        };
        self.token = token;
        true
    }

    async fn round(
        &self,
        work: Work,
        last: &mut Option<Pushed>,
    ) -> Result<Option<Pushed>, Trouble> {
        let http = self.http();
        let bearer = http.bearer(&self.token);
        let basic = http.basic("busy", PASSWORD);
        match work {
            Work::Push => push(&bearer).await.map(Some),
            Work::Pull => pull(&bearer, last).await.map(|()| None),
            Work::Login => {
                let path = format!("/service/token?scope=repository:{}:pull", REPOSITORIES[0]);
                get(&basic, &path).await.map(|_token| None)
            }
            Work::List => list(&basic, &bearer).await.map(|()| None),
        }
    }
}

/// Of the user of the load, for all its repositories.
async fn token(http: &Http) -> Result<String, Trouble> {
    let scopes = REPOSITORIES.map(|name| format!("scope=repository:{name}:pull,push"));
    let path = format!("/service/token?{}", scopes.join("&"));
    let answer = get(&http.basic("busy", PASSWORD), &path).await?;
    Ok(answer.json()["token"].as_str().unwrap().to_owned())
}

async fn push(http: &Http) -> Result<Pushed, Trouble> {
    let seed = hex::encode(tidegate::secret::random_bytes::<8>());
    let parcel = Parcel::with_layer(&seed, seed.repeat(LAYER_BYTES / seed.len()));
    let repository = REPOSITORIES[usize::from(seed.as_bytes()[0]) % REPOSITORIES.len()];
    for blob in &parcel.blobs {
        let answer = Parcel::put_blob(http, repository, blob).await;
        judge((&Method::PUT, "a blob"), answer, 201)?;
    }
    let answer = parcel.put_manifest(http, repository, &seed).await;
    judge((&Method::PUT, "a manifest"), answer, 201)?;
    let digest = parcel.digest();
    Ok(Pushed {
        repository,
        tag: seed,
        digest,
    })
}

/// Pulls the image that it has pushed at first, and looks at every byte.
async fn pull(http: &Http, image: &mut Option<Pushed>) -> Result<(), Trouble> {
    let known = match image {
        Some(known) => known,
        None => image.insert(push(http).await?),
    };
    pull_whole(http, known).await
}

/// An image with all its blobs is what it was when it was pushed.
pub async fn pull_whole(http: &Http, image: &Pushed) -> Result<(), Trouble> {
    let repository = image.repository;
    let path = format!("/v2/{repository}/manifests/{}", image.tag);
    let manifest = get(http, &path).await?;
    verify(&path, &image.digest, &manifest)?;
    let manifest = manifest.json();
    let layers = manifest["layers"].as_array().unwrap();
    for blob in layers.iter().chain([&manifest["config"]]) {
        let digest = blob["digest"].as_str().unwrap();
        let path = format!("/v2/{repository}/blobs/{digest}");
        verify(&path, digest, &get(http, &path).await?)?;
    }
    Ok(())
}

fn verify(path: &str, digest: &str, answer: &Answer) -> Result<(), Trouble> {
    let actual = Digest::sha256(&answer.body);
    if actual.as_str() == digest {
        Ok(())
    } else {
        Err(Trouble::Wrong(format!("{path} has digest {actual}")))
    }
}

async fn list(basic: &Http, bearer: &Http) -> Result<(), Trouble> {
    get(basic, "/api/v2.0/projects").await?;
    get(basic, "/api/v2.0/projects/load/repositories").await?;
    let path = format!("/v2/{}/tags/list", REPOSITORIES[0]);
    let answer = bearer.try_send(Method::GET, &path, &[], Bytes::new()).await;
    match answer {
        // Nobody may have pushed yet.
        Ok(unknown) if unknown.status == 404 => Ok(()),
        other => judge((&Method::GET, &path), other, 200).map(drop),
    }
}

async fn get(http: &Http, path: &str) -> Result<Answer, Trouble> {
    let accept = [("accept", MANIFEST_MEDIA_TYPES)];
    let answer = http.try_send(Method::GET, path, &accept, Bytes::new());
    judge((&Method::GET, path), answer.await, 200)
}

const WORKERS: [Work; 7] = [
    Work::Push,
    Work::Push,
    Work::Pull,
    Work::Pull,
    Work::Login,
    Work::List,
    Work::Login,
];

pub const REPOSITORIES: [&str; 2] = ["load/app", "load/web/front"];

/// More than goes into one packet, and less than the machine feels.
const LAYER_BYTES: usize = 64 * 1024;

const PAUSE: Duration = Duration::from_millis(20);

/// Rounds of each worker.
const WELL: usize = 3;

/// Until all is well after a fault, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// Longer than the gateway waits for anything it waits for in these tests.
const ANSWER: Duration = Duration::from_secs(30);

/// An upload of which half is sent.
pub struct Upload {
    line: Line,
    digest: Digest,
    rest: String,
}

impl Upload {
    pub async fn begin(gateway: &Gateway) -> Result<Self, Trouble> {
        let seed = hex::encode(tidegate::secret::random_bytes::<8>());
        let content = seed.repeat(LAYER_BYTES / seed.len());
        let digest = Digest::sha256(content.as_bytes());
        let (half, rest) = content.split_at(content.len() / 2);
        let path = format!("/v2/{}/blobs/uploads/", REPOSITORIES[0]);
        let admin = gateway.admin();
        let begun = admin.try_send(Method::POST, &path, &[], Bytes::new());
        let begun = judge((&Method::POST, &path), begun.await, 202)?;
        let location = begun.header("location");
        let separator = if location.contains('?') { '&' } else { '?' };
        let head = format!(
            "PUT {location}{separator}digest={digest} HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: {}\r\nContent-Type: application/octet-stream\r\n\
             Content-Length: {}\r\n\r\n{half}",
            admin.authorization().unwrap(),
            content.len()
        );
        let mut line = Line::to(gateway).await;
        line.say(head.as_bytes()).await;
        Ok(Self {
            line,
            digest,
            rest: rest.to_owned(),
        })
    }

    /// Sends the other half and hears the answer.
    pub async fn end(&mut self) -> String {
        self.line.say(self.rest.as_bytes()).await;
        self.line.hear().await
    }

    /// Goes away with a reset.
    pub fn break_off(self) {
        self.line.reset();
    }

    /// Where the blob is once all of it was sent.
    pub fn path(&self) -> String {
        format!("/v2/{}/blobs/{}", REPOSITORIES[0], self.digest)
    }
}

/// How long it takes until all is well.
pub async fn time_until_well(load: &Load) -> Duration {
    let begun = Instant::now();
    load.until_well().await;
    begun.elapsed()
}
