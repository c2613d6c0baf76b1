//! `tidegate import`: what other programs had goes on with Tidegate.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::harness::{Docker, Gateway, PASSWORD, Succeeds};

/// Runs `tidegate import` in a folder.
fn import(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.current_dir(folder).arg("import").args(arguments);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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
