use std::{fmt, io};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    signal::unix::{Signal, SignalKind, signal},
};

use crate::telemetry::LogFile;

/// Where the lines of the access log go. Whatever is wrong with it, serving goes on.
pub(super) enum Sink {
    Stream(Box<dyn AsyncWrite + Send + Unpin>),
    File {
        file: LogFile,
        /// The wish to have it opened anew; absent where the system gives no signals.
        signals: Option<[Signal; 2]>,
        /// Whether the last write failed.
        is_failing: bool,
    },
    /// A stream that nobody reads any more.
    Closed,
}

impl Sink {
    pub(super) fn file(file: LogFile) -> Self {
        let signals = || {
            let hangup = signal(SignalKind::hangup())?;
            io::Result::Ok([hangup, signal(SignalKind::user_defined1())?])
        };
        Self::File {
            file,
            signals: signals().ok(),
            is_failing: false,
        }
    }

    /// Ready when the file is to be let go of, after letting go of it.
    pub(super) async fn rotated(&mut self) {
        let Self::File {
            file,
            signals: Some([hangup, user]),
            ..
        } = self
        else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = hangup.recv() => {}
            _ = user.recv() => {}
        }
        file.close();
        // An error is found again, and told, with the next lines.
        let _ = file.append(Vec::new()).await;
    }

    /// Writes whole lines; false when they are lost.
    pub(super) async fn put(&mut self, lines: &[u8]) -> bool {
        match self {
            Self::Stream(stream) => {
                let written = put_on(stream, lines).await;
                if written.is_err() {
                    *self = Self::Closed;
                }
                written.is_ok()
            }
            Self::File {
                file, is_failing, ..
            } => {
                let was_failing = *is_failing;
                let written = file.append(lines.to_vec()).await;
                *is_failing = written.is_err();
                tell_change(was_failing, &written);
                written.is_ok()
            }
            Self::Closed => false,
        }
    }
}

async fn put_on(stream: &mut (dyn AsyncWrite + Send + Unpin), lines: &[u8]) -> io::Result<()> {
    let written = match stream.write_all(lines).await {
        Ok(()) => stream.flush().await,
        Err(error) => Err(error),
    };
    written.inspect_err(|error| tracing::warn!("the access log ends here: {error}"))
}

/// Tells the log when writing begins to fail, and when it works again.
fn tell_change(was_failing: bool, written: &io::Result<()>) {
    match written {
        Err(error) if !was_failing => tracing::warn!("lines of the access log are lost: {error}"),
        Ok(()) if was_failing => tracing::info!("the access log is written again"),
        _ => {}
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(_) => f.write_str("Stream"),
            Self::File { file, .. } => f.debug_tuple("File").field(&file.path()).finish(),
            Self::Closed => f.write_str("Closed"),
        }
    }
}
