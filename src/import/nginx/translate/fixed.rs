use super::super::{draft::Draft, tree::Directive};

/// The verdict of a directive that becomes no key, whatever it says.
pub(super) fn judge(draft: &mut Draft, directive: &Directive) {
    if draft.verdict(directive).is_some() {
        return;
    }
    if directive.matches_no_file {
        return draft.not_needed(directive, "no file matches it here");
    }
    let name = directive.name.as_str();
    let listed = |table: &[(&[&str], &'static str)]| {
        let found = table.iter().find(|(names, _)| {
            names.iter().any(|known| match known.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => *known == name,
            })
        });
        found.map(|(_, why)| *why)
    };
    if let Some(why) = listed(NOT_NEEDED) {
        draft.not_needed(directive, why);
    } else if directive.arg(0) == "off" && listed(NOT_TRANSLATED).is_some() {
        draft.not_needed(directive, "it is off");
    } else {
        let unknown = "this import does not know it; docs/reference/nginx-directives.md tells \
                       what there is";
        draft.not_translated(directive, listed(NOT_TRANSLATED).unwrap_or(unknown));
    }
}

/// Names, `*` at an end standing for any end, and why nothing is needed.
const NOT_NEEDED: &[(&[&str], &str)] = &[
    (
        &[
            "user",
            "worker_processes",
            "worker_cpu_affinity",
            "worker_priority",
            "worker_rlimit_*",
            "worker_connections",
            "worker_shutdown_timeout",
            "pid",
            "daemon",
            "master_process",
            "lock_file",
            "load_module",
            "thread_pool",
            "timer_resolution",
            "pcre_jit",
            "env",
            "events",
            "working_directory",
            "debug_*",
            "ssl_engine",
        ],
        "Tidegate is one process that uses all cores, as the user who starts it",
    ),
    (&["include"], "what it includes is told by itself"),
    (
        &[
            "error_log",
            "log_not_found",
            "log_subrequest",
            "open_log_file_cache",
            "rewrite_log",
        ],
        "logs go to standard error; telemetry.log_level says how much",
    ),
    (
        &[
            "sendfile*",
            "tcp_nopush",
            "tcp_nodelay",
            "aio*",
            "directio*",
            "output_buffers",
            "postpone_output",
            "lingering_*",
            "reset_timedout_connection",
            "read_ahead",
            "request_pool_size",
            "connection_pool_size",
            "subrequest_output_buffer_size",
        ],
        "how bytes are sent Tidegate decides",
    ),
    (
        &[
            "types",
            "types_hash_*",
            "default_type",
            "charset*",
            "override_charset",
            "source_charset",
        ],
        "registries name the media types themselves",
    ),
    (
        &[
            "server_names_hash_*",
            "variables_hash_*",
            "map_hash_*",
            "proxy_headers_hash_*",
        ],
        "there are no such tables",
    ),
    (
        &[
            "server_tokens",
            "server_name_in_redirect",
            "port_in_redirect",
            "absolute_redirect",
            "msie_*",
            "ignore_invalid_headers",
            "underscores_in_headers",
            "merge_slashes",
            "max_ranges",
            "recursive_error_pages",
        ],
        "Tidegate's answers tell nothing of it; malformed requests are refused",
    ),
    (
        &["gzip*", "brotli*", "gunzip*", "zstd*"],
        "layers are compressed already; answers are passed on as they are",
    ),
    (
        &["client_max_body_size"],
        "there is no limit on a layer; what a project may hold is its storage limit",
    ),
    (
        &[
            "client_body_*",
            "client_header_buffer_size",
            "large_client_header_buffers",
        ],
        "bodies are streamed, and headers may have 64 KiB",
    ),
    (
        &[
            "chunked_transfer_encoding",
            "proxy_buffering",
            "proxy_request_buffering",
            "proxy_buffer*",
            "proxy_busy_buffers_size",
            "proxy_max_temp_file_size",
            "proxy_temp_*",
            "fastcgi_temp_path",
            "uwsgi_temp_path",
            "scgi_temp_path",
            "proxy_http_version",
            "proxy_limit_rate",
        ],
        "bodies are streamed in both directions, nothing lies on disk",
    ),
    (
        &["proxy_redirect", "proxy_cookie_*"],
        "the registry's Location is made relative, so that it fits every name",
    ),
    (
        &[
            "proxy_pass_header",
            "proxy_hide_header",
            "proxy_ignore_headers",
            "proxy_pass_request_*",
            "proxy_set_body",
            "proxy_intercept_errors",
            "proxy_ignore_client_abort",
            "proxy_socket_keepalive",
            "proxy_next_upstream*",
            "proxy_method",
        ],
        "requests and answers are rebuilt from what the registry API has",
    ),
    (
        &[
            "ssl_ciphers",
            "ssl_prefer_server_ciphers",
            "ssl_ecdh_curve",
            "ssl_dhparam",
            "ssl_session_*",
            "ssl_buffer_size",
            "ssl_early_data",
            "ssl_conf_command",
            "ssl_reject_handshake",
            "proxy_ssl_ciphers",
            "proxy_ssl_protocols",
            "proxy_ssl_session_reuse",
            "proxy_ssl_verify_depth",
            "proxy_ssl_server_name",
        ],
        "only ciphers of today are spoken, and sessions are resumed",
    ),
    (
        &[
            "http2*",
            "keepalive_requests",
            "keepalive_disable",
            "keepalive_time",
        ],
        "HTTP/1.1 and HTTP/2 are spoken on every connection, for as many requests as come",
    ),
    (
        &["resolver", "resolver_timeout"],
        "names are looked up as the system does",
    ),
    (
        &["real_ip_recursive"],
        "the client is the last address that is not in server.trusted_proxies",
    ),
    (
        &["limit_req_status", "limit_conn_status"],
        "the answer is 429 with Retry-After, as clients of registries know it",
    ),
    (
        &[
            "limit_req_log_level",
            "limit_conn_log_level",
            "limit_req_dry_run",
            "limit_conn_dry_run",
        ],
        "refused requests are counted in /metrics",
    ),
    (
        &[
            "root",
            "index",
            "autoindex*",
            "alias",
            "etag",
            "if_modified_since",
            "expires",
            "open_file_cache*",
            "disable_symlinks",
        ],
        "Tidegate serves no files",
    ),
    (&["satisfy"], "allow and deny are told by themselves"),
];

/// The same for what Tidegate does not do: why, and what to do.
const NOT_TRANSLATED: &[(&[&str], &str)] = &[
    (
        &["stream", "mail"],
        "only what `http` says is read; let a balancer stand in front, or nginx keep this",
    ),
    (
        &[
            "content_by_lua*",
            "access_by_lua*",
            "rewrite_by_lua*",
            "header_filter_by_lua*",
            "body_filter_by_lua*",
            "log_by_lua*",
            "init_by_lua*",
            "init_worker_by_lua*",
            "set_by_lua*",
            "balancer_by_lua*",
            "ssl_certificate_by_lua*",
            "lua_*",
            "js_*",
            "perl*",
            "ndk_*",
        ],
        "programs are not read; see what this one is for",
    ),
    (
        &[
            "auth_request*",
            "auth_jwt*",
            "auth_ldap*",
            "auth_pam*",
            "satisfy_any",
        ],
        "people sign in at the gateway; make them users of it",
    ),
    (
        &["proxy_cache*", "proxy_store*", "proxy_no_cache", "slice"],
        "Tidegate does not cache by nginx's rules; [proxy.cache] keeps answers about manifests",
    ),
    (
        &[
            "ssl_client_certificate",
            "ssl_verify_*",
            "ssl_crl",
            "ssl_trusted_certificate",
            "ssl_ocsp*",
        ],
        "certificates of clients are not asked for; people sign in by name and password",
    ),
    (
        &["ssl_stapling*"],
        "no OCSP answer is stapled to the certificate",
    ),
    (
        &["ssl_password_file"],
        "the key must not be encrypted; `openssl pkey -in KEY -out NEW` decrypts it",
    ),
    (
        &[
            "proxy_ssl_certificate",
            "proxy_ssl_certificate_key",
            "proxy_ssl_password_file",
        ],
        "Tidegate shows the registry no certificate; give it an account by upstream.username",
    ),
    (
        &["proxy_ssl_name", "proxy_ssl_crl", "proxy_ssl_conf_command"],
        "the registry's certificate must be for the host in upstream.url",
    ),
    (
        &["proxy_bind"],
        "the system chooses the address that requests go out from",
    ),
    (
        &[
            "more_set_headers",
            "more_clear_headers",
            "more_set_input_headers",
            "add_trailer",
        ],
        "headers with fixed values can be in server.response_headers",
    ),
    (&["error_page"], "errors are the registry API's JSON"),
    (
        &[
            "sub_filter*",
            "mirror*",
            "addition_*",
            "ssi*",
            "image_filter*",
        ],
        "bodies are not changed and requests not copied; for mirrors make a replication policy",
    ),
    (
        &["geo", "geoip*", "split_clients", "map_*"],
        "values do not depend on the request; write what is meant to the keys",
    ),
    (&["http3*", "quic*", "listen_quic"], "HTTP/3 is not spoken"),
    (
        &["modsecurity*", "security_rules"],
        "there is no such filter; requests are parsed strictly",
    ),
    (&["stub_status"], "see /metrics"),
];
