//! Tidegate in the place of nginx: `nginx-compat` plays one corpus against both.

use std::{path::Path, process::Command};

use crate::harness::{
    Distribution, Gateway, Options, PASSWORD, Process, Succeeds, free_port, until_listens,
};

#[tokio::test]
async fn nothing_differs_from_nginx_but_what_is_listed() {
    let registry = Distribution::start().await;
    let options = Options {
        upstream: Some(registry.url()),
        ..Options::default()
    };
    let gateway = Gateway::with(options).await;
    let directory = tempfile::tempdir().unwrap();
    let (port, _nginx) = nginx(directory.path(), &registry, &gateway).await;
    // Debian's, which has Debian's packages.
    Command::new("/usr/bin/python3")
        .arg("nginx-compat/parity.py")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PARITY_NGINX", port.to_string())
        .env("PARITY_TIDEGATE", gateway.port().to_string())
        .env("PARITY_USER", "admin")
        .env("PARITY_PASSWORD", PASSWORD)
        .output()
        .unwrap()
        .succeeds();
}

/// nginx with the reference configuration, its addresses and its certificate aside, and another
/// access log, `combined.log`; and its port.
pub async fn nginx(directory: &Path, registry: &Distribution, gateway: &Gateway) -> (u16, Process) {
    let (port, plain_port) = (free_port(), free_port());
    let certificates = gateway.directory().join("data/tls");
    let mut config = include_str!("../../nginx-compat/nginx.conf").to_owned();
    for (reference, here) in [
        ("127.0.0.1:5000", registry.host()),
        ("127.0.0.1:8443", format!("127.0.0.1:{port}")),
        ("127.0.0.1:8080", format!("127.0.0.1:{plain_port}")),
        (
            "access_log access.log",
            "access_log combined.log combined; access_log access.log".to_owned(),
        ),
        (
            "tls.crt",
            certificates.join("tls.crt").display().to_string(),
        ),
        (
            "tls.key",
            certificates.join("tls.key").display().to_string(),
        ),
    ] {
        assert!(config.contains(reference), "{reference}");
        config = config.replace(reference, &here);
    }
    std::fs::create_dir(directory.join("tmp")).unwrap();
    let file = directory.join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&file).arg("-p").arg(directory);
    // One process, or its workers would outlive it.
    command.args(["-g", "master_process off;"]);
    let process = Process::start(command, &directory.join("output.log"));
    until_listens(port).await;
    (port, process)
}
