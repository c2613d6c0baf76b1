//! Kills at random moments, while several clients push and delete.

use std::time::Duration;

use super::{
    driver::World,
    operations::{Operation, Subject},
};
use crate::harness::Database;

#[tokio::test]
async fn killed_at_random_moments_on_sqlite() {
    kill_again_and_again(Database::Sqlite).await;
}

#[tokio::test]
async fn killed_at_random_moments_on_postgres() {
    kill_again_and_again(Database::Postgres).await;
}

#[expect(clippy::print_stdout, reason = "the seed of a run that fails")]
async fn kill_again_and_again(database: Database) {
    let seed = std::env::var("TIDEGATE_KILL_SEED").ok();
    let seed = seed.map_or_else(random, |seed| seed.parse().unwrap());
    println!("{database:?}: TIDEGATE_KILL_SEED={seed}");
    let mut moments = Moments(seed);
    let mut world = World::new(database).await;
    let subjects = subjects();
    for subject in &subjects {
        let pushed = subject.operation.push_before(&world, subject).await;
        pushed.unwrap();
    }
    for subject in &subjects {
        world.until_prepared(subject).await;
    }
    for some in subjects.chunks(CLIENTS) {
        let clients = some.iter().map(|subject| {
            // What a client hears says nothing of what happened.
            subject.operation.perform(&world, subject)
        });
        let death = async {
            tokio::time::sleep(moments.next()).await;
            world.gateway.die();
        };
        let (_heard, ()) = tokio::join!(futures_util::future::join_all(clients), death);
        world.gateway.kill();
        world.gateway.restart().await;
    }
    for subject in &subjects {
        let case = format!("seed {seed}: {:?}", subject.operation);
        world.until_well(&case, subject).await;
    }
}

/// For each death some operations, of changing kinds.
fn subjects() -> Vec<Subject> {
    let kinds = Operation::PUSHES_AND_DELETES.into_iter().cycle();
    let numbered = kinds.enumerate().take(KILLS * CLIENTS);
    numbered
        .map(|(number, operation)| Subject::new(operation, number))
        .collect()
}

const KILLS: usize = 12;
/// Operations under way when the process dies.
const CLIENTS: usize = 4;

/// Enough for all clients to end, so that some kills hit the jobs.
const LONGEST_MS: u64 = 1500;

/// Times until the next death, the same for the same seed.
struct Moments(u64);

impl Moments {
    /// Splitmix64.
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_millis((mixed ^ (mixed >> 31)) % LONGEST_MS)
    }
}

fn random() -> u64 {
    u64::from_le_bytes(tidegate::secret::random_bytes())
}
