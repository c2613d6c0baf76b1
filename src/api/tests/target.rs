//! A registry on a port of its own, to be mirrored to.

use std::{net::SocketAddr, sync::Arc};

use serde_json::{Value, json};

use crate::{
    clock::SystemClock,
    embedded,
    server::{self, Listener, Shutdown},
};

/// Ends when dropped.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) registry: embedded::Registry,
    shutdown: Shutdown,
    _files: tempfile::TempDir,
}

impl Target {
    pub(super) async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let registry = embedded::Registry::open(files.path(), Arc::new(SystemClock)).unwrap();
        let config = server::Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..server::Config::default()
        };
        let listener = Listener::bind(&config, None).await.unwrap();
        let address = listener.local_addr();
        let exchange = registry.exchange();
        let service = tower::service_fn(move |request| {
            let answer = tower::ServiceExt::oneshot(exchange.clone(), request);
            async move { Ok(answer.await.unwrap()) }
        });
        let shutdown = Shutdown::default();
        tokio::spawn(listener.serve(service, shutdown.clone()));
        Self {
            address,
            registry,
            shutdown,
            _files: files,
        }
    }

    pub(super) fn described(&self, name: &str) -> Value {
        json!({"name": name, "type": "docker-registry", "url": format!("http://{}", self.address),
            "credential": {"type": "basic", "access_key": "mirror", "access_secret": "s3cret"}})
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.shutdown.abort();
    }
}

/// A policy that mirrors `team/` to a registry when asked to.
pub(super) fn policy(name: &str, target: i64) -> Value {
    json!({"name": name, "dest_registry": {"id": target}, "enabled": true, "override": true,
        "trigger": {"type": "manual"}, "filters": [{"type": "name", "value": "team/**"}]})
}
