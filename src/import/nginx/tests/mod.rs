mod clients;
mod finding;
mod restrictions;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use proptest::{prelude::*, test_runner::FileFailurePersistence};

use super::*;

/// Configurations of registries' sites as people have them, with what they become.
fn sites() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nginx")
}

fn import_text(text: &str) -> Result<Imported, Error> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nginx.conf");
    fs::write(&file, text).unwrap();
    import(&file, &Options::default())
}

/// A site with these directives in its server and in its location for `/v2/`.
fn site(server: &str, location: &str) -> Imported {
    let text = format!(
        "http {{ server {{ listen 443 ssl; {server}\n location /v2/ {{ \
         proxy_pass http://127.0.0.1:5000; {location} }} }} }}"
    );
    import_text(&text).unwrap()
}

fn value(imported: &Imported, section: &str, key: &str) -> Option<toml::Value> {
    let table: toml::Table = imported.toml.parse().unwrap();
    table.get(section)?.get(key).cloned()
}

/// The line of the report about the directive that begins so.
fn line(imported: &Imported, directive: &str) -> String {
    let lines: Vec<String> = imported.report.iter().map(ToString::to_string).collect();
    let found = lines.iter().find(|line| line.contains(directive));
    found
        .unwrap_or_else(|| panic!("{directive} in {lines:#?}"))
        .clone()
}

/// `UPDATE_SITES=1` writes what the sites become instead of comparing it.
#[test]
fn real_sites_become_what_is_written_beside_them() {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(sites()).unwrap().map(Result::unwrap) {
        let folder = entry.path();
        names.insert(entry.file_name().into_string().unwrap());
        let options = Options {
            server_name: folder
                .ends_with("gitlab")
                .then(|| "registry.example.com".to_owned()),
            ..Options::default()
        };
        let imported = import(&folder.join("nginx.conf"), &options).unwrap();
        let moved = |text: &str| text.replace(folder.to_str().unwrap(), "/etc/nginx");
        let lines: Vec<String> = imported
            .report
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        for (name, text) in [
            ("tidegate.toml", moved(&imported.toml)),
            ("report.txt", moved(&lines.concat())),
        ] {
            let file = folder.join(name);
            if std::env::var_os("UPDATE_SITES").is_some() {
                fs::write(&file, &text).unwrap();
            }
            let expected = fs::read_to_string(&file).unwrap_or_default();
            assert_eq!(text, expected, "{}", file.display());
        }
    }
    assert!(names.len() > 7, "{names:?}");
}

#[test]
fn the_nearest_directive_counts_and_its_outer_ones_say_so() {
    let imported = site(
        "proxy_read_timeout 10s; keepalive_timeout 0;",
        "proxy_read_timeout 20s;",
    );
    let connections = value(&imported, "upstream", "connections").unwrap();
    assert_eq!(connections["idle_timeout_seconds"].as_integer(), Some(20));
    let outer = line(&imported, "proxy_read_timeout 10s");
    assert!(
        outer.contains("not needed") && outer.contains("nginx.conf:2 counts"),
        "{outer}"
    );
    assert_eq!(value(&imported, "server", "keep_alive_seconds"), None);
    assert!(line(&imported, "keepalive_timeout 0").contains("not translated"));
}

#[test]
fn https_registries_stay_verified_unless_the_file_says_no() {
    let with = |directives: &str| {
        import_text(&format!(
            "server {{ listen 80; {directives} location /v2/ {{ proxy_pass https://a; }} }}"
        ))
        .unwrap()
    };
    let silent = with("");
    assert_eq!(value(&silent, "upstream", "insecure"), None);
    assert!(line(&silent, "proxy_pass").contains("upstream.ca_cert"));
    let off = value(&with("proxy_ssl_verify off;"), "upstream", "insecure");
    assert_eq!(off, Some(toml::Value::Boolean(true)));
}

#[test]
fn an_access_log_is_a_file_where_its_path_is_fixed() {
    for (log, form, path) in [
        (
            "/var/log/nginx/a.log",
            Some("combined"),
            Some("/var/log/nginx/a.log"),
        ),
        (
            "/var/log/nginx/a.log mine buffer=1k",
            Some("json"),
            Some("/var/log/nginx/a.log"),
        ),
        ("logs/a.log combined", Some("combined"), None),
        ("/dev/stdout", Some("combined"), None),
        ("/var/log/$host.log", Some("combined"), None),
        ("syslog:server=a", Some("combined"), None),
        ("off", Some("off"), None),
    ] {
        let text = format!(
            "log_format mine escape=json '{{\"a\":1}}'; access_log {log};
             server {{ listen 80; location /v2/ {{ proxy_pass http://a; }} }}"
        );
        let imported = import_text(&text).unwrap();
        let written = |key| value(&imported, "telemetry", key);
        let text = |text: Option<&str>| text.map(|text| toml::Value::String(text.to_owned()));
        assert_eq!(written("access_log"), text(form), "{log}");
        assert_eq!(written("access_log_path"), text(path), "{log}");
    }
}

#[test]
fn headers_with_fixed_values_are_added() {
    let imported = site(
        "add_header X-Frame-Options DENY; add_header X-Host $host; add_header \"a b\" c;
         add_header Docker-Distribution-Api-Version registry/2.0 always; add_header Upgrade h2;",
        "",
    );
    let headers = value(&imported, "server", "response_headers").unwrap();
    let expected = toml::Value::Array(vec![toml::Value::String("X-Frame-Options: DENY".into())]);
    assert_eq!(headers, expected);
    assert!(line(&imported, "add_header Docker").contains("not needed"));
    for left in ["add_header X-Host", "add_header a b", "add_header Upgrade"] {
        assert!(line(&imported, left).contains("not translated"));
    }
}

#[test]
fn no_credential_is_in_the_report() {
    let header = "proxy_set_header Authorization \"Basic dTpodW50ZXIy\";";
    let imported = site("", header);
    assert_eq!(
        value(&imported, "upstream", "password").unwrap().as_str(),
        Some("hunter2")
    );
    for line in &imported.report {
        let line = line.to_string();
        assert!(
            !line.contains("hunter2") && !line.contains("dTpod"),
            "{line}"
        );
    }
}

#[test]
fn every_directive_has_a_verdict_and_programs_are_named() {
    let imported = site(
        "access_by_lua_block { if x then return \"}\" end } unheard_of yes; auth_request /check;",
        "js_content a.b; perl b;",
    );
    for directive in [
        "access_by_lua_block",
        "unheard_of",
        "auth_request",
        "js_content",
        "perl",
    ] {
        let line = line(&imported, directive);
        assert!(line.contains("not translated"), "{line}");
    }
    assert!(
        imported
            .report
            .iter()
            .all(|line| !line.to_string().contains("stands nowhere"))
    );
    assert_eq!(left(&imported), 5);
}

/// How many lines of the report say that something is left.
fn left(imported: &Imported) -> usize {
    imported.report.iter().filter(|line| line.is_left()).count()
}

#[test]
fn words_in_another_encoding_end_no_import() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nginx.conf");
    let text = b"server { listen 443 ssl; ssl_certificate /f\xfcr.pem; add_header X-A f\xfcr;
        auth_basic \"Zugang f\xfcr\"; location / { proxy_pass http://a; } }";
    fs::write(&file, text).unwrap();
    let imported = import(&file, &Options::default()).unwrap();
    assert!(line(&imported, "auth_basic").contains("not needed"));
    for left in ["ssl_certificate", "add_header"] {
        assert!(line(&imported, left).contains("not translated"), "{left}");
    }
}

#[test]
fn the_access_log_of_nginx_is_left_to_nginx() {
    let log = |path: &str| left(&site(&format!("access_log {path};"), ""));
    assert_eq!(log("/var/log/nginx/a.log"), 1);
    assert_eq!(log("/var/log/tidegate/a.log"), 0);
}

#[test]
fn what_is_left_of_a_translated_directive_counts() {
    let balanced = import_text(
        "server { listen 443 ssl proxy_protocol; listen 80 proxy_protocol;
         location / { proxy_pass http://a; } }",
    )
    .unwrap();
    assert_eq!(left(&balanced), 2);
    let plain = line(&balanced, "listen 80");
    for text in ["led to https://", "; left to do: write the networks"] {
        assert!(plain.contains(text), "{plain}");
    }
    let harbor = import_text(
        "server { listen 80; location / { proxy_pass http://core; }
         location /v2/ { proxy_pass http://core; } location /service/ { proxy_pass http://core; } }",
    );
    assert_eq!(left(&harbor.unwrap()), 1);
    assert_eq!(left(&site("keepalive_timeout 9; server_name a b;", "")), 0);
}

#[test]
fn no_name_breaks_out_of_the_comment() {
    for name in ["a\u{7}b", "\"a\n[server]\nlisten = 1\""] {
        let imported = import_text(&format!(
            "server {{ server_name {name}; location / {{ proxy_pass http://a; }} }}"
        ));
        let toml = imported.unwrap().toml;
        assert!(toml.parse::<toml::Table>().is_ok(), "{toml}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_bytes_make_it_panic_or_go_on_for_ever(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        read(&bytes);
    }

    /// Pieces of the language, put together at random, come further than bytes.
    #[test]
    fn no_pieces_make_it_panic_or_write_what_is_no_toml(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)
    ) {
        let inside = pieces.join(" ");
        read(inside.as_bytes());
        read(format!("server {{ location /v2/ {{ proxy_pass http://a; {inside} }} }}").as_bytes());
        read(format!("server {{ {inside} }} location / {{ proxy_pass http://a; }} }}").as_bytes());
    }
}

fn read(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nginx.conf");
    fs::write(&file, bytes).unwrap();
    if let Ok(imported) = import(&file, &Options::default()) {
        assert!(
            imported.toml.parse::<toml::Table>().is_ok(),
            "{}",
            imported.toml
        );
    }
}

const PIECES: &[&str] = &[
    "{",
    "}",
    ";",
    ";",
    ";",
    "\"",
    "'",
    "\\",
    "#",
    "\n",
    "$",
    "${",
    "$a",
    "(",
    "[",
    "*",
    "é",
    "http {",
    "server {",
    "location / {",
    "location ~ ^/v2/(.*)$ {",
    "location ^~ /v2 {",
    "location = /v2/ {",
    "if ($request_method = GET) {",
    "upstream a {",
    "map $a $b {",
    "listen 443 ssl;",
    "listen [::]:80;",
    "listen unix:x;",
    "listen 99999;",
    "server_name a \"b\";",
    "proxy_pass http://a;",
    "proxy_pass https://a/v2/$1;",
    "proxy_pass $a;",
    "set $a $a$a;",
    "rewrite ^/(.*)$ /x/$1 last;",
    "rewrite ^ /v2/;",
    "return 301 https://$host;",
    "return;",
    "break;",
    "include nginx.conf;",
    "include *;",
    "limit_req zone=a burst=99999999999;",
    "limit_req_zone $remote_addr zone=a:1m rate=0r/s;",
    "limit_rate 99999999999999999999g;",
    "keepalive_timeout 99999999999y;",
    "allow;",
    "deny all;",
    "set_real_ip_from x;",
    "ssl on;",
    "x_by_lua_block {",
    "proxy_set_header Authorization \"Basic !\";",
    "access_log off;",
    "try_files $uri @a;",
    "location @a {",
    "server a:1;",
    "server;",
    "log_format;",
];
