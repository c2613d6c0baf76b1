use std::time::Duration;

use super::log;
use crate::store;

/// How a run failed; decides whether and when the job runs again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// May work next time: backoff, and one attempt is spent.
    Retryable { message: String },
    /// The other side asks for patience: run again after `retry_after`; no attempt is spent.
    Throttled {
        message: String,
        retry_after: Duration,
    },
    /// The other side cannot be reached: run again later; no attempt is spent.
    TargetDown { message: String },
    /// No retry can help: fail now.
    Permanent { message: String },
    /// The run heard [`Running::stop`](super::Running::stop) and ended early.
    Stopped,
}

impl Failure {
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::Retryable {
            message: message.into(),
        }
    }

    pub fn target_down(message: impl Into<String>) -> Self {
        Self::TargetDown {
            message: message.into(),
        }
    }

    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Permanent {
            message: message.into(),
        }
    }

    pub fn class(&self) -> Class {
        match self {
            Self::Retryable { .. } => Class::Retryable,
            Self::Throttled { .. } => Class::Throttled,
            Self::TargetDown { .. } => Class::TargetDown,
            Self::Permanent { .. } => Class::Permanent,
            Self::Stopped => Class::Stopped,
        }
    }

    /// Whether it says of the target, not of the job, that it must wait.
    pub(super) fn parks(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::TargetDown { .. })
    }

    /// What went wrong, for people.
    pub fn message(&self) -> &str {
        match self {
            Self::Retryable { message }
            | Self::Throttled { message, .. }
            | Self::TargetDown { message }
            | Self::Permanent { message } => message,
            Self::Stopped => "stopped on request",
        }
    }

    /// The message as it is written down: registries have a say in it, and one that a database
    /// refuses would keep the run from ending for ever.
    pub(super) fn written(&self) -> String {
        log::clean(self.message(), MESSAGE_BYTES)
    }
}

/// Of a message, as much as of a line of the log by default.
const MESSAGE_BYTES: usize = 2048;

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        let message = error.to_string();
        if error.retryable() {
            Self::Retryable { message }
        } else {
            Self::Permanent { message }
        }
    }
}

/// The kinds of failure: a closed set, also the metric label and the column `error_class`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    Retryable,
    Throttled,
    TargetDown,
    Permanent,
    Stopped,
    /// The process died during the run.
    Crashed,
}

impl Class {
    pub const ALL: [Self; 6] = [
        Self::Retryable,
        Self::Throttled,
        Self::TargetDown,
        Self::Permanent,
        Self::Stopped,
        Self::Crashed,
    ];

    /// The class with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retryable => "retryable",
            Self::Throttled => "throttled",
            Self::TargetDown => "target_down",
            Self::Permanent => "permanent",
            Self::Stopped => "stopped",
            Self::Crashed => "crashed",
        }
    }
}
