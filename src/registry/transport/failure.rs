use std::{error::Error as _, io};

use http::Uri;
use hyper_util::client::legacy;

use super::address;
use crate::{
    registry::{error::causes, guard::Forbidden},
    wire::ExchangeError,
};

/// Why an attempt brought no answer.
pub(super) enum Failure {
    Client(legacy::Error),
    /// Nothing moved for too long.
    Silence,
}

impl Failure {
    /// Whether the connection went away under a request, as a pooled one does when the other
    /// side closes it at that moment. Only a request without effect may be sent again.
    pub(super) fn is_stale_connection(&self) -> bool {
        let Self::Client(error) = self else {
            return false;
        };
        if error.is_connect() {
            return false;
        }
        hyper_cause(error).is_some_and(|cause| {
            cause.is_canceled() || cause.is_incomplete_message() || is_reset(cause)
        })
    }

    pub(super) fn into_error(self, uri: &Uri) -> ExchangeError {
        let address = address(uri);
        match self {
            Self::Client(error) if nothing_was_sent(&error) => match forbidden(&error) {
                Some(forbidden) => ExchangeError::Withheld {
                    address,
                    source: forbidden.into(),
                },
                None => ExchangeError::Unreachable {
                    address,
                    source: error.into(),
                },
            },
            Self::Client(error) => ExchangeError::Interrupted {
                address,
                source: error.into(),
            },
            Self::Silence => ExchangeError::Interrupted {
                address,
                source: io::Error::new(io::ErrorKind::TimedOut, "no answer in time").into(),
            },
        }
    }
}

/// What the guard says, without the words around it, which are those of a name that is not known.
fn forbidden(error: &legacy::Error) -> Option<Forbidden> {
    let mut causes = causes(error).into_iter();
    causes.find_map(|cause| cause.downcast_ref::<Forbidden>().cloned())
}

/// No connection came about, or hyper gave the request back before writing any of it: that is
/// what it calls canceled.
fn nothing_was_sent(error: &legacy::Error) -> bool {
    error.is_connect() || hyper_cause(error).is_some_and(hyper::Error::is_canceled)
}

fn hyper_cause(error: &legacy::Error) -> Option<&hyper::Error> {
    error.source().and_then(|source| source.downcast_ref())
}

fn is_reset(error: &hyper::Error) -> bool {
    let cause = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| {
        matches!(
            cause.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::NotConnected
        )
    })
}
