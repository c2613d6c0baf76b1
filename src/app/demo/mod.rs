//! `tidegate demo`: a gateway, a mirror, a push, and the push arriving at the mirror.
//!
//! All of it is real: the gateway is [`App`] as `serve` runs it, the mirror a second embedded
//! registry behind a listener of its own, the push goes over TLS with a token. Its data lies in a
//! temporary directory that is gone afterwards.

mod mirror;
mod sample;
mod scene;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Instant};

use anyhow::Context;

use super::App;
use crate::{
    clock::{SharedClock, SystemClock},
    config::Config,
    secret,
    server::Shutdown,
    telemetry,
};

use mirror::Mirror;
use scene::Scene;

/// What the demo shows, as lines for a person.
pub trait Audience {
    fn say(&self, line: &str) -> std::io::Result<()>;
}

/// Runs the demo on `listen` until `shutdown`.
pub async fn run(
    listen: SocketAddr,
    audience: &(impl Audience + Sync),
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let directory = Directory::make()?;
    let clock: SharedClock = Arc::new(SystemClock);
    let app = App::build(config(listen, &directory), clock.clone()).await?;
    let mirror = Mirror::open(&directory.0.join("mirror"), clock).await?;
    let (mirror_url, target) = (mirror.url(), mirror.client());
    let mirroring = tokio::spawn(mirror.serve(shutdown.clone()));
    let scene = Scene::set(app.auth.clone(), app.replication.clone(), &mirror_url).await?;
    let address = app.address();
    let certificate = app
        .ca_certificate()
        .context("the demo has a certificate of its own")?
        .to_owned();
    let serving = tokio::spawn(app.serve(shutdown.clone()));

    let host = format!("localhost:{}", address.port());
    audience.say(&format!("gateway   https://{host}"))?;
    audience.say(&format!("user      {}", scene.user))?;
    audience.say(&format!("password  {}", scene.password.expose()))?;
    audience.say(&format!("mirror    {mirror_url}"))?;
    audience.say("")?;
    let show = async {
        let digest = sample::push(&host, &certificate, &scene).await?;
        let pushed = Instant::now();
        audience.say(&format!(
            "pushed    {host}/{}:{} {digest}",
            scene.repository, scene.tag
        ))?;
        mirror::until_there(&target, &scene, &digest).await?;
        let lag = pushed.elapsed().as_millis();
        audience.say(&format!(
            "mirrored  {mirror_url}/{}:{} {digest}, {lag} ms later",
            scene.repository, scene.tag
        ))?;
        audience.say("")?;
        audience.say("to use it with docker:")?;
        audience.say(&format!("  mkdir -p /etc/docker/certs.d/{host}"))?;
        audience.say(&format!(
            "  cp {} /etc/docker/certs.d/{host}/ca.crt",
            certificate.display()
        ))?;
        audience.say(&format!(
            "  docker login {host} -u {} -p {}",
            scene.user,
            scene.password.expose()
        ))?;
        audience.say(&format!(
            "  docker pull {host}/{}:{}",
            scene.repository, scene.tag
        ))?;
        audience.say("")?;
        audience.say("Press Ctrl-C to end the demo.")?;
        anyhow::Ok(())
    };
    let shown = tokio::select! {
        shown = show => shown,
        () = shutdown.draining().cancelled() => Ok(()),
    };
    if shown.is_err() {
        shutdown.drain();
    }
    serving.await??;
    mirroring.await?;
    shown
}

fn config(listen: SocketAddr, directory: &Directory) -> Config {
    let mut config = Config::default();
    config.server.listen = listen;
    config.server.data_dir = directory.0.join("gateway");
    // Nobody waits for a push that somebody else has begun.
    config.server.drain_timeout_seconds = 5;
    config.telemetry.access_log = telemetry::AccessLogFormat::Off;
    config
}

/// A directory that is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn make() -> anyhow::Result<Self> {
        let name = format!("tidegate-demo-{}", hex::encode(secret::random_bytes::<6>()));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!("{} is left behind: {error}", self.0.display());
        }
    }
}
