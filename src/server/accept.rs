use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// A socket that hands out at most so many connections at once; the others wait in the
/// system's accept queue.
#[derive(Debug)]
pub(super) struct Accept {
    socket: TcpListener,
    free: Arc<Semaphore>,
}

/// A connection and the place it takes.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) remote: SocketAddr,
    pub(super) place: OwnedSemaphorePermit,
}

impl Accept {
    pub(super) async fn bind(address: SocketAddr, places: usize) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let free = Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)));
        Ok(Self { socket, free })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection, as soon as there is a place for it.
    pub(super) async fn next(&self) -> Accepted {
        loop {
            // The semaphore is never closed; were it, no more would be accepted.
            let Ok(place) = self.free.clone().acquire_owned().await else {
                return std::future::pending().await;
            };
            match self.socket.accept().await {
                Ok((stream, remote)) => {
                    // Heads and small answers must not wait for the peer's delayed ACK. Fails
                    // only when the peer is gone already, which the next read tells.
                    let _ = stream.set_nodelay(true);
                    return Accepted {
                        stream,
                        remote,
                        place,
                    };
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!("cannot accept connections for now: {error}");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// Out of file descriptors or memory: let some connections end before trying again.
const RETRY: Duration = Duration::from_millis(500);
