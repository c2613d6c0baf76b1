use super::*;

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, Error> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let table = text.parse().unwrap();
    layers::resolve(Some(Path::new("test.toml")), table, variables)
}

#[test]
fn the_example_documents_keys_that_exist() {
    let example = include_str!("../../tidegate.example.toml");
    parse(example, &[]).unwrap();
    // Every commented default must be a key, too.
    let uncommented: Vec<&str> = example
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| is_key(rest))
                .unwrap_or(line)
        })
        .collect();
    parse(&uncommented.join("\n"), &[]).unwrap();
}

#[test]
fn every_key_is_in_the_example() {
    let example = include_str!("../../tidegate.example.toml");
    let sections = example
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    let mut missing = Vec::new();
    for section in sections {
        let error = parse(&format!("[{section}]\nno_such_key = 1"), &[])
            .unwrap_err()
            .to_string();
        let (_, expected) = error.split_once("expected").unwrap();
        let keys = expected.split('`').skip(1).step_by(2);
        let documented = |key: &str| {
            example.contains(&format!("\n# {key} = "))
                || example.contains(&format!("\n[{section}.{key}]"))
        };
        missing.extend(
            keys.filter(|key| *key != section && !documented(key))
                .map(str::to_owned),
        );
    }
    assert!(missing.is_empty(), "{missing:?}");
}

/// `listen = …`: one word, then an equals sign.
fn is_key(line: &str) -> bool {
    line.split_once(" = ")
        .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let error = parse("[server]\nlistne = \"x\"", &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("test.toml") && error.contains("listne"),
        "{error}"
    );
    assert!(parse("[sever]\n", &[]).is_err());
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = "[database]\nmax_connections = 3\n[server]\nlisten = \"127.0.0.1:1\"";
    let config = parse(
        text,
        &[
            ("TIDEGATE_DATABASE__MAX_CONNECTIONS", "7"),
            ("TIDEGATE_AUTH__ADMIN_PASSWORD", "12345678"),
            ("PATH", "x"),
        ],
    )
    .unwrap();
    assert_eq!(config.database.max_connections, 7);
    assert_eq!(config.auth.admin_password.unwrap().expose(), "12345678");
}

#[test]
fn a_wrong_variable_is_named() {
    let error = parse("", &[("TIDEGATE_DATABASE__MAX_CONNECTIONS", "many")])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("TIDEGATE_DATABASE__MAX_CONNECTIONS"),
        "{error}"
    );
    assert!(parse("", &[("TIDEGATE_SERVER__LISTNE", "x")]).is_err());
}

#[test]
fn values_that_cannot_work_are_refused_by_key() {
    for (text, key) in [
        ("[replication]\nworkers = 0", "replication.workers"),
        (
            "[retention]\ndeletes_per_second = 0",
            "retention.deletes_per_second",
        ),
        (
            "[limits]\nuser_requests_per_second = -1",
            "limits.user_requests_per_second",
        ),
        ("[jobs]\npoll_ms = 0", "jobs.poll_ms"),
        ("[token]\nlifetime_seconds = 59", "token.lifetime_seconds"),
        (
            "[database]\nmax_connections = 0",
            "database.max_connections",
        ),
        (
            "[token]\nlifetime_seconds = 90\n[settings]\ntoken_expiration = 2",
            "settings.token_expiration",
        ),
        ("[upstream]\nauth = \"basic\"", "upstream.url"),
    ] {
        let problem = parse(text, &[]).unwrap().check().unwrap_err();
        assert!(problem.contains(key), "{problem}");
    }
}

#[test]
fn settings_are_fixed_by_the_file_and_the_environment() {
    let variables = [
        ("TIDEGATE_SETTINGS__READ_ONLY", "true"),
        ("TIDEGATE_SETTINGS__ROBOT_NAME_PREFIX", "12"),
    ];
    let text = "[settings]\nself_registration = true\n[token]\nlifetime_seconds = 90";
    let fixed = parse(text, &variables).unwrap().settings();
    for name in [
        "read_only",
        "robot_name_prefix",
        "self_registration",
        "token_expiration",
    ] {
        assert!(fixed.fixes(name), "{name}");
    }
    assert!(!fixed.fixes("banner_message"));
    let error = parse("", &[("TIDEGATE_SETTINGS__READ_ONLY", "maybe")]).unwrap_err();
    assert!(error.to_string().contains("READ_ONLY"), "{error}");
}

#[test]
fn secrets_are_read_from_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    std::fs::write(&path, "hunter2\n").unwrap();
    let path = path.display().to_string();
    let from_file = parse(&format!("[auth]\nadmin_password_file = \"{path}\""), &[]).unwrap();
    let from_variable = parse("", &[("TIDEGATE_AUTH__ADMIN_PASSWORD_FILE", &path)]).unwrap();
    for config in [from_file, from_variable] {
        assert_eq!(config.auth.admin_password.unwrap().expose(), "hunter2");
    }
    let error = parse("[auth]\nadmin_password_file = \"/nowhere\"", &[])
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nowhere"), "{error}");
}
