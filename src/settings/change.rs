use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    Config, Error, Named, Reader, names,
    queries::{self, Rows},
    reader::Snapshot,
};
use crate::store::Db;

/// The settings of an installation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Settings(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    config: Config,
    reader: Reader,
    /// Readings of the database begun so far.
    readings: AtomicU64,
}

/// One setting as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub name: &'static str,
    pub value: Value,
    /// Whether [`Settings::change`] takes another value.
    pub editable: bool,
}

impl Settings {
    /// How often others' changes are looked for.
    pub const PAUSE: Duration = Duration::from_secs(2);

    /// The settings in a database, with those that the configuration fixes.
    pub async fn open(db: Db, config: Config) -> Result<Self, Error> {
        let settings = Self(Arc::new(Inner {
            db,
            config,
            reader: Reader::default(),
            readings: AtomicU64::new(0),
        }));
        settings.read().await?;
        Ok(settings)
    }

    pub fn reader(&self) -> Reader {
        self.0.reader.clone()
    }

    /// All names with their values, as the database has them now.
    pub async fn list(&self) -> Result<Vec<Item>, Error> {
        self.read().await?;
        let snapshot = self.0.reader.snapshot();
        let items = names::NAMES.iter().map(|name| {
            let value = snapshot.named.get(name.text).cloned();
            Item {
                name: name.text,
                value: value.unwrap_or_else(|| name.default()),
                editable: !name.is_constant() && !self.0.config.fixes(name.text),
            }
        });
        Ok(items.collect())
    }

    /// Changes these settings together, or none of them; says which got another value. A value
    /// that a fixed setting has already is no change.
    pub async fn change(&self, wanted: &Named) -> Result<Vec<&'static str>, Error> {
        let inner = &*self.0;
        let mut wishes = Vec::new();
        for (name, value) in wanted {
            let name = names::find(name)?;
            name.check(value)?;
            match inner.config.named().get(name.text) {
                Some(fixed) if fixed != value => return Err(Error::Configured(name.text)),
                None if !name.is_constant() => wishes.push((name, value)),
                _ => {}
            }
        }
        let mut tx = inner.db.begin().await?;
        let before = self.laid_over(queries::lock(&mut tx).await?);
        wishes.retain(|(name, value)| before.get(name.text).unwrap_or(&name.default()) != *value);
        let mut after = before;
        for (name, value) in &wishes {
            after.insert(name.text.to_owned(), (*value).clone());
        }
        if !wishes.is_empty() {
            names::check_together(&after)?;
        }
        for (name, value) in &wishes {
            queries::put(&mut tx, name.text, &value.to_string()).await?;
        }
        tx.commit().await?;
        self.read().await?;
        Ok(wishes.into_iter().map(|(name, _)| name.text).collect())
    }

    /// Looks for others' changes until `stop`.
    pub async fn follow(self, stop: CancellationToken) {
        let mut is_away = false;
        loop {
            let wait = stop.run_until_cancelled(tokio::time::sleep(Self::PAUSE));
            if wait.await.is_none() {
                return;
            }
            let read = self.read().await;
            if let (Err(error), false) = (&read, is_away) {
                tracing::warn!("the settings stay as they were read last: {error}");
            }
            is_away = read.is_err();
        }
    }

    async fn read(&self) -> Result<(), Error> {
        let reading = self.0.readings.fetch_add(1, Ordering::SeqCst) + 1;
        let named = self.laid_over(queries::all(&self.0.db).await?);
        let values = Arc::new(names::values(&named));
        self.0.reader.take(Snapshot {
            reading,
            named,
            values,
        });
        Ok(())
    }

    /// The rows with the configuration laid over them; rows of another version of this program
    /// that mean nothing here are left out.
    fn laid_over(&self, rows: Rows) -> Named {
        let mut named = Named::new();
        for (name, text) in rows {
            let value = serde_json::from_str::<Value>(&text).unwrap_or_default();
            match names::find(&name).and_then(|known| known.check(&value)) {
                Ok(()) => drop(named.insert(name, value)),
                Err(error) => tracing::debug!("a row of the table settings is left out: {error}"),
            }
        }
        named.extend(self.0.config.named().clone());
        named
    }
}
