//! `harborapi`, Harbor's Python client, cannot tell the difference.

use crate::harness::{
    Database, Distribution, Gateway, Image, Options, PASSWORD, Python, Skopeo, Succeeds,
};

#[tokio::test]
async fn harborapi_lives_an_administrators_life() {
    for database in Database::BOTH {
        let gateway = Gateway::with(Options {
            database: Some(database),
            ..Options::default()
        })
        .await;
        let target = Distribution::start().await;
        gateway.create_project("held").await;
        let image = Image::new(&[b"a layer"]);
        let name = format!("{}/held/app:v1", gateway.host());
        Skopeo::at(&gateway, "admin").push(&image, &name).succeeds();
        let life = Python::command("tests/harbor/harborapi_life.py")
            .env("GATEWAY_URL", gateway.url())
            .env("GATEWAY_CA", gateway.ca())
            .env("ADMIN_PASSWORD", PASSWORD)
            .env("TARGET_URL", target.url())
            .output()
            .unwrap();
        life.succeeds();
    }
}
