//! Kept answers: everything but the registry's own work is done for each request anew.

use super::world::{Listener, Stub, World, respond};
use crate::proxy::{Config, Keep, Upstream};

const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
const PULL: &str = "/v2/team/app/manifests/v1";

async fn world(stub: &Stub) -> World {
    let exchange = stub.exchange(|_| respond(200, &[("docker-content-digest", DIGEST)]));
    let upstream = Upstream {
        exchange,
        url: None,
        keep: Keep::Gets,
    };
    World::over(upstream, Listener::default(), Config::default()).await
}

#[tokio::test]
async fn a_kept_answer_is_for_those_who_may_pull_and_each_pull_is_noted() {
    let stub = Stub::default();
    let world = world(&stub).await;
    let alice = world.bearer("alice", &["team/app:pull"]);
    let bob = world.bearer("bob", &["team/app:pull"]);
    for _ in 0..3 {
        let answer = world.ask("GET", PULL, &alice).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("docker-content-digest"), DIGEST);
    }
    assert_eq!(world.ask("GET", PULL, &bob).await.status, 403);
    assert_eq!(world.ask("GET", PULL, "").await.status, 401);
    assert_eq!(stub.lines(), [format!("GET {PULL}")]);
    assert_eq!(world.observer.pulls.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_push_is_seen_by_the_next_pull() {
    let stub = Stub::default();
    let world = world(&stub).await;
    let alice = world.bearer("alice", &["team/app:pull,push"]);
    for _ in 0..2 {
        world.ask("GET", PULL, &alice).await;
    }
    let mut push = super::world::request("PUT", PULL, &alice, "{}".into());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let headers = push.headers_mut();
    headers.insert("content-type", media_type.parse().unwrap());
    assert_eq!(world.send(push).await.status, 200);
    world.ask("GET", PULL, &alice).await;
    let lines = stub.lines();
    let pull = format!("GET {PULL}");
    assert_eq!(lines, [pull.clone(), format!("PUT {PULL}"), pull]);
}
