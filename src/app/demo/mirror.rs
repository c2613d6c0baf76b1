//! The target: a second embedded registry behind a plain HTTP listener on loopback.

use std::{convert::Infallible, net::Ipv4Addr, path::Path, time::Duration};

use anyhow::Context;
use http::{Request, Response, StatusCode};
use tower::ServiceExt;

use super::scene::Scene;
use crate::{
    clock::SharedClock,
    embedded,
    oci::{Digest, ErrorCode},
    registry::Client,
    server::{self, Listener, Shutdown},
    wire::{Body, Exchange},
};

pub(super) struct Mirror {
    listener: Listener,
    exchange: Exchange,
}

impl Mirror {
    pub(super) async fn open(root: &Path, clock: SharedClock) -> anyhow::Result<Self> {
        let registry = embedded::Registry::open(root, clock)?;
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let config = server::Config {
            listen,
            ..server::Config::default()
        };
        let listener = Listener::bind(&config, None).await?;
        Ok(Self {
            listener,
            exchange: registry.exchange(),
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr())
    }

    pub(super) fn client(&self) -> Client {
        Client::new(self.exchange.clone())
    }

    pub(super) async fn serve(self, shutdown: Shutdown) {
        let exchange = self.exchange;
        let service = tower::service_fn(move |request: Request<Body>| {
            let exchange = exchange.clone();
            async move {
                Ok::<_, Infallible>(
                    exchange
                        .oneshot(request)
                        .await
                        .unwrap_or_else(|_| unavailable()),
                )
            }
        });
        self.listener.serve(service, shutdown).await;
    }
}

/// Waits until the mirror has the tag by this digest.
pub(super) async fn until_there(
    mirror: &Client,
    scene: &Scene,
    digest: &Digest,
) -> anyhow::Result<()> {
    let repository = scene.repository.parse()?;
    let reference = scene.tag.parse()?;
    let arrive = async {
        loop {
            let head = mirror.head_manifest(&repository, &reference).await?;
            if head.is_some_and(|head| head.digest == *digest) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, arrive)
        .await
        .context("the push did not arrive at the mirror in time")?
}

fn unavailable() -> Response<Body> {
    let mut response = Response::new(Body::from(
        ErrorCode::Unavailable.body("the mirror cannot answer"),
    ));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

const LOOK_INTERVAL: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(30);
