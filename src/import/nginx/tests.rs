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
fn of_several_sites_the_registrys_is_chosen_and_a_name_chooses() {
    let two = "server { listen 1; server_name shop; location / { proxy_pass http://shop; } }
        server { listen 2; server_name one; location /v2/ { proxy_pass http://a; } }";
    let imported = import_text(two).unwrap();
    assert!(
        imported.toml.contains("url = \"http://a\""),
        "{}",
        imported.toml
    );
    let three = format!(
        "{two}\nserver {{ listen 3; server_name x other; location ~ ^/v2 {{ proxy_pass http://b; }} }}"
    );
    let error = import_text(&three).unwrap_err().to_string();
    assert!(
        error.contains("one (") && error.contains("nginx.conf:3)"),
        "{error}"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site");
    fs::write(&file, three).unwrap();
    let named = |name: &str| {
        let options = Options {
            server_name: Some(name.to_owned()),
            ..Options::default()
        };
        import(&file, &options)
    };
    assert!(named("OTHER").unwrap().toml.contains("http://b"));
    let error = named("nobody").unwrap_err().to_string();
    assert!(
        error.contains("nobody") && error.contains("shop"),
        "{error}"
    );
    for none in [
        "",
        "events {}",
        "http { server { location /v2/ { return 404; } } }",
    ] {
        let error = import_text(none).unwrap_err().to_string();
        assert!(error.contains("no server passes /v2/ on"), "{error}");
    }
}

#[test]
fn requests_find_their_way_as_in_nginx() {
    for (server, expected) in [
        ("location /v2/ { proxy_pass http://a; }", "http://a"),
        ("location /v2/ { proxy_pass http://a/v2/; }", "http://a"),
        (
            "location /v2/ { proxy_pass http://a/base/v2/; }",
            "http://a/base",
        ),
        ("location / { proxy_pass http://a:5000/; }", "http://a:5000"),
        (
            "location / { proxy_pass http://a/docker/; }",
            "http://a/docker",
        ),
        (
            "location /v2 { proxy_pass http://a$request_uri; }",
            "http://a",
        ),
        (
            "location ~ ^/v2/(.*) { proxy_pass http://a/x/v2/$1; }",
            "http://a/x",
        ),
        (
            "set $b 10.0.0.1; location / { proxy_pass http://${b}:1; }",
            "http://10.0.0.1:1",
        ),
        (
            "location / { proxy_pass http://no; } location ~ /manifests/ { proxy_pass http://a; }",
            "http://a",
        ),
        (
            "location ^~ /v2/ { proxy_pass http://a; } location ~ v2 { proxy_pass http://no; }",
            "http://a",
        ),
        (
            "location / { proxy_pass http://no; location /v2/ { proxy_pass http://a; } }",
            "http://a",
        ),
        (
            "rewrite ^/v2/(.*)$ /hub/v2/$1 last; location /hub { proxy_pass http://a; }",
            "http://a/hub",
        ),
        (
            "location /v2/ { rewrite ^(.*)$ /api$1 break; proxy_pass http://a; }",
            "http://a/api",
        ),
        (
            "root /x; location / { try_files $uri @registry; } location @registry { proxy_pass http://a; }",
            "http://a",
        ),
        (
            "location = /v2/ { return 401; } location /v2/ { proxy_pass http://a; }",
            "http://a",
        ),
        (
            "location /v2/ { proxy_pass http://[::1]:5000; }",
            "http://[::1]:5000",
        ),
    ] {
        let imported = import_text(&format!("server {{ listen 80; {server} }}")).unwrap();
        let url = value(&imported, "upstream", "url");
        assert_eq!(url.unwrap().as_str(), Some(expected), "{server}");
    }
}

#[test]
fn what_leads_to_no_registry_is_an_error_that_names_the_line() {
    for (server, expected) in [
        (
            "location /v2/ {\n proxy_pass http://$host; }",
            "nginx.conf:2: $host in proxy_pass",
        ),
        (
            "location /v2/ {\n proxy_pass http://unix:/run/a.sock:; }",
            "nginx.conf:2: Tidegate reaches",
        ),
        (
            "location /v2/ {\n proxy_pass http://block; }",
            "nginx.conf:2: Tidegate reaches",
        ),
        (
            "location /v2/ {\n proxy_pass http://a/; }",
            "nginx.conf:2: /v2/project/app/manifests",
        ),
    ] {
        let text = format!(
            "upstream block {{ server unix:/run/a.sock; }} server {{ listen 80; {server} }}"
        );
        let error = import_text(&text).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("--upstream URL"),
            "{error}"
        );
    }
    let error = import_text("server { listen unix:a; location / { proxy_pass http://a; } }");
    assert!(error.unwrap_err().to_string().contains("listens nowhere"));
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
fn an_address_instead_of_a_password_is_not_made_a_rule() {
    let imported = site("allow 10.0.0.0/8; deny all;", "satisfy any;");
    assert_eq!(value(&imported, "access", "listener"), None);
    assert!(line(&imported, "allow 10").contains("satisfy any"));
}

#[test]
fn what_held_for_some_requests_to_the_registry_is_left() {
    let around = |inside: &str| format!("location /v2/ {{ {TO_THE_REGISTRY} {inside} }}");
    for (restricted, server) in [
        (
            "location = /v2/_catalog",
            "allow 10.0.0.0/8; deny all; proxy_pass http://127.0.0.1:5000;",
        ),
        (
            "location ~ ^/v2/.+/blobs/uploads/",
            "auth_basic push; auth_basic_user_file push; proxy_pass http://127.0.0.1:5000;",
        ),
        ("location ~ /_catalog$", "deny all;"),
        ("location ~* _catalog2$", "return 403;"),
        (
            "location ~ /secret-team/",
            "allow 10.0.0.0/8; deny all; proxy_pass http://127.0.0.1:5000;",
        ),
        (
            "location ~* (blobs|uploads)",
            "limit_except GET { deny all; } proxy_pass http://127.0.0.1:5000;",
        ),
        (
            "location /v2/slow/",
            "limit_req zone=a; proxy_pass http://127.0.0.1:5000;",
        ),
        (
            "location /v2/asked/",
            "auth_request /who; proxy_pass http://127.0.0.1:5000;",
        ),
        (
            "location ~ /programmed/",
            "access_by_lua_block { x } proxy_pass http://127.0.0.1:5000;",
        ),
        (
            "location /v2/deep/",
            "location ~ x { if ($arg_n) { return 403; } proxy_pass http://127.0.0.1:5000; }",
        ),
    ] {
        let location = format!("{restricted} {{ {server} }}");
        for text in [
            format!("{} {location}", around("")),
            format!("location / {{ {TO_THE_REGISTRY} }} {location}"),
            around(&location),
        ] {
            let imported = import_text(&format!("server {{ listen 80; {text} }}")).unwrap();
            let line = line(&imported, restricted);
            assert!(line.contains("held for some requests only"), "{line}");
            assert_eq!(left(&imported), 1, "{text}");
        }
    }
    let rewritten = import_text(&format!(
        "server {{ listen 80; location /v2/ {{ if ($bad) {{ return 403; }}
         rewrite ^/v2/(.*) /r/v2/$1 last; }} location /r/ {{ {TO_THE_REGISTRY} }} }}"
    ));
    assert_eq!(left(&rewritten.unwrap()), 1);
    let tried = import_text(&format!(
        "server {{ listen 80; location / {{ deny 10.0.0.1; try_files $uri @registry; }}
         location @registry {{ {TO_THE_REGISTRY} }} }}"
    ));
    assert_eq!(left(&tried.unwrap()), 1);
    let free = "location = /v2/ { auth_basic off; proxy_pass http://127.0.0.1:5000; }";
    assert_eq!(left(&site(free, "")), 0);
}

const TO_THE_REGISTRY: &str = "proxy_pass http://127.0.0.1:5000;";

#[test]
fn users_of_a_restricted_part_are_not_forgotten() {
    let imported = site("", "limit_except GET { auth_basic_user_file /etc/push; }");
    let line = line(&imported, "limit_except");
    assert!(
        line.contains("tidegate import htpasswd /etc/push"),
        "{line}"
    );
    let imported = site(
        "",
        "if ($request_method ~ PUT) { proxy_pass http://primary; }",
    );
    let line = self::line(&imported, "if (");
    assert!(line.contains("must take pushes too"), "{line}");
}

/// A list of `[access]`, empty where there is none.
fn rules(imported: &Imported, key: &str) -> String {
    let written = value(imported, "access", key);
    let rules = written.as_ref().and_then(toml::Value::as_array);
    let texts = rules
        .into_iter()
        .flatten()
        .map(|rule| rule.as_str().unwrap());
    texts.collect::<Vec<_>>().join(", ")
}

#[test]
fn who_was_kept_from_what_tidegate_shows_stays_kept_from_it() {
    for (server, key, expected) in [
        (
            "location /metrics { allow 10.2.0.0/16; deny all; proxy_pass http://127.0.0.1:9; }",
            "metrics",
            "allow 10.2.0.0/16, deny all",
        ),
        ("location = /metrics { return 403; }", "metrics", "deny all"),
        (
            "location ^~ /metrics { deny 10.0.0.1; root /x; }",
            "metrics",
            "deny 10.0.0.1",
        ),
        ("location /api/ { deny all; }", "api", "deny all"),
        (
            "location /api/v2.0/ { allow ::1; deny all; }",
            "api",
            "allow ::1, deny all",
        ),
    ] {
        assert_eq!(rules(&site(server, ""), key), expected, "{server}");
    }
    let closed = site("location /api/ { return 404; }", "");
    assert!(line(&closed, "location /api/").contains("left to do: projects"));
    for (server, key) in [
        (
            "location /metrics { auth_basic x; auth_basic_user_file y; }",
            "access.metrics",
        ),
        ("location ~ ^/metrics$ { deny all; }", "access.metrics"),
        (
            "location /metrics { allow unix:; deny all; }",
            "access.metrics",
        ),
        ("location = /api/v2.0/users { deny all; }", "access.api"),
        (
            "location /api/ { location /api/v2.0/users { deny all; } }",
            "access.api",
        ),
        (
            "location /service/ { allow 10.0.0.0/8; deny all; }",
            "access.listener",
        ),
        ("location = /healthz { deny all; }", "access.listener"),
        (
            "location / { allow 10.0.0.0/8; deny all; }",
            "access.metrics",
        ),
    ] {
        let imported = site(server, "");
        let line = line(&imported, server.split(" {").next().unwrap());
        assert!(
            line.contains("not translated") && line.contains(key),
            "{line}"
        );
        assert!(!imported.toml.contains("[access]"), "{}", imported.toml);
    }
    for (server, said) in [
        ("location / { return 404; }", "access.metrics"),
        ("location /internal/ { deny all; }", "answered 404"),
        (
            "location /service/notifications { return 404; }",
            "notifications.secret",
        ),
        ("location /api/ { proxy_pass http://a; }", "Harbor's API"),
    ] {
        let imported = site(server, "");
        let line = line(&imported, server.split(" {").next().unwrap());
        assert!(line.contains("not needed") && line.contains(said), "{line}");
    }
}

#[test]
fn rules_around_those_of_the_registry_hold_for_the_rest() {
    let imported = site(
        "allow 10.0.0.0/8; deny all; location = /metrics { return 404; }",
        "allow all;",
    );
    for (key, expected) in [
        ("listener", "allow all"),
        ("api", "allow 10.0.0.0/8, deny all"),
        ("metrics", "deny all"),
    ] {
        assert_eq!(rules(&imported, key), expected, "{key}");
    }
    let line = line(&imported, "allow 10");
    assert!(
        line.contains("nginx.conf:2 counts for the registry"),
        "{line}"
    );
}

#[test]
fn proxies_are_trusted_only_for_the_header_that_is_believed() {
    let trusted = |header: &str| {
        let imported = site(&format!("set_real_ip_from 10.0.0.1; {header}"), "");
        value(&imported, "server", "trusted_proxies").is_some()
    };
    assert!(trusted("real_ip_header X-Forwarded-For;"));
    assert!(!trusted("real_ip_header X-Real-IP;"));
    assert!(!trusted(""), "nginx's default is X-Real-IP");
    assert!(!trusted("real_ip_header proxy_protocol;"));
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
fn who_is_the_client_is_not_for_everybody_to_say() {
    let with = |more: &str, networks: &str| {
        site(
            &format!("real_ip_header X-Forwarded-For; {more} {networks}"),
            "",
        )
    };
    let trusted = |imported: &Imported| value(imported, "server", "trusted_proxies").is_some();
    for everybody in ["set_real_ip_from 0.0.0.0/0;", "set_real_ip_from ::/0;"] {
        for recursive in ["", "real_ip_recursive on;"] {
            let imported = with(recursive, everybody);
            assert!(!trusted(&imported), "{everybody}");
            assert!(line(&imported, "set_real_ip_from").contains("the proxy's own address"));
        }
    }
    for (more, network, expected, said) in [
        (
            "",
            "10.0.0.0/8",
            1,
            "left to do: nginx takes the last address",
        ),
        (
            "real_ip_recursive off;",
            "fd00::/8",
            1,
            "left to do: nginx takes the last address",
        ),
        (
            "real_ip_recursive on;",
            "10.0.0.0/8",
            0,
            "trusted_proxies = ",
        ),
        (
            "",
            "10.0.0.1",
            0,
            "the last address of X-Forwarded-For that is not in",
        ),
        (
            "",
            "10.0.0.1/32",
            0,
            "the last address of X-Forwarded-For that is not in",
        ),
    ] {
        let imported = with(more, &format!("set_real_ip_from {network};"));
        assert!(trusted(&imported));
        assert_eq!(left(&imported), expected, "{more} {network}");
        let line = line(&imported, "set_real_ip_from");
        assert!(line.contains(said), "{line}");
    }
}

#[test]
fn what_a_redirecting_server_does_besides_is_told() {
    let with = |server: &str| {
        import_text(&format!(
            "server {{ listen 443 ssl; server_name a; location / {{ proxy_pass http://a; }} }}
             server {{ server_name a; {server} }}"
        ))
        .unwrap()
    };
    let imported = with(
        "listen 80; listen 8080; listen unix:/run/a.sock; access_log off;
         location /.well-known/acme-challenge/ { root /var/www/certbot; }
         location /status { allow 127.0.0.1; deny all; stub_status; }
         location ~ /\\.ht { deny all; }
         location / { return 301 https://$host$request_uri; }",
    );
    for (directive, said) in [
        ("listen 80:", "translated to server.redirect_listen"),
        (
            "listen 8080",
            "not translated: Tidegate listens at one address",
        ),
        ("listen unix", "not translated"),
        ("location /.well-known", "renew by DNS-01"),
        ("location /status", "take server.redirect_listen out"),
        ("location ~ ", "not needed"),
        ("location / with", "translated to server.redirect_listen"),
        ("access_log off", "not needed"),
    ] {
        let line = line(&imported, directive);
        assert!(line.contains(said), "{line}");
    }
    assert_eq!(left(&imported), 4);
    let certbots = "if ($host = a) { return 301 https://$host$request_uri; } # managed by Certbot
        listen 80; listen [::]:80; return 404;";
    assert_eq!(left(&with(certbots)), 0);
    let beside = site(
        "listen 80; location /.well-known/acme-challenge/ { root /x; }",
        "",
    );
    assert!(line(&beside, "location /.well-known").contains("DNS-01"));
}

#[test]
fn an_api_with_a_version_2_is_no_registry() {
    let with = |registry: &str| {
        import_text(&format!(
            "server {{ listen 443 ssl; server_name shop; location /api/v2/ {{ proxy_pass http://b; }}
             location / {{ proxy_pass http://shop; }} }}
             server {{ listen 443 ssl; server_name registry; {registry} }}"
        ))
    };
    let error = with("location / { proxy_pass http://a; }")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("shop (") && error.contains("--server-name"),
        "{error}"
    );
    for registry in [
        "location /v2/ { proxy_pass http://a; }",
        "location = /v2 { return 404; } location / { proxy_pass http://a; }",
        "location ~ ^/(v1|v2)/ { proxy_pass http://a; }",
        "rewrite ^(/v2/.*)$ /x$1; location /x/ { proxy_pass http://a; }",
        "if ($request_uri ~* ^/v2/) { set $a b; } location / { proxy_pass http://a; }",
        "location / { proxy_pass http://a/docker/v2/; rewrite ^/v2/(.*)$ /$1; }",
        "location / { proxy_pass http://a; add_header Docker-Distribution-Api-Version x; }",
    ] {
        let chosen = with(registry).unwrap();
        assert!(
            chosen.toml.contains("from the site registry,"),
            "{registry}"
        );
    }
}

#[test]
fn the_address_that_is_given_is_one_and_names_stay_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nginx.conf");
    let renames = "server { listen 80; location /v2/ { rewrite ^/v2/(.+)$ /v2/mirror/$1 break;
        proxy_pass https://elsewhere; } }";
    let with = |text: &str, upstream: &str| {
        fs::write(&file, text).unwrap();
        let options = Options {
            upstream: Some(upstream.to_owned()),
            ..Options::default()
        };
        import(&file, &options)
    };
    for wrong in [
        "",
        "registry:5000",
        "ftp://x",
        "http://",
        "http://r:5000/v2/",
        "http://u:p@r",
        "http://r?a=b",
    ] {
        let error = with(renames, wrong).unwrap_err().to_string();
        assert!(
            error.contains("--upstream") && error.contains("http://…"),
            "{error}"
        );
    }
    let imported = with(renames, "https://r/base/").unwrap();
    assert!(imported.toml.contains("url = \"https://r/base\""));
    for directive in ["rewrite", "proxy_pass"] {
        let line = line(&imported, directive);
        assert!(line.contains("changes the names"), "{line}");
    }
    assert_eq!(left(&imported), 2);
    let moved = renames
        .replace("/v2/mirror/$1 break", "/r/v2/$1 last")
        .replace("} }", "}")
        + "location /r/ { proxy_pass http://$host; } location = /v2/_catalog { proxy_pass http://$host; } }";
    let imported = with(&moved, "http://r").unwrap();
    assert_eq!(left(&imported), 0, "{:#?}", imported.report);
}

#[test]
fn only_old_docker_clients_are_gone() {
    let is_gone = |condition: &str| {
        let imported = site("", &format!("if ({condition}) {{ return 404; }}"));
        line(&imported, "if (").contains("not needed")
    };
    assert!(is_gone(
        "$http_user_agent ~ \"^(docker\\/1\\.(3|4)|Go ).*$\""
    ));
    assert!(is_gone("$http_user_agent ~* docker/1\\.[0-5]"));
    for others in [
        "$http_user_agent ~* (curl|wget|python|bot)",
        "$http_user_agent = ''",
        "$http_user_agent !~ docker/1\\.",
        "$http_user_agent ~ ^docker/1[0-9]",
    ] {
        assert!(!is_gone(others), "{others}");
    }
}

#[test]
fn limits_are_those_that_nginx_keeps() {
    let with = |zones: &str, limits: &str| {
        import_text(&format!(
            "{zones} server {{ listen 80; {limits} location / {{ proxy_pass http://a; }} }}"
        ))
        .unwrap()
    };
    let requests = "limit_req_zone $binary_remote_addr zone=a:1m rate=1r/s;";
    let connections = "limit_conn_zone $binary_remote_addr zone=a:1m;
        limit_conn_zone $remote_addr zone=b:1m;";
    let forwarded = "limit_req_zone $http_x_forwarded_for zone=a:1m rate=5r/s;";
    for (zones, limits) in [
        (requests, "limit_req zone=a; limit_req_dry_run on;"),
        (connections, "limit_conn a 5; limit_conn_dry_run on;"),
    ] {
        let imported = with(zones, limits);
        assert!(!imported.toml.contains("[limits]"), "{}", imported.toml);
        assert_eq!(left(&imported), 0);
    }
    for limits in [
        "limit_conn a 5; limit_conn b 100;",
        "limit_conn b 100; limit_conn a 5;",
    ] {
        let written = value(
            &with(connections, limits),
            "limits",
            "connections_per_address",
        );
        assert_eq!(written.unwrap().as_integer(), Some(5));
    }
    let alone = with(forwarded, "limit_req zone=a;");
    assert!(
        line(&alone, "limit_req zone").contains("not translated: it counts by X-Forwarded-For")
    );
    let behind = "set_real_ip_from 10.0.0.1; real_ip_header X-Forwarded-For; limit_req zone=a;";
    assert!(
        with(forwarded, behind)
            .toml
            .contains("requests_per_second = 5.0")
    );
}

#[test]
fn includes_of_a_copied_folder_are_found_and_empty_ones_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nginx.conf");
    let includes = "include /etc/nginx/no-such-folder/*.conf; include /no/such/*.conf;";
    fs::write(&file, format!("http {{ {includes} }}")).unwrap();
    let error = import(&file, &Options::default()).unwrap_err().to_string();
    for include in [
        "include /etc/nginx/no-such-folder/*.conf (",
        "include /no/such/*.conf (",
    ] {
        assert!(error.contains(include), "{error}");
    }
    fs::create_dir(folder.path().join("no-such-folder")).unwrap();
    let site = "server { listen 80; location / { proxy_pass http://a; } }";
    fs::write(folder.path().join("no-such-folder/registry.conf"), site).unwrap();
    let imported = import(&file, &Options::default()).unwrap();
    assert!(line(&imported, "include /no/such").contains("no file matches it"));
    assert!(!line(&imported, "include /etc/nginx").contains("no file"));
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
fn the_folder_is_where_nginx_has_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let sites = folder.path().join("sites-available");
    fs::create_dir(&sites).unwrap();
    let text = "server { listen 1 ssl; include more; location /v2/ { proxy_pass http://a; } }";
    fs::write(sites.join("registry"), text).unwrap();
    fs::write(folder.path().join("more"), "ssl_certificate tls.crt;").unwrap();
    let file = sites.join("registry");
    let error = import(&file, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("sites-available/more"), "{error}");
    fs::write(folder.path().join("nginx.conf"), "").unwrap();
    let imported = import(&file, &Options::default()).unwrap();
    let cert = value(&imported, "tls", "cert").unwrap();
    assert_eq!(cert.as_str(), folder.path().join("tls.crt").to_str());
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
