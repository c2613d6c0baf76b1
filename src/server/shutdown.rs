use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two steps of stopping: draining lets requests in flight finish, aborting does not.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    abort: CancellationToken,
}

impl Shutdown {
    /// Takes no more connections and lets requests in flight finish.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Ends everything at once.
    pub fn abort(&self) {
        self.drain.cancel();
        self.abort.cancel();
    }

    /// Cancelled when draining begins; other rooms' tasks may hear it too.
    pub fn draining(&self) -> &CancellationToken {
        &self.drain
    }

    /// Cancelled when everything is to end at once.
    pub fn aborting(&self) -> &CancellationToken {
        &self.abort
    }

    /// Hears this one; its own aborting is heard by nobody else.
    pub(super) fn within(&self) -> Self {
        Self {
            drain: self.drain.clone(),
            abort: self.abort.child_token(),
        }
    }

    /// Ties the first SIGTERM or SIGINT to draining and the second to aborting. Runs until the
    /// second, so spawn it; fails when signals cannot be listened to. SIGHUP and SIGUSR1 ask for
    /// files to be opened anew; where nobody hears them, they end nothing either.
    pub async fn on_signals(self) -> std::io::Result<()> {
        let _heard = [SignalKind::hangup(), SignalKind::user_defined1()].map(signal);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        for step in [Self::drain, Self::abort] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            step(&self);
        }
        Ok(())
    }
}
