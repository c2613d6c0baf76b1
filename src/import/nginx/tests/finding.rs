use std::fs;

use super::{Options, import, import_text, left, line, value};

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
