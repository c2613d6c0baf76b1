use std::{io, net::SocketAddr};

/// Why the listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address} (server.{key}): {}", remedy(.source))]
    Bind {
        address: SocketAddr,
        /// The configuration key that holds the address.
        key: &'static str,
        source: io::Error,
    },
}

fn remedy(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "address already in use; stop the program that listens there or choose another port"
                .into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address; use 0.0.0.0 or one of its own".into()
        }
        io::ErrorKind::PermissionDenied => "not permitted; ports below 1024 need root or \
             CAP_NET_BIND_SERVICE, or choose a higher port"
            .into(),
        _ => error.to_string(),
    }
}
