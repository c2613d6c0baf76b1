use std::{fmt, fmt::Write as _, io, net::IpAddr, time::Duration};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, Version};
use time::{format_description::BorrowedFormatItem, macros::format_description};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

use super::{Metrics, redaction::Redacted};
use crate::{
    clock::{SharedClock, Timestamp},
    telemetry::AccessLogFormat,
};

/// Where the access log goes and in which form; give it to
/// [`Listener::with_access_log`](super::Listener::with_access_log).
pub struct AccessLog {
    form: Form,
    clock: SharedClock,
    sink: Box<dyn AsyncWrite + Send + Unpin>,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Combined,
}

impl AccessLog {
    /// The access log on standard output; `None` when it is off.
    pub fn stdout(format: AccessLogFormat, clock: SharedClock) -> Option<Self> {
        Self::to(format, clock, tokio::io::stdout())
    }

    /// The access log on any sink; `None` when it is off.
    pub fn to<W>(format: AccessLogFormat, clock: SharedClock, sink: W) -> Option<Self>
    where
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let form = match format {
            AccessLogFormat::Json => Form::Json,
            AccessLogFormat::Combined => Form::Combined,
            AccessLogFormat::Off => return None,
        };
        Some(Self {
            form,
            clock,
            sink: Box::new(sink),
        })
    }

    /// Starts the writer. It ends when the last clone of [`Lines`] is gone and everything is
    /// written.
    pub(super) fn start(self, queue: usize, metrics: Metrics) -> (Lines, BoxFuture<'static, ()>) {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        let writer = tokio::spawn(self.write_all(receiver));
        let lines = Lines(Some((sender, metrics)));
        let written = async move {
            if let Err(error) = writer.await {
                tracing::error!("the access log's writer failed: {error}");
            }
        };
        (lines, Box::pin(written))
    }

    /// No access log.
    pub(super) fn none() -> (Lines, BoxFuture<'static, ()>) {
        (Lines(None), Box::pin(std::future::ready(())))
    }

    async fn write_all(mut self, mut lines: mpsc::Receiver<Line>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut text = String::new();
        while lines.recv_many(&mut batch, BATCH).await > 0 {
            text.clear();
            let now = self.clock.now();
            for line in batch.drain(..) {
                self.form.append(&mut text, now, &line);
            }
            if let Err(error) = self.put(text.as_bytes()).await {
                // Nobody reads any more (a closed pipe): serving goes on without the log.
                tracing::warn!("the access log ends here: {error}");
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn put(&mut self, text: &[u8]) -> io::Result<()> {
        self.sink.write_all(text).await?;
        self.sink.flush().await
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog")
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

/// The way to the writer. Never waits: what finds the queue full is dropped and counted.
#[derive(Debug, Clone)]
pub(super) struct Lines(Option<(mpsc::Sender<Line>, Metrics)>);

impl Lines {
    /// Writes down one exchange; `line` is made only if there is a log.
    pub(super) fn send(&self, line: impl FnOnce() -> Line) {
        if let Some((sender, metrics)) = &self.0
            && sender.try_send(line()).is_err()
        {
            metrics.access_log_dropped_lines.inc();
        }
    }
}

/// One exchange, as it ended.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) remote: IpAddr,
    pub(super) method: Method,
    /// Path and query as sent.
    pub(super) target: String,
    pub(super) version: Version,
    pub(super) status: StatusCode,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) duration: Duration,
    pub(super) user: Option<Box<str>>,
    pub(super) request_id: std::sync::Arc<str>,
    pub(super) referer: Option<HeaderValue>,
    pub(super) user_agent: Option<HeaderValue>,
}

impl Form {
    fn append(self, text: &mut String, now: Timestamp, line: &Line) {
        match self {
            Self::Json => append_json(text, now, line),
            Self::Combined => append_combined(text, now, line),
        }
        text.push('\n');
    }
}

#[derive(serde::Serialize)]
struct JsonLine<'a> {
    time: Timestamp,
    remote: IpAddr,
    method: &'a str,
    path: String,
    protocol: &'static str,
    status: u16,
    bytes_in: u64,
    bytes_out: u64,
    duration_ms: f64,
    #[serde(rename = "user.name", skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(rename = "request.id")]
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

fn append_json(text: &mut String, now: Timestamp, line: &Line) {
    let json = JsonLine {
        time: now,
        remote: line.remote,
        method: line.method.as_str(),
        path: Redacted(&line.target).to_string(),
        protocol: protocol(line.version),
        status: line.status.as_u16(),
        bytes_in: line.bytes_in,
        bytes_out: line.bytes_out,
        duration_ms: (line.duration.as_secs_f64() * 1e6).round() / 1e3,
        user: line.user.as_deref(),
        request_id: &line.request_id,
        user_agent: readable(line.user_agent.as_ref()),
    };
    // Plain strings and numbers: there is nothing in it that JSON cannot write.
    text.push_str(&serde_json::to_string(&json).unwrap_or_default());
}

/// nginx, `ngx_http_log_module`, the predefined format `combined`.
fn append_combined(text: &mut String, now: Timestamp, line: &Line) {
    let time = now.to_utc().format(LOCAL_TIME).unwrap_or_default();
    // Writing into a `String` cannot fail.
    let _ = write!(
        text,
        "{} - {} [{time}] \"{} {} {}\" {} {} \"{}\" \"{}\"",
        line.remote,
        Quoted(line.user.as_deref().unwrap_or("-")),
        line.method,
        Quoted(&Redacted(&line.target).to_string()),
        protocol(line.version),
        line.status.as_u16(),
        line.bytes_out,
        Quoted(readable(line.referer.as_ref()).unwrap_or("-")),
        Quoted(readable(line.user_agent.as_ref()).unwrap_or("-")),
    );
}

fn readable(value: Option<&HeaderValue>) -> Option<&str> {
    value?.to_str().ok()
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// Text that stands between quotation marks, escaped as nginx does.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '"' | '\\' | '\0'..='\x1f' | '\x7f' => {
                    write!(f, "\\x{:02X}", u32::from(character))?;
                }
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

const LOCAL_TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
/// Lines written with one system call.
const BATCH: usize = 512;
/// Between two batches, so that a busy gateway writes a few large blocks rather than many lines.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            remote: IpAddr::from([192, 0, 2, 7]),
            method: Method::PATCH,
            target: "/v2/a/b/blobs/uploads/1?_state=secret&n=1".into(),
            version: Version::HTTP_11,
            status: StatusCode::ACCEPTED,
            bytes_in: 5,
            bytes_out: 0,
            duration: Duration::from_micros(1500),
            user: Some("robot$ci".into()),
            request_id: "r-1".into(),
            referer: None,
            user_agent: Some(HeaderValue::from_static("docker \"x\"")),
        }
    }

    fn written(form: Form) -> String {
        let mut text = String::new();
        form.append(&mut text, Timestamp::from_seconds(1_000_000_000), &line());
        text
    }

    #[test]
    fn json_lines_name_every_field() {
        assert_eq!(
            written(Form::Json),
            concat!(
                r#"{"time":"2001-09-09T01:46:40Z","remote":"192.0.2.7","method":"PATCH","#,
                r#""path":"/v2/a/b/blobs/uploads/1?_state=[redacted]&n=1","protocol":"HTTP/1.1","#,
                r#""status":202,"bytes_in":5,"bytes_out":0,"duration_ms":1.5,"#,
                r#""user.name":"robot$ci","request.id":"r-1","user_agent":"docker \"x\""}"#,
                "\n"
            )
        );
    }

    #[test]
    fn combined_lines_are_those_of_nginx() {
        assert_eq!(
            written(Form::Combined),
            concat!(
                r#"192.0.2.7 - robot$ci [09/Sep/2001:01:46:40 +0000] "#,
                r#""PATCH /v2/a/b/blobs/uploads/1?_state=[redacted]&n=1 HTTP/1.1" 202 0 "-" "#,
                r#""docker \x22x\x22""#,
                "\n"
            )
        );
    }
}
