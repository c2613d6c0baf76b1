use std::{borrow::Cow, fmt::Write as _, net::IpAddr, time::Duration};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, Version};
use time::{format_description::BorrowedFormatItem, macros::format_description};
use tokio::{io::AsyncWrite, sync::mpsc};

use super::{Metrics, log_sink::Sink, redaction::Redacted};
use crate::{
    clock::{SharedClock, Timestamp},
    telemetry::{AccessLogFormat, LogFile},
};

/// Where the access log goes and in which form; give it to
/// [`Listener::with_access_log`](super::Listener::with_access_log).
#[derive(Debug)]
pub struct AccessLog {
    form: Form,
    clock: SharedClock,
    sink: Sink,
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

    /// The access log on any stream; `None` when it is off.
    pub fn to<W>(format: AccessLogFormat, clock: SharedClock, stream: W) -> Option<Self>
    where
        W: AsyncWrite + Send + Unpin + 'static,
    {
        Self::over(format, clock, || Sink::Stream(Box::new(stream)))
    }

    /// The access log in a file, which is begun anew when it was moved away, and at once on
    /// SIGHUP and SIGUSR1; `None` when it is off.
    pub fn file(format: AccessLogFormat, clock: SharedClock, file: LogFile) -> Option<Self> {
        Self::over(format, clock, || Sink::file(file))
    }

    fn over(
        format: AccessLogFormat,
        clock: SharedClock,
        sink: impl FnOnce() -> Sink,
    ) -> Option<Self> {
        let form = match format {
            AccessLogFormat::Json => Form::Json,
            AccessLogFormat::Combined => Form::Combined,
            AccessLogFormat::Off => return None,
        };
        Some(Self {
            form,
            clock,
            sink: sink(),
        })
    }

    /// Starts the writer. It ends when the last clone of [`Lines`] is gone and everything is
    /// written.
    pub(super) fn start(self, queue: usize, metrics: Metrics) -> (Lines, BoxFuture<'static, ()>) {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        let writer = tokio::spawn(self.write_all(receiver, metrics.clone()));
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

    async fn write_all(mut self, mut lines: mpsc::Receiver<Line>, metrics: Metrics) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut text = String::new();
        loop {
            let received = tokio::select! {
                received = lines.recv_many(&mut batch, BATCH) => received,
                () = self.sink.rotated() => continue,
            };
            if received == 0 {
                return;
            }
            text.clear();
            let now = self.clock.now();
            for line in batch.drain(..) {
                self.form.append(&mut text, now, &line);
            }
            if !self.sink.put(text.as_bytes()).await {
                metrics.access_log_dropped_lines.inc_by(received as u64);
            }
            tokio::time::sleep(PAUSE).await;
        }
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
    user_agent: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<String>,
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
        user_agent: line.user_agent.as_ref().map(readable),
        referer: line.referer.as_ref().map(referer),
    };
    // Plain strings and numbers: there is nothing in it that JSON cannot write.
    text.push_str(&serde_json::to_string(&json).unwrap_or_default());
}

/// nginx, `ngx_http_log_module`, the predefined format `combined`.
fn append_combined(text: &mut String, now: Timestamp, line: &Line) {
    let time = now.to_utc().format(LOCAL_TIME).unwrap_or_default();
    // Writing into a `String` cannot fail.
    let _ = write!(text, "{} - ", line.remote);
    append_escaped(text, line.user.as_deref().unwrap_or("-").as_bytes());
    let _ = write!(text, " [{time}] \"{} ", line.method);
    append_escaped(text, Redacted(&line.target).to_string().as_bytes());
    let (protocol, status) = (protocol(line.version), line.status.as_u16());
    let _ = write!(text, " {protocol}\" {status} {} \"", line.bytes_out);
    let referer = line.referer.as_ref().map(referer);
    append_escaped(text, referer.as_deref().unwrap_or("-").as_bytes());
    text.push_str("\" \"");
    let agent = line.user_agent.as_ref().map(HeaderValue::as_bytes);
    append_escaped(text, agent.unwrap_or(b"-"));
    text.push('"');
}

/// Adds a value as nginx escapes it (`ngx_http_log_escape`): what is not printable ASCII, and what
/// ends or begins an escape.
fn append_escaped(text: &mut String, value: &[u8]) {
    for byte in value {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                // As above.
                let _ = write!(text, "\\x{byte:02X}");
            }
            _ => text.push(char::from(*byte)),
        }
    }
}

fn readable(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// The page a link was on, without what may open doors.
fn referer(value: &HeaderValue) -> String {
    Redacted(&readable(value)).to_string()
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
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
            referer: Some(HeaderValue::from_static("https://r/?code=1&a=\\")),
            user_agent: Some(HeaderValue::from_bytes("docker \"\u{e9}\"".as_bytes()).unwrap()),
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
                r#""user.name":"robot$ci","request.id":"r-1","user_agent":"docker \"é\"","#,
                r#""referer":"https://r/?code=[redacted]&a=\\"}"#,
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
                r#""PATCH /v2/a/b/blobs/uploads/1?_state=[redacted]&n=1 HTTP/1.1" 202 0 "#,
                r#""https://r/?code=[redacted]&a=\x5C" "docker \x22\xC3\xA9\x22""#,
                "\n"
            )
        );
    }
}
