//! The registry behind dies and comes back.

use super::{
    Mirrored, SOON,
    book::Work,
    load::{Load, time_until_well},
};
use crate::harness::{Options, until};

#[tokio::test]
async fn a_registry_behind_that_is_killed_is_missed_while_it_is_away() {
    let mut scene = Mirrored::with(Options::default()).await;
    let load = Load::on(&scene.gateway).await;
    load.until_well().await;
    let mut book = load.turn_over();
    book.was_untroubled();
    for _ in 0..2 {
        scene.source.die();
        load.until_troubled(20).await;
        until("it is said that the registry is away", async || {
            let unready = scene.gateway.http().get("/readyz").await;
            (unready.status == 503 && unready.text().contains("registry")).then_some(())
        })
        .await;
        scene.gateway.http().get("/healthz").await.expect(200);
        scene.source.come_back().await;
        let waited = time_until_well(&load).await;
        assert!(waited < SOON, "{waited:?}");
        let page = load.turn_over();
        page.was_clear();
        // Who does not ask the registry does not feel it.
        assert!(page.troubles_of(Work::Login).is_empty(), "{page:?}");
        book.pushed.extend(page.pushed);
    }
    let page = load.stop().await;
    page.was_untroubled();
    book.pushed.extend(page.pushed);
    scene.has_all_of(&book).await;
}
