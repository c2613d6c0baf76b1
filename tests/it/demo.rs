//! `tidegate demo`: one command shows a push arriving at a mirror.

use std::process::Command;

use crate::harness::{Process, free_port, until};

fn demo(directory: &std::path::Path, port: u16) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .current_dir(directory)
        .args(["demo", "--listen", &format!("127.0.0.1:{port}")]);
    Process::start(command, &directory.join(format!("demo-{port}.log")))
}

async fn shown(demo: &mut Process) -> String {
    until("the demo has shown the mirror", async || {
        let output = demo.output();
        assert!(demo.exited().is_none(), "{output}");
        output.contains("Press Ctrl-C").then_some(output)
    })
    .await
}

#[tokio::test]
async fn the_demo_shows_a_push_at_the_mirror_ends_cleanly_and_starts_again() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    for _start in 0..2 {
        let mut process = demo(directory.path(), port);
        let output = shown(&mut process).await;
        assert!(
            output.contains(&format!("docker login localhost:{port}")),
            "{output}"
        );
        assert!(output.contains("sha256:"), "{output}");
        process.signal("INT");
        assert!(process.wait().await.success(), "{}", process.output());
    }
}

#[tokio::test]
async fn a_taken_port_is_a_clear_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut process = demo(directory.path(), port);
    let status = process.wait().await;
    assert!(!status.success());
    let output = process.output();
    assert!(
        output.contains(&format!("127.0.0.1:{port}")) && output.contains("in use"),
        "{output}"
    );
}
