//! Behind the proxies and balancers that people have, each configured as `docs/how-to` says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::harness::{
    Gateway, Http, Image, Options, PASSWORD, Process, Skopeo, Succeeds, free_port, until_listens,
};

/// A program in front of a gateway, and what it needs.
struct Front {
    gateway: Gateway,
    port: u16,
    /// Trusts whoever ends TLS; a directory as `--cert-dir` takes it.
    certificates: PathBuf,
    directory: tempfile::TempDir,
    process: Option<Process>,
}

impl Front {
    /// Before a gateway without TLS, with a certificate of its own.
    async fn ending_tls() -> Self {
        let options = Options {
            plain: true,
            server: "trusted_proxies = [\"127.0.0.1\"]".into(),
            ..Options::default()
        };
        let front = Self::before(Gateway::with(options).await);
        Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(front.path("tls.key"))
            .arg("-out")
            .arg(front.certificates.join("ca.crt"))
            .output()
            .unwrap()
            .succeeds();
        fs::copy(front.certificates.join("ca.crt"), front.path("tls.crt")).unwrap();
        front
    }

    /// Before a gateway that has the certificate and is told the client by the PROXY protocol.
    async fn passing_tls_on() -> Self {
        let options = Options {
            server: "proxy_protocol_from = [\"127.0.0.3\"]".into(),
            ..Options::default()
        };
        // The test's own requests come from 127.0.0.1, the balancer's from 127.0.0.3.
        let gateway = Gateway::with(options).await;
        let certificates = gateway.certificates();
        let front = Self::before(gateway);
        fs::copy(
            certificates.join("ca.crt"),
            front.certificates.join("ca.crt"),
        )
        .unwrap();
        front
    }

    fn before(gateway: Gateway) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let certificates = directory.path().join("certs.d");
        fs::create_dir(&certificates).unwrap();
        Self {
            gateway,
            port: free_port(),
            certificates,
            directory,
            process: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts the program with this configuration, which is written to a file.
    async fn start(&mut self, config: &str, mut command: Command) {
        let file = self.path("config");
        fs::write(&file, config).unwrap();
        command.arg(file).current_dir(self.directory.path());
        command.env("HOME", self.directory.path());
        self.process = Some(Process::start(command, &self.path("output.log")));
        until_listens(self.port).await;
    }

    fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Everything that goes wrong behind a proxy that is configured wrongly goes right.
    async fn works(mut self) {
        let url = format!("https://{}", self.host());
        let http = Http::trusting(&url, &self.certificates.join("ca.crt"));
        let challenge = http.get("/v2/").await.expect(401);
        let realm = format!("Bearer realm=\"{url}/service/token\"");
        let told = challenge.header("www-authenticate");
        assert!(told.starts_with(&realm), "{told}");

        self.gateway.create_project("team").await;
        let name = format!("{}/team/app:v1", self.host());
        let skopeo = Skopeo::trusting(&self.certificates, "admin", PASSWORD);
        let image = Image::new(&[b"small", &vec![7; 3 << 20]]);
        skopeo.push(&image, &name).succeeds();
        let copy = tempfile::tempdir().unwrap();
        skopeo.pull(&name, copy.path()).succeeds();

        Command::new("curl")
            .args(["--silent", "--fail", "--interface", "127.0.0.2", "--cacert"])
            .arg(self.certificates.join("ca.crt"))
            .arg(format!("{url}/healthz?asked-by=another"))
            .output()
            .unwrap()
            .succeeds();
        let found = check(&url, &self.certificates.join("ca.crt"));
        assert!(found.status.success(), "{found:?}");
        let found = found.succeeds();
        assert_eq!(found.lines().count(), 6, "{found}");
        assert!(found.lines().all(|line| line.contains(": ok, ")), "{found}");

        crate::harness::until("the client's address is logged", async || {
            let log = self.gateway.process().output();
            let line = log.lines().find(|line| line.contains("asked-by=another"))?;
            assert!(line.contains(r#""remote":"127.0.0.2""#), "{line}");
            Some(())
        })
        .await;
    }
}

/// What `tidegate check` says of the way to a gateway.
fn check(url: &str, ca: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["check", "--url", url])
        .env("SSL_CERT_FILE", ca)
        .output()
        .unwrap()
}

/// The configuration on a page, with the addresses and files of this test.
fn configuration(page: &str, language: &str, holds: &str, here: &[(&str, String)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/how-to")
        .join(page);
    let text = fs::read_to_string(path).unwrap();
    let fence = format!("```{language}\n");
    let mut blocks = text.split(&fence).skip(1);
    let block = blocks.find(|block| block.contains(holds)).unwrap();
    let mut config = block.split("```").next().unwrap().to_owned();
    for (there, here) in here {
        assert!(config.contains(there), "{there}");
        config = config.replace(there, here);
    }
    config
}

/// Around what is in nginx's own `http` block.
const HTTP: &str = "http {\naccess_log off;\nclient_body_temp_path tmp/body;\n\
                  proxy_temp_path tmp/proxy;\nfastcgi_temp_path tmp/fastcgi;\n\
                  uwsgi_temp_path tmp/uwsgi;\nscgi_temp_path tmp/scgi;\n{}\n}";

async fn nginx(front: &mut Front, around: &str, config: String) {
    fs::create_dir(front.path("tmp")).unwrap();
    let config = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\n{}\nevents {{}}\n",
        around.replace("{}", &config)
    );
    let mut command = Command::new("nginx");
    command.arg("-p").arg(front.directory.path()).arg("-c");
    front.start(&config, command).await;
}

#[tokio::test]
async fn nginx_may_end_tls() {
    let mut front = Front::ending_tls().await;
    let here = [
        ("listen 443", format!("listen 127.0.0.1:{}", front.port)),
        (
            "127.0.0.1:8080",
            format!("127.0.0.1:{}", front.gateway.port()),
        ),
        (
            "/etc/nginx/tls.crt",
            front.path("tls.crt").display().to_string(),
        ),
        (
            "/etc/nginx/tls.key",
            front.path("tls.key").display().to_string(),
        ),
    ];
    let config = configuration("behind-nginx.md", "nginx", "ssl_certificate", &here);
    nginx(&mut front, HTTP, config).await;
    front.works().await;
}

#[tokio::test]
async fn nginx_may_pass_tls_on() {
    let mut front = Front::passing_tls_on().await;
    let here = [
        (
            "listen 443;",
            format!("listen 127.0.0.1:{};\nproxy_bind 127.0.0.3;", front.port),
        ),
        (
            "127.0.0.1:8443",
            format!("127.0.0.1:{}", front.gateway.port()),
        ),
    ];
    let config = configuration("behind-nginx.md", "nginx", "proxy_protocol on", &here);
    let around = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n{}";
    nginx(&mut front, around, config).await;
    front.works().await;
}

async fn haproxy(front: &mut Front, holds: &str, here: &[(&str, String)]) {
    let config = configuration("behind-haproxy.md", "haproxy", holds, here);
    let mut command = Command::new("haproxy");
    // In the foreground, with the file after it.
    command.args(["-db", "-f"]);
    front.start(&config, command).await;
}

#[tokio::test]
async fn haproxy_may_end_tls() {
    let mut front = Front::ending_tls().await;
    let pem = ["tls.crt", "tls.key"].map(|name| fs::read_to_string(front.path(name)).unwrap());
    fs::write(front.path("both.pem"), pem.concat()).unwrap();
    let here = [
        ("bind :443", format!("bind 127.0.0.1:{}", front.port)),
        (
            "127.0.0.1:8080",
            format!("127.0.0.1:{}", front.gateway.port()),
        ),
        (
            "/etc/haproxy/registry.pem",
            front.path("both.pem").display().to_string(),
        ),
    ];
    haproxy(&mut front, "ssl crt", &here).await;
    front.works().await;
}

#[tokio::test]
async fn haproxy_may_pass_tls_on() {
    let mut front = Front::passing_tls_on().await;
    let at_gateway = format!("127.0.0.1:{} source 127.0.0.3", front.gateway.port());
    let here = [
        ("bind :443", format!("bind 127.0.0.1:{}", front.port)),
        ("127.0.0.1:8443", at_gateway),
    ];
    haproxy(&mut front, "send-proxy-v2", &here).await;
    front.works().await;
}

#[tokio::test]
async fn caddy_may_end_tls() {
    let mut front = Front::ending_tls().await;
    let site = format!(
        "{{\n\tadmin off\n\tauto_https disable_redirects\n}}\nhttps://localhost:{} {{\n\tbind 127.0.0.1\n\ttls tls.crt tls.key",
        front.port
    );
    let here = [
        ("registry.example.com {", site),
        (
            "127.0.0.1:8080",
            format!("127.0.0.1:{}", front.gateway.port()),
        ),
    ];
    let config = configuration("behind-caddy.md", "caddy", "reverse_proxy", &here);
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]);
    front.start(&config, command).await;
    front.works().await;
}

#[tokio::test]
async fn curl_speaks_the_first_version_of_the_proxy_protocol() {
    let options = Options {
        server: "proxy_protocol_from = [\"127.0.0.2\"]".into(),
        ..Options::default()
    };
    let gateway = Gateway::with(options).await;
    let ask = |more: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--fail", "--interface", "127.0.0.2", "--cacert"]);
        command.arg(gateway.ca()).args(more);
        command
            .arg(format!("{}/healthz", gateway.url()))
            .output()
            .unwrap()
    };
    ask(&["--haproxy-protocol"]).succeeds();
    assert!(!ask(&[]).status.success(), "answered without the header");
}

/// One nginx for each mistake, by what the check says of it.
#[tokio::test]
async fn the_check_finds_what_a_proxy_does_wrong() {
    let mut front = Front::ending_tls().await;
    let gateway = front.gateway.port();
    let right = [
        "client_max_body_size 0",
        "large_client_header_buffers 4 32k",
        "proxy_request_buffering off",
        "proxy_set_header Host $http_host",
        "proxy_set_header X-Forwarded-Host $http_host",
        "proxy_set_header X-Forwarded-Proto $scheme",
    ];
    let pass = format!("proxy_pass http://127.0.0.1:{gateway}");
    // What stands there instead of the line at this place; 6 is proxy_pass.
    let mistakes: [(usize, String, &str); 8] = [
        (
            0,
            "client_max_body_size 1m".into(),
            "large bodies: the proxy refuses large layers (413)",
        ),
        (
            1,
            "large_client_header_buffers 4 8k".into(),
            "long headers: a token of 12288 bytes",
        ),
        (
            2,
            "proxy_request_buffering on".into(),
            "large bodies: a push is not answered before",
        ),
        (
            4,
            "proxy_set_header X-Forwarded-Host $host".into(),
            "forwarded headers: requests arrive for the host",
        ),
        (
            5,
            "proxy_set_header X-Forwarded-Proto http".into(),
            "address of the token service: clients are sent to",
        ),
        (
            5,
            "proxy_set_header X-Forwarded-Proto http".into(),
            "forwarded headers: requests arrive as http://",
        ),
        (
            6,
            format!("{pass}/"),
            "escaped paths: the proxy changes paths",
        ),
        (
            6,
            format!("proxy_bind 127.0.0.2; {pass}"),
            "forwarded headers: a proxy sends X-Forwarded-",
        ),
    ];
    let ports: Vec<u16> = mistakes.iter().map(|_| free_port()).collect();
    let servers = mistakes.iter().zip(&ports).map(|((place, line, _), port)| {
        let mut lines: Vec<String> = right.map(str::to_owned).into();
        lines.push(pass.clone());
        lines[*place].clone_from(line);
        let (http, location) = lines.split_at(2);
        format!(
            "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate tls.crt; \
             ssl_certificate_key tls.key; {}; location / {{ proxy_http_version 1.1; {}; }} }}\n",
            http.join("; "),
            location.join("; "),
        )
    });
    front.port = ports[0];
    nginx(&mut front, HTTP, servers.collect()).await;
    let ca = front.certificates.join("ca.crt");
    std::thread::scope(|scope| {
        for ((_, line, said), port) in mistakes.iter().zip(&ports) {
            let ca = &ca;
            scope.spawn(move || {
                let found = check(&format!("https://localhost:{port}"), ca);
                let output = String::from_utf8_lossy(&found.stdout).into_owned();
                assert_eq!(found.status.code(), Some(1), "{line}: {output}");
                assert!(output.contains(said), "{line}: {output}");
            });
        }
    });
}

#[tokio::test]
async fn the_check_says_when_nobody_or_somebody_else_is_there() {
    let nobody = check(
        &format!("https://localhost:{}", free_port()),
        Path::new("/dev/null"),
    );
    let said = String::from_utf8_lossy(&nobody.stdout).into_owned();
    assert!(said.contains("cannot be reached"), "{said}");
    let registry = crate::harness::Distribution::start().await;
    let other = check(&registry.url(), Path::new("/dev/null"));
    let said = String::from_utf8_lossy(&other.stdout).into_owned();
    assert!(said.contains("is no Tidegate"), "{said}");
    assert_eq!(other.status.code(), Some(1));
}
