use std::{fmt, str::FromStr};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Waits for a worker, or for the time it is to run at.
    Ready,
    /// A worker holds its lease.
    Running,
    /// A run failed; it waits for the next.
    Retry,
    /// Succeeded. Final.
    Done,
    /// Failed for good; may be retried by hand.
    Failed,
    /// Stopped by hand; may be retried by hand.
    Stopped,
}

/// Every change of state there is.
const TRANSITIONS: &[(State, State)] = &[
    // Claimed by a worker.
    (State::Ready, State::Running),
    (State::Retry, State::Running),
    // A newer wish, or a person, does not wait for the backoff.
    (State::Retry, State::Ready),
    // A run ends.
    (State::Running, State::Done),
    (State::Running, State::Failed),
    (State::Running, State::Stopped),
    (State::Running, State::Retry),
    // A newer wish came during the run; or the process went away.
    (State::Running, State::Ready),
    // By hand.
    (State::Ready, State::Stopped),
    (State::Retry, State::Stopped),
    (State::Failed, State::Ready),
    (State::Stopped, State::Ready),
];

impl State {
    pub const ALL: [Self; 6] = [
        Self::Ready,
        Self::Running,
        Self::Retry,
        Self::Done,
        Self::Failed,
        Self::Stopped,
    ];

    /// Whether a transition is listed.
    pub(super) fn may_become(self, next: Self) -> bool {
        TRANSITIONS.contains(&(self, next))
    }

    /// The word in the database, in logs and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Retry => "retry",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// The status Harbor's API shows; a job that will be retried counts as in progress.
    pub const fn harbor(self) -> &'static str {
        match self {
            Self::Ready => "Pending",
            Self::Running | Self::Retry => "Running",
            Self::Done => "Success",
            Self::Failed => "Error",
            Self::Stopped => "Stopped",
        }
    }

    /// Whether no run will follow unless a person asks for one.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Stopped)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no state's word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the state of a job")]
pub struct UnknownState(String);

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_back_from_its_word() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("Ready".parse::<State>().is_err());
    }

    #[test]
    fn nothing_leaves_done() {
        assert!(TRANSITIONS.iter().all(|(from, _)| *from != State::Done));
    }
}
