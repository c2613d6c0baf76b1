//! `tidegate import`: from a registry behind nginx to the same registry behind Tidegate.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::json;

use crate::harness::{
    Distribution, Docker, Gateway, Http, Image, PASSWORD, Process, Succeeds, free_port, until,
};

/// Runs `tidegate import` in a folder.
fn import(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.current_dir(folder).arg("import").args(arguments);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A key and a certificate of its own for `localhost`.
fn certify(certificate: &Path, key: &Path) {
    fs::create_dir_all(certificate.parent().unwrap()).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-nodes", "-newkey", "ec", "-days", "2"]);
    openssl.args([
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-subj",
        "/CN=localhost",
    ]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-keyout").arg(key).arg("-out").arg(certificate);
    openssl.output().unwrap().succeeds();
}

/// The lines of an htpasswd file for these users, hashed as `flag` says.
fn htpasswd(users: &[(&str, &str)]) -> String {
    let line = |(name, flag): &(&str, &str)| {
        let mut command = Command::new("htpasswd");
        let made = command.args([flag, name, PASSWORD]).output().unwrap();
        made.succeeds().trim().to_owned() + "\n"
    };
    users.iter().map(line).collect()
}

/// nginx's folder as Debian lays it out, with a site for the registry and a user, maria.
struct Nginx {
    folder: tempfile::TempDir,
    port: u16,
}

impl Nginx {
    fn before(registry: &Distribution) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, plain_port) = (free_port(), free_port());
        let at = |name: &str| folder.path().join(name);
        for name in ["sites-available", "sites-enabled", "snippets", "tmp"] {
            fs::create_dir(at(name)).unwrap();
        }
        certify(&at("ssl/registry.crt"), &at("ssl/registry.key"));
        fs::write(at("registry.htpasswd"), htpasswd(&[("maria", "-nbB")])).unwrap();
        // nginx's workers may be another user.
        Command::new("chmod")
            .args(["-R", "a+rX"])
            .arg(folder.path())
            .output()
            .unwrap()
            .succeeds();
        let main = "daemon off; pid nginx.pid; error_log error.log; events { }\n\
            http { access_log access.log; client_body_temp_path tmp/body;\n\
            proxy_temp_path tmp/proxy; fastcgi_temp_path tmp/fastcgi;\n\
            uwsgi_temp_path tmp/uwsgi; scgi_temp_path tmp/scgi; include sites-enabled/*; }\n";
        fs::write(at("nginx.conf"), main).unwrap();
        let proxy = "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;\n\
            proxy_set_header Authorization \"\"; proxy_read_timeout 15m;\n\
            proxy_http_version 1.1; proxy_request_buffering off;\n";
        fs::write(at("snippets/proxy.conf"), proxy).unwrap();
        let site = format!(
            "upstream registry {{ server {}; keepalive 8; }}\n\
             server {{ listen 127.0.0.1:{plain_port}; server_name localhost;\n\
             return 301 https://localhost:{port}$request_uri; }}\n\
             server {{ listen 127.0.0.1:{port} ssl; server_name localhost;\n\
             ssl_certificate ssl/registry.crt; ssl_certificate_key ssl/registry.key;\n\
             set $backend http://registry; client_max_body_size 0;\n\
             location /v2/ {{ auth_basic registry; auth_basic_user_file registry.htpasswd;\n\
             include snippets/proxy.conf; proxy_pass $backend; }} }}\n",
            registry.host()
        );
        fs::write(at("sites-available/registry"), site).unwrap();
        std::os::unix::fs::symlink("../sites-available/registry", at("sites-enabled/registry"))
            .unwrap();
        Self { folder, port }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn start(&self) -> Process {
        let mut command = Command::new("nginx");
        command.arg("-c").arg(self.path("nginx.conf"));
        command.arg("-p").arg(self.folder.path());
        // One process, or its workers would outlive it.
        command.args(["-g", "master_process off;"]);
        let process = Process::start(command, &self.path("output.log"));
        until("nginx listens", async || {
            let address = ("127.0.0.1", self.port);
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        process
    }

    /// skopeo as maria, who trusts the site's certificate.
    fn skopeo(&self, arguments: &[&str]) -> Output {
        let certificates = self.path("certs.d");
        fs::create_dir_all(&certificates).unwrap();
        fs::copy(self.path("ssl/registry.crt"), certificates.join("ca.crt")).unwrap();
        let mut command = Command::new("skopeo");
        for argument in arguments {
            command.arg(argument.replace("CERTS", certificates.to_str().unwrap()));
        }
        command.output().unwrap()
    }

    fn push(&self, image: &Image, name: &str) -> Output {
        let credentials = format!("maria:{PASSWORD}");
        let to = format!("docker://localhost:{}/{name}", self.port);
        self.skopeo(&[
            "copy",
            "--preserve-digests",
            "--dest-creds",
            &credentials,
            "--dest-cert-dir",
            "CERTS",
            &image.source(),
            &to,
        ])
    }

    fn inspect(&self, name: &str) -> Output {
        let credentials = format!("maria:{PASSWORD}");
        let of = format!("docker://localhost:{}/{name}", self.port);
        self.skopeo(&[
            "inspect",
            "--creds",
            &credentials,
            "--cert-dir",
            "CERTS",
            &of,
        ])
    }
}

/// The way of docs/how-to/move-from-nginx.md.
#[tokio::test]
async fn a_registry_moves_from_nginx_with_its_images_and_people() {
    let registry = Distribution::start().await;
    let nginx = Nginx::before(&registry);
    let running = nginx.start().await;
    let image = Image::new(&[b"pushed through nginx"]);
    nginx.push(&image, "team/app:v1").succeeds();

    let folder = tempfile::tempdir().unwrap();
    let conf = nginx.path("nginx.conf").display().to_string();
    let imported = import(
        folder.path(),
        &["nginx", &conf, "--output", "tidegate.toml"],
    );
    let report = text(&imported.stdout);
    assert_eq!(
        imported.status.code(),
        Some(3),
        "{report}{}",
        text(&imported.stderr)
    );
    let users = nginx.path("registry.htpasswd").display().to_string();
    assert!(
        report.contains(&format!("tidegate import htpasswd {users}")),
        "{report}"
    );

    let beside = free_port();
    let (mut gateway, http) = serve(folder.path(), &nginx, Some(beside)).await;
    let team = json!({ "project_name": "team", "metadata": { "public": "false" } });
    let admin = http.basic("admin", PASSWORD);
    admin.post("/api/v2.0/projects", &team).await.expect(201);
    let membership = ["--project", "team", "--role", "developer"];
    let imported = import(
        folder.path(),
        &[&["htpasswd", &users][..], &membership].concat(),
    );
    assert!(
        imported
            .succeeds()
            .contains("1 imported, 0 left alone, 0 not imported")
    );
    gateway.signal("TERM");
    assert!(gateway.wait().await.success(), "{}", gateway.output());

    drop(running);
    let (_gateway, _http) = serve(folder.path(), &nginx, None).await;
    let mut sync = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    sync.current_dir(folder.path()).arg("sync");
    sync.output().unwrap().succeeds();
    let inspected = nginx.inspect("team/app:v1").succeeds();
    assert!(inspected.contains(image.digest.as_str()), "{inspected}");
    let next = Image::new(&[b"pushed through the gateway"]);
    nginx.push(&next, "team/app:v2").succeeds();
    assert!(registry.digest("team/app", "v2").await.is_some());
}

/// `tidegate serve` with the imported configuration, at its address or beside nginx.
async fn serve(folder: &Path, nginx: &Nginx, beside: Option<u16>) -> (Process, Http) {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    serve.current_dir(folder).arg("serve");
    serve.env("TIDEGATE_AUTH__ADMIN_PASSWORD", PASSWORD);
    if let Some(port) = beside {
        serve.env("TIDEGATE_SERVER__LISTEN", format!("127.0.0.1:{port}"));
        let redirect = format!("127.0.0.1:{}", free_port());
        serve.env("TIDEGATE_SERVER__REDIRECT_LISTEN", redirect);
    }
    let gateway = Process::start(serve, &folder.join("output.log"));
    let url = format!("https://localhost:{}", beside.unwrap_or(nginx.port));
    let http = Http::trusting(&url, &nginx.path("ssl/registry.crt"));
    until("the gateway is ready", async || {
        let ask = http.try_send(http::Method::GET, "/readyz", &[], bytes::Bytes::new());
        ask.await.ok().filter(|answer| answer.status == 200)
    })
    .await;
    (gateway, http)
}

#[test]
fn nginx_takes_the_sites_of_the_tests_and_tidegate_imports_them() {
    let sites = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nginx");
    let source = tempfile::tempdir().unwrap();
    let (certificate, key) = (source.path().join("crt"), source.path().join("key"));
    certify(&certificate, &key);
    for site in fs::read_dir(sites).unwrap().map(Result::unwrap) {
        let copy = tempfile::tempdir().unwrap();
        let mut cp = Command::new("cp");
        cp.arg("-aT").arg(site.path()).arg(copy.path());
        cp.output().unwrap().succeeds();
        for folder in ["tmp", "logs"] {
            fs::create_dir_all(copy.path().join(folder)).unwrap();
        }
        for file in files(copy.path()) {
            supply(copy.path(), &file, [&certificate, &key]);
        }
        let mut nginx = Command::new("nginx");
        nginx.arg("-t").arg("-p").arg(copy.path());
        nginx.arg("-c").arg(copy.path().join("nginx.conf"));
        nginx.output().unwrap().succeeds();
        let name = if site.file_name() == "gitlab" {
            &["--server-name", "registry.example.com"][..]
        } else {
            &[]
        };
        let imported = import(copy.path(), &[&["nginx", "nginx.conf"], name].concat());
        let code = imported.status.code();
        assert!(
            matches!(code, Some(0 | 3)),
            "{:?}: {}",
            site.path(),
            text(&imported.stderr)
        );
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let below = |entry: fs::DirEntry| match entry.file_type().unwrap() {
        kind if kind.is_dir() => files(&entry.path()),
        kind if kind.is_file() => vec![entry.path()],
        _ => Vec::new(),
    };
    entries.flat_map(below).collect()
}

/// Gives nginx what it looks for: the certificates and keys that a file names, and addresses for
/// hosts that are elsewhere.
fn supply(folder: &Path, file: &Path, [certificate, key]: [&Path; 2]) {
    let text = fs::read_to_string(file).unwrap();
    let words = text.split([' ', ';', '\n', '\t']);
    for path in words.filter(|word| word.starts_with("certs/")) {
        let is_key = path.contains("key");
        let to = folder.join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(if is_key { key } else { certificate }, to).unwrap();
    }
    let mut text = text;
    for host in [
        "registry:5000",
        "core:8080",
        "core:8443",
        "portal:8080",
        "nexus.example.com:8081",
    ] {
        text = text.replace(&format!("server {host}"), "server 127.0.0.1:5000");
    }
    for host in ["registry", "elsewhere"] {
        text = text.replace(&format!("//{host}.internal"), "//127.0.0.1");
    }
    fs::write(file, text).unwrap();
}

#[test]
fn what_cannot_be_imported_is_one_sentence_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("broken"), "server {\n listen 80\n}").unwrap();
    fs::write(
        at("site"),
        "server { location /v2/ { proxy_pass http://127.0.0.1:1; } }",
    )
    .unwrap();
    fs::write(at("there"), "kept").unwrap();
    for (arguments, said) in [
        (["missing", "new"], "tidegate: cannot read missing"),
        (["broken", "new"], "broken:2: `listen` has no end"),
        (["site", "there"], "cannot write there"),
        (["site", "no/such/folder"], "cannot write no/such/folder"),
    ] {
        let [file, output] = arguments;
        let failed = import(folder.path(), &["nginx", file, "--output", output]);
        let sentence = text(&failed.stderr);
        assert_eq!(failed.status.code(), Some(1), "{sentence}");
        assert!(sentence.contains(said), "{sentence}");
        assert_eq!(sentence.lines().count(), 1, "{sentence}");
        assert_eq!(text(&failed.stdout), "");
        assert!(!at("new").exists());
    }
    assert_eq!(fs::read_to_string(at("there")).unwrap(), "kept");
    assert_eq!(import(folder.path(), &["nginx"]).status.code(), Some(2));
    let written = import(folder.path(), &["nginx", "site", "--output", "new"]);
    assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
    assert!(
        fs::read_to_string(at("new"))
            .unwrap()
            .contains("[upstream]")
    );
    let shown = import(folder.path(), &["nginx", "site"]);
    assert!(text(&shown.stdout).contains("url = \"http://127.0.0.1:1\""));
    assert!(text(&shown.stderr).contains("site:1 server"));
}

#[tokio::test]
async fn people_of_an_htpasswd_file_keep_their_passwords() {
    let gateway = Gateway::start().await;
    let people = [("bea", "-nbB"), ("mia", "-nbm"), ("sam", "-nbs")];
    let mut file = htpasswd(&people);
    let mut openssl = Command::new("openssl");
    let sha512 = openssl.args(["passwd", "-6", PASSWORD]).output().unwrap();
    file.push_str("six:");
    file.push_str(&sha512.succeeds());
    file.push_str("des:rqXexS6ZhobKA\nplain:{PLAIN}x\nadmin:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n");
    fs::write(gateway.directory().join("users"), file).unwrap();
    let config = ["htpasswd", "users", "--config", "tidegate.toml"];
    let dry = import(gateway.directory(), &[&config[..], &["--dry-run"]].concat());
    assert!(text(&dry.stdout).contains("4 imported, 1 left alone, 2 not imported; nothing"));
    let listed = gateway.admin().get("/api/v2.0/users").await.expect(200);
    assert_eq!(listed.json().as_array().unwrap().len(), 1);

    let imported = import(gateway.directory(), &config);
    let report = text(&imported.stdout);
    assert_eq!(
        imported.status.code(),
        Some(3),
        "{report}{}",
        text(&imported.stderr)
    );
    for line in [
        "users:1 bea: imported",
        "users:5 des: not imported: the password is hashed by traditional DES",
        "users:6 plain: not imported: the password is plain text",
        "users:7 admin: left alone: there is a user of this name",
        "4 imported, 1 left alone, 2 not imported; they have no role yet",
    ] {
        assert!(report.contains(line), "{report}");
    }
    gateway.admin().get("/api/v2.0/users").await.expect(200);

    let docker = Docker::start(&gateway).await;
    let host = gateway.host();
    for name in ["bea", "mia", "sam", "six"] {
        let wrong = docker.run(&["login", "-u", name, "-p", "Wrong12345", &host]);
        assert!(!wrong.status.success(), "{name} got in by a wrong password");
        // The second login meets the hash that the first has left.
        for _login in 0..2 {
            docker
                .run(&["login", "-u", name, "-p", PASSWORD, &host])
                .succeeds();
        }
    }
    let file = gateway.directory().join("auth.json");
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["login", "-u", "six", "-p", PASSWORD, "--authfile"]);
    skopeo
        .arg(file)
        .arg("--cert-dir")
        .arg(gateway.certificates());
    skopeo.arg(&host).output().unwrap().succeeds();
}

#[test]
fn an_empty_database_gets_its_administrator_first() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("users"), htpasswd(&[("bea", "-nbs")])).unwrap();
    let dry = import(folder.path(), &["htpasswd", "users", "--dry-run"]);
    assert_eq!(dry.status.code(), Some(1));
    assert!(
        text(&dry.stderr).contains("tidegate migrate"),
        "{}",
        text(&dry.stderr)
    );
    assert!(!folder.path().join("data").exists());
    let imported = import(folder.path(), &["htpasswd", "users"]);
    assert!(text(&imported.stderr).contains("user admin, password "));
    assert!(imported.succeeds().contains("users:1 bea: imported"));
    let again = import(folder.path(), &["htpasswd", "users"]);
    assert!(
        !text(&again.stderr).contains("password"),
        "{}",
        text(&again.stderr)
    );
    assert!(
        again
            .succeeds()
            .contains("0 imported, 1 left alone, 0 not imported")
    );
}
