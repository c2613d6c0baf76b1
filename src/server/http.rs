//! The two protocols, each on hyper's own builder: `hyper_util`'s automatic one waits for a silent
//! client for ever.

use std::{convert::Infallible, pin::pin, time::Duration};

use futures_util::TryFutureExt;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    body::Sent,
    linger::Linger,
    retirement::{Leave, Retirement},
    streams::{Pieces, Streams},
};

/// Serves until the connection ends or is retired.
pub(super) async fn http1<I, F, A>(stream: I, answer: F, retirement: Retirement<'_>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Result<Response<Sent>, Infallible>> + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // hyper counts the idle time before a request into the time for its head.
        .header_read_timeout(retirement.keep_alive())
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(HTTP1_BUFFER_BYTES);
    let stream = TokioIo::new(Linger::new(stream, retirement.link.unread.clone()));
    let mut connection = pin!(builder.serve_connection(stream, service_fn(answer)));
    let leave = tokio::select! {
        _ended = connection.as_mut() => return,
        leave = retirement.http1() => leave,
    };
    if let Leave::Gracefully = leave {
        connection.as_mut().graceful_shutdown();
        // What goes wrong is the client's: it went away, or sent nonsense and was told so.
        let _ = connection.await;
    }
}

/// Serves until the connection ends or is retired.
pub(super) async fn http2<I, F, A>(stream: I, answer: F, retirement: Retirement<'_>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Result<Response<Sent>, Infallible>> + Send + 'static,
{
    let mut builder = http2::Builder::new(Streams(retirement.body_idle()));
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES_HTTP2);
    let answer = move |request| answer(request).map_ok(|response| response.map(Pieces::new));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service_fn(answer)));
    let leave = tokio::select! {
        _ended = connection.as_mut() => return,
        leave = retirement.http2() => leave,
    };
    if let Leave::Gracefully = leave {
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            // As above.
            _ended = connection => {}
            () = retirement.overstayed() => {}
        }
    }
}

/// Request line and headers together. Bearer tokens are up to 8 KiB, and clients send several.
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_HEAD_BYTES_HTTP2: u32 = 64 << 10;
/// Of a connection's read and write buffers each; more than a head. Larger ones move blobs no
/// faster, but a slow client fills them.
const HTTP1_BUFFER_BYTES: usize = 80 << 10;
/// What a stream may have in flight, and what is held in memory when its reader is slower: 40 MB/s
/// at 50 ms, and 16 MiB for eight uploads on as many connections.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 2 << 20;
/// So that one stalled upload does not hold up the others of its connection.
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
const HTTP2_STREAMS: u32 = 128;
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
