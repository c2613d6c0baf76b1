//! The two protocols, each on hyper's own builder: `hyper_util`'s automatic one waits for a silent
//! client for ever.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{
    body::Sent,
    retirement::{Leave, Retirement},
};

pub(super) type Answer = BoxFuture<'static, Result<Response<Sent>, Infallible>>;

/// Serves until the connection ends or is retired.
pub(super) async fn http1<I, F>(stream: I, answer: F, retirement: Retirement<'_>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> Answer + Unpin,
{
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // hyper counts the idle time before a request into the time for its head.
        .header_read_timeout(retirement.keep_alive())
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(HTTP1_BUFFER_BYTES);
    let mut connection = builder.serve_connection(TokioIo::new(stream), service_fn(answer));
    let ended = tokio::select! {
        ended = poll_fn(|context| connection.poll_without_shutdown(context)) => Some(ended),
        leave = retirement.http1() => match leave {
            Leave::AtOnce => return,
            Leave::Gracefully => None,
        },
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        Pin::new(&mut connection).graceful_shutdown();
        poll_fn(|context| connection.poll_without_shutdown(context)).await
    };
    // An error is the client's: it went away, or sent nonsense and was told so.
    let rest = match ended {
        Ok(()) if !retirement.leaves_unread() => Rest::Nothing,
        _ => Rest::Unread,
    };
    close(connection.into_parts().io.into_inner(), rest).await;
}

/// Serves until the connection ends or is retired.
pub(super) async fn http2<I, F>(stream: I, answer: F, retirement: Retirement<'_>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> Answer,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES_HTTP2);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service_fn(answer)));
    let leave = tokio::select! {
        _ended = connection.as_mut() => return,
        leave = retirement.http2() => leave,
    };
    if let Leave::Gracefully = leave {
        connection.as_mut().graceful_shutdown();
        // As above: what goes wrong now is the client's.
        let _ = connection.await;
    }
}

async fn close<I: AsyncRead + AsyncWrite + Unpin>(mut stream: I, rest: Rest) {
    let farewell = async {
        stream.shutdown().await?;
        // A socket closed with unread bytes resets the connection, and the client may never see
        // why its upload was refused.
        if let Rest::Unread = rest {
            let mut bytes = vec![0; LINGER_READ_BYTES];
            while stream.read(&mut bytes).await? > 0 {}
        }
        std::io::Result::Ok(())
    };
    // Whatever happens to it, the connection is over.
    let _ = timeout(LINGER, farewell).await;
}

/// What the client may have sent that nobody read.
enum Rest {
    Nothing,
    Unread,
}

/// Request line and headers together. Bearer tokens are up to 8 KiB, and clients send several.
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_HEAD_BYTES_HTTP2: u32 = 64 << 10;
/// Of a connection's read and write buffers each; more than a head, four TLS reads.
const HTTP1_BUFFER_BYTES: usize = 256 << 10;
/// 4 MiB are 80 MB/s at 50 ms.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// So that one stalled upload does not hold up the others of its connection.
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const HTTP2_STREAMS: u32 = 128;
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// A client that reads while it sends, as Go's does, stops at once; nginx waits 5 to 30 s.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_READ_BYTES: usize = 16 << 10;
