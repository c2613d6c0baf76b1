use super::{Health, Registry};
use crate::{
    clock::Timestamp,
    replication::RegistryId,
    store::{Db, Error, Field, Listing, Page, Selection, Tx, read, row, run, sqls, write},
};

sqls! {
    REGISTRY_BY_ID = "select id, name, description, kind, url, credential_type, access_key, \
        access_secret, insecure, ca_certificate, healthy, created_ms, updated_ms, installation, \
        speed_kbps from registries where id = $1";
    REGISTRY_INSERT = "insert into registries (name, description, kind, url, credential_type, \
        access_key, insecure, ca_certificate, healthy, created_ms, updated_ms, installation, \
        speed_kbps) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning id";
    REGISTRY_UPDATE = "update registries set name = $2, description = $3, url = $4, \
        credential_type = $5, access_key = $6, insecure = $7, ca_certificate = $8, healthy = $9, \
        updated_ms = $10, installation = $11, speed_kbps = $12 where id = $1";
    REGISTRY_SECRET = "update registries set access_secret = $2 where id = $1";
    REGISTRY_HEALTH = "update registries set healthy = $2 where id = $1 and healthy <> $2";
    REGISTRY_INSTALLATION = "update registries set installation = $2 where id = $1 \
        and (installation is null or installation <> $2)";
    REGISTRY_TRAITS = "select id, installation, speed_kbps from registries \
        where installation is not null or speed_kbps is not null";
    INSTALLATION_NAME = "insert into replication_installation (id, name) values (1, $1) \
        on conflict (id) do update set name = replication_installation.name returning name";
    REGISTRY_DELETE = "delete from registries where id = $1";
    REGISTRY_POLICIES = "select name from replication_policies \
        where source_id = $1 or destination_id = $1 order by id limit 1";
}

row! {
    /// A registry with its sealed secret.
    pub(crate) RegistryRow {
        id: i64,
        name: String,
        description: String,
        kind: String,
        url: String,
        credential_type: String,
        access_key: String,
        access_secret: Option<Vec<u8>>,
        insecure: bool,
        ca_certificate: Option<String>,
        healthy: bool,
        created_ms: i64,
        updated_ms: i64,
        installation: Option<String>,
        speed_kbps: Option<i64>,
    }
}

row! {
    /// What pushes and copies must know of a registry: the Tidegate installation whose door it
    /// is, and how fast it may be copied to or from.
    pub(crate) TraitsRow { id: i64, installation: Option<String>, speed_kbps: Option<i64> }
}

impl From<RegistryRow> for Registry {
    fn from(row: RegistryRow) -> Self {
        Self {
            id: RegistryId(row.id),
            name: row.name,
            description: row.description,
            kind: row.kind,
            url: row.url,
            credential_type: row.credential_type,
            access_key: row.access_key,
            has_secret: row.access_secret.is_some(),
            insecure: row.insecure,
            ca_certificate: row.ca_certificate,
            health: if row.healthy {
                Health::Healthy
            } else {
                Health::Unhealthy
            },
            created: Timestamp::from_millis(row.created_ms),
            updated: Timestamp::from_millis(row.updated_ms),
            installation: row.installation,
            speed_kbps: row.speed_kbps.and_then(|speed| u32::try_from(speed).ok()),
        }
    }
}

/// What of a registry can be filtered and sorted by, under Harbor's names.
pub(super) const REGISTRIES: Selection = Selection {
    columns: "id, name, description, kind, url, credential_type, access_key, access_secret, \
        insecure, ca_certificate, healthy, created_ms, updated_ms, installation, speed_kbps",
    from: "registries",
    condition: "1 = 1",
    fields: &[
        Field::integer("id", "id"),
        Field::text("name", "name"),
        Field::text("type", "kind"),
        Field::text("url", "url"),
        Field::time("creation_time", "created_ms"),
        Field::time("update_time", "updated_ms"),
    ],
    key: "id",
};

pub(super) async fn list(db: &Db, listing: &Listing) -> Result<Page<RegistryRow>, Error> {
    db.page(&REGISTRIES, Vec::new(), listing).await
}

pub(super) async fn by_id(db: &Db, id: RegistryId) -> Result<Option<RegistryRow>, Error> {
    Ok(read!(db, |pool, sql = REGISTRY_BY_ID| {
        sqlx::query_as(sql).bind(id.0).fetch_optional(pool).await?
    }))
}

/// Inserts all but the secret, which is sealed for the id that this returns.
pub(super) async fn insert(tx: &mut Tx, registry: &Registry) -> Result<RegistryId, Error> {
    let id = run!(tx, |connection, sql = REGISTRY_INSERT| {
        sqlx::query_scalar(sql)
            .bind(&registry.name)
            .bind(&registry.description)
            .bind(&registry.kind)
            .bind(&registry.url)
            .bind(&registry.credential_type)
            .bind(&registry.access_key)
            .bind(registry.insecure)
            .bind(&registry.ca_certificate)
            .bind(registry.health == Health::Healthy)
            .bind(registry.created.millis())
            .bind(registry.updated.millis())
            .bind(&registry.installation)
            .bind(registry.speed_kbps.map(i64::from))
            .fetch_one(connection)
            .await?
    });
    Ok(RegistryId(id))
}

/// Writes all but the secret.
pub(in crate::replication) async fn update(tx: &mut Tx, registry: &Registry) -> Result<(), Error> {
    run!(tx, |connection, sql = REGISTRY_UPDATE| {
        sqlx::query(sql)
            .bind(registry.id.0)
            .bind(&registry.name)
            .bind(&registry.description)
            .bind(&registry.url)
            .bind(&registry.credential_type)
            .bind(&registry.access_key)
            .bind(registry.insecure)
            .bind(&registry.ca_certificate)
            .bind(registry.health == Health::Healthy)
            .bind(registry.updated.millis())
            .bind(&registry.installation)
            .bind(registry.speed_kbps.map(i64::from))
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(super) async fn set_secret(
    tx: &mut Tx,
    id: RegistryId,
    sealed: Option<&[u8]>,
) -> Result<(), Error> {
    run!(tx, |connection, sql = REGISTRY_SECRET| {
        sqlx::query(sql)
            .bind(id.0)
            .bind(sealed)
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(super) async fn set_health(db: &Db, id: RegistryId, health: Health) -> Result<(), Error> {
    write!(db, |pool, sql = REGISTRY_HEALTH| {
        sqlx::query(sql)
            .bind(id.0)
            .bind(health == Health::Healthy)
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// Remembers which installation answers; whether that is news.
pub(in crate::replication) async fn set_installation(
    tx: &mut Tx,
    id: RegistryId,
    installation: &str,
) -> Result<bool, Error> {
    Ok(run!(tx, |connection, sql = REGISTRY_INSTALLATION| {
        let query = sqlx::query(sql).bind(id.0).bind(installation);
        query.execute(connection).await?.rows_affected() == 1
    }))
}

/// Of the registries that have any.
pub(in crate::replication) async fn traits(db: &Db) -> Result<Vec<TraitsRow>, Error> {
    Ok(read!(db, |pool, sql = REGISTRY_TRAITS| {
        sqlx::query_as(sql).fetch_all(pool).await?
    }))
}

/// The name of this installation; `new` becomes it if there is none.
pub(in crate::replication) async fn installation_name(db: &Db, new: &str) -> Result<String, Error> {
    Ok(write!(db, |pool, sql = INSTALLATION_NAME| {
        sqlx::query_scalar(sql).bind(new).fetch_one(pool).await?
    }))
}

/// Whether there was one to delete.
pub(super) async fn delete(tx: &mut Tx, id: RegistryId) -> Result<bool, Error> {
    Ok(run!(tx, |connection, sql = REGISTRY_DELETE| {
        let done = sqlx::query(sql).bind(id.0).execute(connection).await?;
        done.rows_affected() == 1
    }))
}

/// The name of one policy that uses the registry.
pub(super) async fn user_of(tx: &mut Tx, id: RegistryId) -> Result<Option<String>, Error> {
    Ok(run!(tx, |connection, sql = REGISTRY_POLICIES| {
        sqlx::query_scalar(sql)
            .bind(id.0)
            .fetch_optional(connection)
            .await?
    }))
}
