//! Paths under `/v2/`: what the gateway takes one for, a running `docker-registry` takes it for,
//! too, and what only the registry understands is refused for a reason that is listed here.

#![no_main]

use std::{
    cell::RefCell,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use http::Method;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tempfile::TempDir;
use tidegate::oci::{Digest, RepositoryName, Route, UploadId};

/// What the registry serves and the gateway refuses on purpose.
const INTENDED: &[(&str, fn(&str, &Meaning) -> bool)] = &[
    (
        "escapes other than a digest's colon: two ways to write one name",
        |path, _| path.contains('%'),
    ),
    (
        "names with a host before them, which clients leave away",
        |_, meaning| meaning.name().parse::<RepositoryName>().is_err(),
    ),
    (
        "digests that no content of ours can have",
        |_, meaning| match meaning {
            Meaning::Manifest(_, text) => text.contains(':') && text.parse::<Digest>().is_err(),
            Meaning::Blob(_, text) => text.parse::<Digest>().is_err(),
            _ => false,
        },
    ),
    (
        "ids of uploads that could be a step of a path",
        |_, meaning| match meaning {
            Meaning::Upload(_, id) => UploadId::parse(id).is_none(),
            _ => false,
        },
    ),
    ("paths longer than any name needs", |path, _| {
        path.len() > 2048
    }),
];

fuzz_target!(|data: &[u8]| {
    let path = path(data);
    // A request that fills its buffer can make the registry hang up before we have its answer.
    if path.len() > 3000 {
        return;
    }
    let parsed = [Method::GET, Method::POST].iter();
    let route = parsed
        .filter_map(|method| Route::parse(method, &path, None).ok())
        .next();
    REGISTRY.with_borrow_mut(|registry| {
        let registry = registry.get_or_insert_with(Registry::start);
        let mut served = registry.ask(&path);
        let Some(route) = route else {
            let is_intended = INTENDED
                .iter()
                .any(|(_, is_meant)| is_meant(&path, &served));
            assert!(!served.is_some() || is_intended, "{path} is {served:?}");
            return;
        };
        let Some(meaning) = Meaning::of(&route) else {
            // An endpoint that this registry does not have.
            assert!(!served.is_some(), "{path} is {served:?}");
            return;
        };
        assert_eq!(registry.ask(&route.path_and_query()), meaning, "{path}");
        if let Meaning::Redirect(there) = &served {
            let there = there.clone();
            served = registry.ask(&there);
        }
        assert!(
            !served.is_some() || served == meaning,
            "{path} is {served:?}"
        );
    });
});

/// `/v2`, and behind it the pieces and characters that the bytes stand for.
fn path(data: &[u8]) -> String {
    let mut path = "/v2".to_owned();
    for byte in data {
        match char::from(*byte) {
            '?' | '#' | ' ' => {}
            character if character.is_ascii_graphic() => path.push(character),
            _ => path.push_str(PIECES[usize::from(*byte) % PIECES.len()]),
        }
    }
    path
}

const PIECES: [&str; 31] = [
    "/",
    "/a",
    "/b0",
    "/team/app",
    "/manifests",
    "/manifests/",
    "/blobs",
    "/blobs/",
    "/blobs/uploads",
    "/blobs/uploads/",
    "/uploads/",
    "/tags",
    "/tags/list",
    "/list",
    "/_catalog",
    "/referrers/",
    "/latest",
    "/v2",
    "/.",
    "/..",
    "/0-0",
    "__",
    "--",
    "%2F",
    "%3A",
    "%2e",
    "EXAMPLE.com:5000",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "sha256%3ae3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
     47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    "md5:d41d8cd98f00b204e9800998ecf8427e",
];

/// What a path is taken for.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Nothing,
    /// A path that is written otherwise.
    Redirect(String),
    Ping,
    Catalog,
    Tags(String),
    Manifest(String, String),
    Blob(String, String),
    StartUpload(String),
    Upload(String, String),
}

impl Meaning {
    /// `None`: distribution 2.8 does not have that endpoint.
    fn of(route: &Route) -> Option<Self> {
        Some(match route {
            Route::Ping => Self::Ping,
            Route::Catalog { .. } => Self::Catalog,
            Route::Tags { name, .. } => Self::Tags(name.to_string()),
            Route::Manifest {
                name, reference, ..
            } => Self::Manifest(name.to_string(), reference.to_string()),
            Route::Blob { name, digest } => Self::Blob(name.to_string(), digest.to_string()),
            Route::StartUpload { name, .. } => Self::StartUpload(name.to_string()),
            Route::Upload { name, id, .. } => Self::Upload(name.to_string(), id.to_string()),
            Route::Referrers { .. } => return None,
        })
    }

    fn is_some(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Redirect(_))
    }

    fn name(&self) -> &str {
        match self {
            Self::Nothing | Self::Redirect(_) | Self::Ping | Self::Catalog => "none",
            Self::Tags(name)
            | Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::StartUpload(name)
            | Self::Upload(name, _) => name,
        }
    }
}

/// A registry with nothing in it, so that it answers every path with what it did not find.
struct Registry {
    /// Ends with its standard input.
    _process: Child,
    _folder: TempDir,
    address: String,
    connection: Option<BufReader<TcpStream>>,
    log: Receiver<String>,
    asked: u64,
}

impl Registry {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        drop(listener);
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let file = folder.path().join("config.yml");
        let config = format!(
            "version: 0.1\nlog: {{ level: error, formatter: json }}\nstorage: {{ inmemory: {{}} }}\n\
             http: {{ addr: {address}, secret: fuzz }}\n"
        );
        std::fs::write(&file, config).expect("a file of our own");
        let mut process = Command::new("sh")
            .args(["-c", "docker-registry serve \"$0\" & cat; kill $!"])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell");
        let output = process.stderr.take().expect("it is piped");
        let (sender, log) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            // Ends with the registry, or when nobody listens any more.
            lines.map(|line| sender.send(line)).all(|sent| sent.is_ok())
        });
        let mut registry = Self {
            _process: process,
            _folder: folder,
            address,
            connection: None,
            log,
            asked: 0,
        };
        let begun = Instant::now();
        while registry.connect().is_none() {
            assert!(begun.elapsed() < PATIENCE, "is docker-registry installed?");
            thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    fn connect(&mut self) -> Option<&mut BufReader<TcpStream>> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(&self.address).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).ok()?;
            stream.set_nodelay(true).ok()?;
            self.connection = Some(BufReader::new(stream));
        }
        self.connection.as_mut()
    }

    /// What the registry takes the path for.
    fn ask(&mut self, path: &str) -> Meaning {
        self.asked += 1;
        let number = self.asked.to_string();
        let answer = self.exchange(path, &number).expect("an answer");
        if let Some(location) = answer.location {
            return Meaning::Redirect(location);
        }
        let code = answer.body["errors"][0]["code"]
            .as_str()
            .unwrap_or_default();
        match (answer.status, code) {
            (200, _) if answer.body.get("repositories").is_some() => Meaning::Catalog,
            (200, _) => Meaning::Ping,
            (_, "" | "NAME_INVALID" | "DIGEST_INVALID") => Meaning::Nothing,
            _ => self.logged(&number, code),
        }
    }

    /// Its log says what it found in the path.
    fn logged(&self, number: &str, code: &str) -> Meaning {
        loop {
            let line = self
                .log
                .recv_timeout(PATIENCE)
                .expect("a line about the request");
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if line["http.request.useragent"] != *number {
                continue;
            }
            let part = |name: &str| line[name].as_str().map(str::to_owned);
            let name = part("vars.name").expect("a name");
            let parts = ["vars.reference", "vars.digest", "vars.uuid"].map(part);
            return match parts {
                [Some(reference), None, None] => Meaning::Manifest(name, reference),
                [None, Some(digest), None] => Meaning::Blob(name, digest),
                [None, None, Some(id)] => Meaning::Upload(name, id),
                [None, None, None] if code == "BLOB_UPLOAD_UNKNOWN" => Meaning::StartUpload(name),
                [None, None, None] => Meaning::Tags(name),
                parts => panic!("{parts:?}"),
            };
        }
    }

    /// HTTP/1.0, whose answers have no chunks.
    fn exchange(&mut self, path: &str, number: &str) -> std::io::Result<Answer> {
        let request = format!(
            "GET {path} HTTP/1.0\r\nHost: registry\r\nUser-Agent: {number}\r\n\
             Connection: keep-alive\r\n\r\n"
        );
        let connection = self.connect().expect("it listens");
        connection.get_mut().write_all(request.as_bytes())?;
        let mut answer = Answer::default();
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        answer.status = status.unwrap_or_default();
        let (mut length, mut is_kept) = (None, false);
        loop {
            line.clear();
            connection.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            match name {
                "Content-Length" => length = value.parse().ok(),
                "Location" => answer.location = Some(value.to_owned()),
                "Connection" => is_kept = value == "keep-alive",
                _ => {}
            }
        }
        let mut body = vec![0; length.unwrap_or(0)];
        match length {
            Some(_) => connection.read_exact(&mut body)?,
            None => drop(connection.read_to_end(&mut body)?),
        }
        if !is_kept || length.is_none() {
            self.connection = None;
        }
        answer.body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(answer)
    }
}

#[derive(Default)]
struct Answer {
    status: u16,
    location: Option<String>,
    body: Value,
}

thread_local! {
    static REGISTRY: RefCell<Option<Registry>> = const { RefCell::new(None) };
}

const PATIENCE: Duration = Duration::from_secs(10);
