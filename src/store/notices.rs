//! What gateways on one PostgreSQL tell each other: hints, which may be lost.

use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};

use super::{Error, db::ACQUIRE_TIMEOUT};

/// Hears what is told on one channel, on a connection of its own: the pool may be as small as one.
#[derive(Debug)]
pub struct Notices(PgListener);

impl Notices {
    /// Begins to listen at the database of this pool.
    pub async fn open(pool: &PgPool, channel: &str) -> Result<Self, Error> {
        let own = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with((*pool.connect_options()).clone())
            .await?;
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(channel).await?;
        Ok(Self(listener))
    }

    /// Waits for the next text; `None`: the connection was lost and is there again, and what was
    /// told in between was not heard. After an error, open anew.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        let notice = self.0.try_recv().await?;
        Ok(notice.map(|notice| notice.payload().to_owned()))
    }
}

/// Tells all who listen.
pub async fn notify(pool: &PgPool, channel: &str, text: &str) -> Result<(), Error> {
    sqlx::query("select pg_notify($1, $2)")
        .bind(channel)
        .bind(text)
        .execute(pool)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        secret,
        store::{Db, testing},
    };

    const KILL: &str = "select pg_terminate_backend(pid) from pg_stat_activity where query = $1";

    async fn next(notices: &mut Notices) -> Result<Option<String>, Error> {
        let next = tokio::time::timeout(Duration::from_mins(1), notices.next());
        next.await.expect("something is heard")
    }

    #[tokio::test]
    async fn what_is_told_is_heard_and_a_lost_connection_is_noticed() {
        for db in testing::databases().await {
            let Db::Pg(pool) = &*db else { continue };
            let channel = format!("test_{}", hex::encode(secret::random_bytes::<8>()));
            let mut notices = Notices::open(pool, &channel).await.unwrap();
            notify(pool, &channel, "one").await.unwrap();
            notify(pool, "another channel", "nothing").await.unwrap();
            notify(pool, &channel, "two").await.unwrap();
            for expected in ["one", "two"] {
                let heard = next(&mut notices).await.unwrap();
                assert_eq!(heard.as_deref(), Some(expected));
            }
            sqlx::query(KILL)
                .bind(format!("LISTEN \"{channel}\""))
                .execute(pool)
                .await
                .unwrap();
            let lost = next(&mut notices).await;
            assert!(matches!(lost, Ok(None) | Err(_)), "{lost:?}");
        }
    }
}
