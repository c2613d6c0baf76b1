//! `tidegate import`: what stood in nginx's files becomes a configuration, and users.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    sync::Arc,
};

use anyhow::Context;

use super::{database_path, missing_database, open_database};
use crate::{
    auth::{
        Auth, Role,
        users::{Admission, Keep, Newcomer},
    },
    clock::SystemClock,
    config::Config,
    import::{htpasswd, nginx},
    secret::Secret,
    store::Db,
};

/// The `tidegate.toml` of a site that nginx serves; it is a configuration that Tidegate takes.
pub fn nginx(file: &Path, options: &nginx::Options) -> anyhow::Result<nginx::Imported> {
    let imported = nginx::import(file, options)?;
    Config::parse(Path::new("what was translated"), &imported.toml)?;
    Ok(imported)
}

/// Writes a file that only its owner may read, whole or not at all; none is overwritten.
pub fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let cannot = || format!("cannot write {}", path.display());
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
    file.write_all(text.as_bytes()).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist_noclobber(path)
        .map_err(|error| error.error)
        .with_context(cannot)?;
    Ok(())
}

/// What users of an `htpasswd` file become.
#[derive(Debug, Clone)]
pub struct Users {
    /// A project and their role in it.
    pub membership: Option<(String, Role)>,
    pub keep: Keep,
}

/// What became of a file's users.
#[derive(Debug)]
pub struct ImportedUsers {
    /// A line of text for each line of the file that is one.
    pub report: Vec<String>,
    pub admitted: usize,
    pub left_alone: usize,
    pub refused: usize,
    /// The administrator's password, where the database was empty and it had to be generated.
    pub first_password: Option<Secret>,
}

/// Makes users of the lines of an `htpasswd` file: of all that can be, or on an error of none.
pub async fn htpasswd(
    config: &Config,
    file: &Path,
    users: &Users,
) -> anyhow::Result<ImportedUsers> {
    let lines = htpasswd::parse(&read(file)?);
    let db = match users.keep {
        Keep::Yes => open_database(config).await?,
        Keep::No => open_as_it_is(config).await?,
    };
    let auth = Auth::new(db.clone(), Arc::new(SystemClock), config.auth.clone());
    let imported = admit(&auth, file, &lines, users).await;
    db.close().await;
    imported
}

async fn admit(
    auth: &Auth,
    file: &Path,
    lines: &[Result<htpasswd::Entry, htpasswd::Problem>],
    users: &Users,
) -> anyhow::Result<ImportedUsers> {
    // Only an empty database gets an administrator, and it would not be empty any more.
    let first_password = match users.keep {
        Keep::Yes => auth.bootstrap().await?,
        Keep::No => None,
    };
    let newcomers: Vec<Newcomer<'_>> = lines
        .iter()
        .flatten()
        .map(|entry| Newcomer {
            name: &entry.name,
            password_hash: &entry.hash,
        })
        .collect();
    let membership = users.membership.as_ref();
    let membership = membership.map(|(project, role)| (project.as_str(), *role));
    let admissions = auth.import_users(&newcomers, membership, users.keep);
    let mut admissions = admissions
        .await
        .context("nothing was imported")?
        .into_iter();
    let mut imported = ImportedUsers {
        report: Vec::with_capacity(lines.len()),
        admitted: 0,
        left_alone: 0,
        refused: 0,
        first_password,
    };
    for line in lines {
        let (number, name, admission) = match line {
            Ok(entry) => {
                let admission = admissions.next().context("a user is without an answer")?;
                (entry.line, entry.name.as_str(), admission)
            }
            Err(problem) => (problem.line, "", Admission::Refused(problem.text.clone())),
        };
        let (count, text) = match admission {
            Admission::Admitted => (&mut imported.admitted, "imported".to_owned()),
            Admission::Exists => (
                &mut imported.left_alone,
                "left alone: there is a user of this name".to_owned(),
            ),
            Admission::Refused(why) => (&mut imported.refused, format!("not imported: {why}")),
        };
        *count += 1;
        let separator = if name.is_empty() { "" } else { " " };
        let (file, name) = (file.display(), name.escape_debug());
        imported
            .report
            .push(format!("{file}:{number}{separator}{name}: {text}"));
    }
    Ok(imported)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", file.display());
    let mut bytes = Vec::new();
    let opened = fs::File::open(file).with_context(cannot)?;
    let length = opened
        .take(MAX_HTPASSWD_BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(cannot)?;
    anyhow::ensure!(
        length as u64 <= MAX_HTPASSWD_BYTES,
        "{} has more than {MAX_HTPASSWD_BYTES} bytes",
        file.display()
    );
    Ok(bytes)
}

/// The database without making or migrating it.
async fn open_as_it_is(config: &Config) -> anyhow::Result<Db> {
    anyhow::ensure!(
        missing_database(config).is_none(),
        "there is no database yet to compare with; `tidegate migrate` makes it"
    );
    let db = Db::connect(&config.database, &database_path(config)).await?;
    let pending = db.pending_migrations().await?;
    anyhow::ensure!(
        pending == 0,
        "the database is of an older version; `tidegate migrate` brings it up to date"
    );
    Ok(db)
}

/// A hundred thousand users.
const MAX_HTPASSWD_BYTES: u64 = 16 << 20;
