use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the peer does with a request.
pub(super) enum Reply {
    /// These bytes, and the connection stays open.
    Keep(String),
    /// These bytes, and the connection is closed.
    Close(String),
    /// Nothing; the connection stays open and nothing more is read from it.
    Silence,
}

/// A request: head and body as text, and its number on its connection, from 0.
pub(super) struct Seen {
    pub(super) text: String,
    pub(super) turn: usize,
}

impl Seen {
    pub(super) fn starts_with(&self, line: &str) -> bool {
        self.text.starts_with(line)
    }

    pub(super) fn has(&self, text: &str) -> bool {
        self.text
            .to_ascii_lowercase()
            .contains(&text.to_ascii_lowercase())
    }
}

/// A server that answers with whatever bytes a closure chooses.
pub(super) struct Peer {
    pub(super) address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    pub(super) async fn start(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (reply, log) = (Arc::new(reply), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                let (reply, log) = (Arc::clone(&reply), Arc::clone(&log));
                tokio::spawn(async move { serve(stream, &*reply, &log).await });
            }
        });
        Self { address, seen }
    }

    /// Every request so far, in order.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn count(&self, line: &str) -> usize {
        self.seen()
            .iter()
            .filter(|text| text.starts_with(line))
            .count()
    }
}

async fn serve(
    mut stream: TcpStream,
    reply: &(dyn Fn(&Seen) -> Reply + Send + Sync),
    log: &Mutex<Vec<String>>,
) {
    for turn in 0.. {
        let Some(text) = read_request(&mut stream).await else {
            return;
        };
        log.lock().unwrap().push(text.clone());
        let seen = Seen { text, turn };
        match reply(&seen) {
            Reply::Keep(bytes) => stream.write_all(bytes.as_bytes()).await.unwrap(),
            Reply::Close(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                return;
            }
            Reply::Silence => std::future::pending().await,
        }
    }
}

/// Head and body by `Content-Length`; `None` at the end of the connection.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(text.clone())
        .unwrap()
        .to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.trim().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    text.extend(body);
    Some(String::from_utf8(text).unwrap())
}

/// An HTTP answer; `headers` are lines that end with `\r\n`.
pub(super) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
