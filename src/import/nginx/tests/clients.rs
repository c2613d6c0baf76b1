use super::{Imported, import_text, left, line, site, value};

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
