use super::{Imported, import_text, left, line, site, value};

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
fn an_address_instead_of_a_password_is_not_made_a_rule() {
    let imported = site("allow 10.0.0.0/8; deny all;", "satisfy any;");
    assert_eq!(value(&imported, "access", "listener"), None);
    assert!(line(&imported, "allow 10").contains("satisfy any"));
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

const TO_THE_REGISTRY: &str = "proxy_pass http://127.0.0.1:5000;";
