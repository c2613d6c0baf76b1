use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use super::{Http, Process, Vitals, free_port, until};

/// The database a gateway of the tests stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    pub const BOTH: [Self; 2] = [Self::Sqlite, Self::Postgres];
}

/// What a test's gateway differs in from the defaults.
#[derive(Default, Clone)]
pub struct Options {
    pub database: Option<Database>,
    /// URL of the registry behind; `None`: the embedded one.
    pub upstream: Option<String>,
    /// Without TLS, for behind something that ends it.
    pub plain: bool,
    /// What clients trust, when the certificate is configured.
    pub ca: Option<PathBuf>,
    /// A program that the gateway is started by, with its arguments, and becomes.
    pub through: Vec<String>,
    /// More keys of `[server]`, as TOML.
    pub server: String,
    /// More configuration, as TOML.
    pub extra: String,
}

/// A running `tidegate serve` with a directory of its own.
pub struct Gateway {
    process: Process,
    directory: tempfile::TempDir,
    port: u16,
    plain: bool,
    ca: PathBuf,
    through: Vec<String>,
}

pub const PASSWORD: &str = "Harbor12345";

impl Gateway {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        Self::within(tempfile::tempdir().unwrap(), options).await
    }

    /// In a directory that was prepared.
    pub async fn within(directory: tempfile::TempDir, options: Options) -> Self {
        let mut gateway = Self::launch(directory, options).await;
        gateway.until_ready().await;
        gateway
    }

    /// In front of a registry that nobody serves, so readiness is not waited for.
    pub async fn with_upstream_away(options: Options) -> Self {
        let mut gateway = Self::launch(tempfile::tempdir().unwrap(), options).await;
        gateway.until_answers("/healthz").await;
        gateway
    }

    async fn launch(directory: tempfile::TempDir, options: Options) -> Self {
        let port = free_port();
        write_config(directory.path(), port, &options).await;
        let process = start(
            launcher(directory.path(), &options.through),
            directory.path(),
        );
        let own_ca = directory.path().join("data/tls/ca.crt");
        Self {
            process,
            ca: options.ca.unwrap_or(own_ca),
            directory,
            port,
            plain: options.plain,
            through: options.through,
        }
    }

    /// The configuration is there, the process is not started; for what must fail.
    pub async fn command(directory: &Path, options: &Options) -> Command {
        write_config(directory, free_port(), options).await;
        launcher(directory, &[])
    }

    pub async fn until_ready(&mut self) {
        self.until_answers("/readyz").await;
    }

    async fn until_answers(&mut self, path: &str) {
        loop {
            if let Some(status) = self.process.exited() {
                panic!("the gateway ended with {status}: {}", self.process.output());
            }
            if self.answers(path).await {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    async fn answers(&self, path: &str) -> bool {
        if !self.plain && !self.ca().exists() {
            return false;
        }
        let http = self.http();
        let probe = http.try_send(http::Method::GET, path, &[], bytes::Bytes::new());
        probe.await.is_ok_and(|answer| answer.status == 200)
    }

    /// SIGKILL, then a start without failpoint on the same directory.
    pub async fn kill_and_restart(&mut self) {
        self.process.kill();
        self.restart().await;
    }

    /// Starts again what has ended, without failpoint.
    pub async fn restart(&mut self) {
        let directory = self.directory.path();
        self.process = start(launcher(directory, &self.through), directory);
        self.until_ready().await;
    }

    /// SIGKILL, while others hold the gateway; it is not waited for.
    pub fn die(&self) {
        self.process.signal("KILL");
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts again what has ended, with a failpoint; whether it lived to become ready.
    pub async fn start_to_die_at(&mut self, failpoint: &str) -> bool {
        let mut command = launcher(self.directory.path(), &self.through);
        command.env("TIDEGATE_FAILPOINT", failpoint);
        self.process = start(command, self.directory.path());
        loop {
            if self.process.exited().is_some() {
                return false;
            }
            if self.answers("/readyz").await {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// The URL of the database, where one is configured.
    pub fn database_url(&self) -> Option<String> {
        let config = std::fs::read_to_string(self.directory.path().join("tidegate.toml")).unwrap();
        let is_database =
            |text: &&str| text.starts_with("postgres://") || text.starts_with("sqlite://");
        config.split('"').find(is_database).map(str::to_owned)
    }

    /// What the kernel knows of its process.
    pub fn vitals(&self) -> Vitals {
        Vitals(self.process.id())
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `localhost:PORT`, as in an image name.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    pub fn url(&self) -> String {
        let scheme = if self.plain { "http" } else { "https" };
        format!("{scheme}://{}", self.host())
    }

    pub fn ca(&self) -> PathBuf {
        self.ca.clone()
    }

    /// A directory with `ca.crt`, as `--cert-dir` takes it.
    pub fn certificates(&self) -> PathBuf {
        let directory = self.directory.path().join("certs.d");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::copy(self.ca(), directory.join("ca.crt")).unwrap();
        directory
    }

    /// Nobody in particular, on the gateway's listener.
    pub fn http(&self) -> Http {
        if self.plain {
            Http::plain(&self.url())
        } else {
            Http::trusting(&self.url(), &self.ca())
        }
    }

    /// The administrator.
    pub fn admin(&self) -> Http {
        self.http().basic("admin", PASSWORD)
    }

    pub async fn create_project(&self, name: &str) {
        let body = json!({ "project_name": name, "metadata": { "public": "false" } });
        self.admin()
            .post("/api/v2.0/projects", &body)
            .await
            .expect(201);
    }

    /// Makes a user with the given role (Harbor's id) in the project, and signs in as it.
    pub async fn create_member(&self, project: &str, user: &str, role: i64) -> Http {
        let account = json!({
            "username": user, "email": format!("{user}@example.com"), "realname": user, "password": PASSWORD,
        });
        self.admin()
            .post("/api/v2.0/users", &account)
            .await
            .expect(201);
        let member = json!({ "role_id": role, "member_user": { "username": user } });
        self.admin()
            .post(&format!("/api/v2.0/projects/{project}/members"), &member)
            .await
            .expect(201);
        self.http().basic(user, PASSWORD)
    }

    /// A bearer token for the given scopes, from the token service.
    pub async fn token(&self, user: Option<&str>, scopes: &[&str]) -> Http {
        let client = user.map_or_else(|| self.http(), |user| self.http().basic(user, PASSWORD));
        let scopes: Vec<String> = scopes
            .iter()
            .map(|scope| format!("scope={scope}"))
            .collect();
        let answer = client
            .get(&format!("/service/token?{}", scopes.join("&")))
            .await
            .expect(200);
        self.http().bearer(answer.json()["token"].as_str().unwrap())
    }

    /// The tags that the registry itself has of a repository, sorted.
    pub async fn registry_tags(&self, repository: &str) -> Vec<String> {
        let scope = format!("repository:{repository}:pull");
        let reader = self.token(Some("admin"), &[&scope]).await;
        let path = format!("/v2/{repository}/tags/list");
        let listed = reader.get(&path).await.expect(200);
        let mut tags: Vec<String> =
            serde_json::from_value(listed.json()["tags"].clone()).unwrap_or_default();
        tags.sort();
        tags
    }

    /// Adds a target and an event-based policy that mirrors every repository to it.
    pub async fn mirror_to(&self, url: &str) -> i64 {
        let target = json!({ "name": "mirror", "type": "docker-registry", "url": url });
        let target = self
            .admin()
            .post("/api/v2.0/registries", &target)
            .await
            .expect(201)
            .id();
        let policy = json!({
            "name": "to-mirror", "dest_registry": { "id": target }, "trigger": { "type": "event_based" },
            "enabled": true, "override": true, "deletion": true,
        });
        self.admin()
            .post("/api/v2.0/replication/policies", &policy)
            .await
            .expect(201)
            .id()
    }

    /// Waits until the policy has an execution and all of its executions have succeeded.
    pub async fn until_mirrored(&self, policy: i64) -> serde_json::Value {
        let path = format!("/api/v2.0/replication/executions?policy_id={policy}");
        until("every execution has succeeded", async || {
            let executions = self.admin().get(&path).await.expect(200).json();
            let list = executions.as_array().unwrap();
            assert!(
                list.iter().all(|execution| execution["status"] != "Failed"),
                "{executions:#}"
            );
            let done = !list.is_empty()
                && list
                    .iter()
                    .all(|execution| execution["status"] == "Succeed");
            done.then_some(executions)
        })
        .await
    }
}

fn launcher(directory: &Path, through: &[String]) -> Command {
    let own = env!("CARGO_BIN_EXE_tidegate").to_owned();
    let mut line = through.iter().chain(std::iter::once(&own));
    let mut command = Command::new(line.next().unwrap());
    command
        .args(line)
        .current_dir(directory)
        .args(["serve", "--config", "tidegate.toml"]);
    command
}

fn start(command: Command, directory: &Path) -> Process {
    Process::start(command, &directory.join("output.log"))
}

async fn write_config(directory: &Path, port: u16, options: &Options) {
    let upstream = options.upstream.as_ref().map_or(String::new(), |url| {
        format!("[upstream]\nurl = \"{url}\"\n")
    });
    let database = match options.database {
        Some(Database::Postgres) => format!("[database]\nurl = \"{}\"\n", postgres_schema().await),
        Some(Database::Sqlite) | None => String::new(),
    };
    let tls = if options.plain {
        "[tls]\nmode = \"off\"\n"
    } else {
        ""
    };
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\ndata_dir = \"data\"\n{}\n\
         [auth]\nadmin_password = \"{PASSWORD}\"\n{tls}{upstream}{database}{}",
        options.server, options.extra
    );
    std::fs::write(directory.join("tidegate.toml"), text).unwrap();
}

/// The URL of a new schema on the server that `tests/run` has started.
async fn postgres_schema() -> String {
    use sqlx::{AssertSqlSafe, Connection, PgConnection};
    let server = std::env::var("TIDEGATE_TEST_POSTGRES_URL").expect("run the tests with tests/run");
    let schema = format!("it_{}_{}", std::process::id(), free_port());
    let mut connection = PgConnection::connect(&server).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("create schema {schema}")))
        .execute(&mut connection)
        .await
        .unwrap();
    let separator = if server.contains('?') { '&' } else { '?' };
    format!("{server}{separator}options=-csearch_path%3D{schema}")
}
