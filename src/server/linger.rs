use std::{
    io,
    io::IoSlice,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// A connection that, once shut down, goes on taking in what its peer is still sending.
///
/// A socket closed with unread bytes resets the connection, and the peer may never see the answer
/// that tells why its upload was refused.
#[derive(Debug)]
pub(super) struct Linger<T> {
    inner: T,
    unread: Arc<AtomicBool>,
    farewell: Farewell,
}

#[derive(Debug)]
enum Farewell {
    NotYet,
    /// Our side is shut; nothing says that the peer is sending.
    Said,
    /// The peer is sending; it has until then to notice.
    Waiting(Pin<Box<Sleep>>),
}

impl<T> Linger<T> {
    /// `unread` is set by then if some request's body was not read to its end.
    pub(super) fn new(inner: T, unread: Arc<AtomicBool>) -> Self {
        Self {
            inner,
            unread,
            farewell: Farewell::NotYet,
        }
    }
}

impl<T: AsyncRead + Unpin> Linger<T> {
    /// Ready when the peer has closed its side, when nothing is to be expected of it, or when
    /// its time is over.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            // First, for a peer that sends without a pause would always have something to read.
            if let Farewell::Waiting(timer) = &mut self.farewell
                && timer.as_mut().poll(context).is_ready()
            {
                return Poll::Ready(());
            }
            let mut space = [0; 4096];
            let mut bytes = ReadBuf::new(&mut space);
            let read = Pin::new(&mut self.inner).poll_read(context, &mut bytes);
            let is_over = match read {
                Poll::Ready(Ok(())) => bytes.filled().is_empty(),
                Poll::Ready(Err(_)) => true,
                Poll::Pending => match self.farewell {
                    Farewell::Waiting(_) => return Poll::Pending,
                    _ => !self.unread.load(Ordering::Relaxed),
                },
            };
            if is_over {
                return Poll::Ready(());
            }
            if !matches!(self.farewell, Farewell::Waiting(_)) {
                self.farewell = Farewell::Waiting(Box::pin(tokio::time::sleep(PATIENCE)));
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Linger<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Linger<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Farewell::NotYet = self.farewell {
            ready!(Pin::new(&mut self.inner).poll_shutdown(context))?;
            self.farewell = Farewell::Said;
        }
        self.poll_silence(context).map(Ok)
    }
}

/// A client that reads while it sends, as Go's does, stops at once; nginx waits 5 to 30 s.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::Instant,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_left_at_once() {
        let (near, _far) = tokio::io::duplex(64);
        let started = Instant::now();
        Linger::new(near, Arc::default()).shutdown().await.unwrap();
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sending_peer_is_heard_out_for_a_while() {
        let (near, mut far) = tokio::io::duplex(64);
        let started = Instant::now();
        let sender = tokio::spawn(async move {
            let mut sent: usize = 0;
            while far.write_all(&[0; 64]).await.is_ok() {
                sent += 64;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            sent
        });
        tokio::task::yield_now().await;
        let mut near = Linger::new(near, Arc::default());
        near.shutdown().await.unwrap();
        assert_eq!(started.elapsed(), PATIENCE);
        drop(near);
        assert!(sender.await.unwrap() > 64);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_in_the_middle_of_a_body_is_heard_out_though_it_pauses() {
        let (near, mut far) = tokio::io::duplex(64);
        let started = Instant::now();
        let peer = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            far.write_all(&[0; 64]).await.unwrap();
        });
        let unread = Arc::new(AtomicBool::new(true));
        Linger::new(near, unread).shutdown().await.unwrap();
        assert_eq!(started.elapsed(), Duration::from_secs(1));
        peer.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_closes_ends_it() {
        let (near, mut far) = tokio::io::duplex(64);
        far.write_all(&[0; 64]).await.unwrap();
        let peer = tokio::spawn(async move { far.read(&mut [0]).await.unwrap() });
        let started = Instant::now();
        Linger::new(near, Arc::default()).shutdown().await.unwrap();
        assert_eq!(started.elapsed(), Duration::ZERO);
        assert_eq!(peer.await.unwrap(), 0);
    }
}
