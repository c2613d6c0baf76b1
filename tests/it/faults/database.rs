//! PostgreSQL is restarted, politely and not.

use super::{
    Mirrored, SOON,
    book::Work,
    load::{Load, time_until_well},
};
use crate::harness::{Options, Postgres};

#[tokio::test]
async fn a_database_that_is_restarted_stops_no_pull_and_loses_no_push() {
    let mut database = Postgres::start().await;
    let scene = Mirrored::with(Options {
        extra: format!("[database]\nurl = \"{}\"\n", database.url()),
        ..Options::default()
    })
    .await;
    let load = Load::on(&scene.gateway).await;
    load.until_well().await;
    let mut book = load.turn_over();
    book.was_untroubled();

    database.go_away().await;
    // Pulls go on with what is known of their users.
    load.until_troubled(3).await;
    load.until_done(Work::Pull, 20).await;
    database.come_back().await;
    let waited = time_until_well(&load).await;
    assert!(waited < SOON, "{waited:?}");

    database.crash().await;
    database.come_back().await;
    load.until_well().await;
    let page = load.stop().await;
    page.was_clear();
    assert!(page.troubles_of(Work::Pull).is_empty(), "{page:#?}");
    book.pushed.extend(page.pushed);
    scene.has_done_all_of(&book).await;
}
