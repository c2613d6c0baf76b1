use std::{convert::Infallible, path::Path, sync::Arc};
use tidegate::{registry, server, tls, wire::Body};
use tower::ServiceExt;
#[tokio::main]
async fn main() {
    let v: Vec<String> = std::env::args().collect();
    tls::install_crypto();
    let config = server::Config {
        listen: v[1].parse().unwrap(),
        ..Default::default()
    };
    let t = tls::Config {
        mode: tls::Mode::Auto,
        cert: Some(v[2].clone().into()),
        key: Some(v[3].clone().into()),
        ..Default::default()
    };
    let t = tls::Server::load(
        &t,
        Path::new("/tmp"),
        &[],
        Arc::new(tidegate::clock::SystemClock),
    )
    .unwrap();
    let ep = registry::Endpoint::new(v[4].parse().unwrap());
    let remote = registry::Remote::new(
        &ep,
        registry::Authentication::Anonymous,
        &registry::Config::default(),
    )
    .unwrap();
    let ex = remote.exchange();
    let svc = tower::service_fn(move |req: http::Request<Body>| {
        let ex = ex.clone();
        async move {
            Ok::<_, Infallible>(match ex.oneshot(req.map(|b| b)).await {
                Ok(r) => r,
                Err(e) => {
                    eprintln!("{e}");
                    http::Response::builder()
                        .status(502)
                        .body(Body::Empty)
                        .unwrap()
                }
            })
        }
    });
    let l = server::Listener::bind(&config, t).await.unwrap();
    l.serve(svc, server::Shutdown::default()).await;
}
