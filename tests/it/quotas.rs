//! The storage limit of a project, as clients and receivers of webhooks meet it.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tidegate::oci::media_type;

use crate::harness::{
    Answer, Database, Distribution, Gateway, Image, Options, Receiver, Skopeo, Succeeds, bytes_in,
    until,
};

const LIMIT: usize = 200_000;
const ARTIFACTS: &str = "/api/v2.0/projects/team/repositories/app/artifacts";

/// A gateway whose project `team` may hold [`LIMIT`] bytes.
struct Limited {
    gateway: Gateway,
    /// None: the embedded registry.
    behind: Option<Distribution>,
    quota: String,
}

impl Limited {
    async fn over(database: Database, behind: Option<Distribution>) -> Self {
        let gc = "[gc]\nwindow_hours = 0\nquarantine_hours = 0\n";
        let gateway = Gateway::with(Options {
            database: Some(database),
            upstream: behind.as_ref().map(Distribution::url),
            extra: format!("{}{gc}", Receiver::ALLOWED),
            ..Options::default()
        })
        .await;
        let project = json!({"project_name": "team", "storage_limit": LIMIT});
        let admin = gateway.admin();
        let made = admin.post("/api/v2.0/projects", &project).await.expect(201);
        Self {
            quota: format!("/api/v2.0/quotas/{}", made.id()),
            gateway,
            behind,
        }
    }

    fn name(&self, tag: &str) -> String {
        format!("{}/team/app:{tag}", self.gateway.host())
    }

    fn skopeo(&self) -> Skopeo {
        Skopeo::at(&self.gateway, "admin")
    }

    async fn used(&self) -> u64 {
        let quota = self.gateway.admin().get(&self.quota).await.expect(200);
        quota.json()["used"]["storage"].as_u64().unwrap()
    }

    /// Bytes of all that the registry has on the disk.
    fn stored(&self) -> u64 {
        bytes_in(&match &self.behind {
            Some(registry) => registry.data(),
            None => self.gateway.directory().join("data/registry"),
        })
    }

    async fn tell(&self, receiver: &Receiver, event: &str) {
        let policy = json!({
            "name": "tell", "enabled": true, "event_types": [event],
            "targets": [receiver.target()],
        });
        let policies = "/api/v2.0/projects/team/webhook/policies";
        let admin = self.gateway.admin();
        admin.post(policies, &policy).await.expect(201);
    }

    /// A push of the image is refused with the reason, and nothing comes of it.
    async fn refuses(&self, image: &Image) {
        let (used, stored) = (self.used().await, self.stored());
        let refused = self.skopeo().push(image, &self.name("refused"));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success());
        for part in ["denied", "exceed the configured upper limit of 195.3 KiB"] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(self.used().await, used);
        // distribution leaves an empty folder or two of an upload that was cancelled.
        until("the upload is given up", async || {
            (self.stored() < stored + 1000).then_some(())
        })
        .await;
    }

    /// Deletes what has the tag, and collects garbage.
    async fn delete(&self, tag: &str) {
        let admin = self.gateway.admin();
        let artifact = format!("{ARTIFACTS}/{tag}");
        admin.delete(&artifact).await.expect(200);
        let now = json!({"schedule": {"type": "Manual"}, "parameters": {}});
        let started = admin.post("/api/v2.0/system/gc/schedule", &now).await;
        let run = format!("/api/v2.0/system/gc/{}", started.expect(201).id());
        until("the collection ends", async || {
            let run = admin.get(&run).await.expect(200).json();
            (run["job_status"] == "Success").then_some(())
        })
        .await;
    }

    async fn manifest(&self, tag: &str) -> Value {
        let reader = self.token().await;
        let path = format!("/v2/team/app/manifests/{tag}");
        let accept = [("accept", media_type::OCI_MANIFEST)];
        let found = reader.send(Method::GET, &path, &accept, Bytes::new());
        found.await.expect(200).json()
    }

    async fn put_manifest(&self, tag: &str, manifest: &Value) -> Answer {
        let writer = self.token().await;
        let path = format!("/v2/team/app/manifests/{tag}");
        let headers = [("content-type", media_type::OCI_MANIFEST)];
        let body = manifest.to_string().into();
        writer.send(Method::PUT, &path, &headers, body).await
    }

    async fn token(&self) -> crate::harness::Http {
        let scope = ["repository:team/app:pull,push"];
        self.gateway.token(Some("admin"), &scope).await
    }
}

/// An image of one layer with so many bytes in it.
fn image(of: u8, bytes: usize) -> Image {
    Image::new(&[&vec![of; bytes]])
}

async fn full_projects_refuse_and_deletions_make_room(project: Limited) {
    let receiver = Receiver::start();
    project.tell(&receiver, "QUOTA_EXCEED").await;
    let skopeo = project.skopeo();
    let (first, second) = (image(b'a', 110_000), image(b'b', 120_000));
    skopeo.push(&first, &project.name("v1")).succeeds();
    let used = project.used().await;
    assert!((110_000..LIMIT as u64).contains(&used), "{used}");
    skopeo.push(&first, &project.name("again")).succeeds();
    assert_eq!(project.used().await, used, "the same image costs nothing");

    project.refuses(&second).await;
    receiver.until_it_prints("QUOTA_EXCEED team/app").await;

    let stored = project.stored();
    project.delete("v1").await;
    assert_eq!(project.used().await, 0);
    if project.behind.is_none() {
        assert!(project.stored() + 110_000 < stored, "the space is free");
    }
    skopeo.push(&second, &project.name("v2")).succeeds();
    assert!(project.used().await > 120_000);
}

#[tokio::test]
async fn a_full_project_refuses_over_the_embedded_registry_until_something_is_deleted() {
    for database in Database::BOTH {
        let project = Limited::over(database, None).await;
        full_projects_refuse_and_deletions_make_room(project).await;
    }
}

#[tokio::test]
async fn a_full_project_refuses_over_distribution_until_something_is_deleted() {
    for database in Database::BOTH {
        let behind = Some(Distribution::start().await);
        let project = Limited::over(database, behind).await;
        full_projects_refuse_and_deletions_make_room(project).await;
    }
}

#[tokio::test]
async fn a_manifest_cannot_make_its_layers_small() {
    for behind in [None, Some(Distribution::start().await)] {
        let project = Limited::over(Database::Sqlite, behind).await;
        let layer = image(b'a', 110_000);
        project
            .skopeo()
            .push(&layer, &project.name("v1"))
            .succeeds();
        let used = project.used().await;
        let mut manifest = project.manifest("v1").await;
        let honest = manifest["layers"][0]["size"].take();
        manifest["layers"][0]["size"] = json!(1);
        let refused = project.put_manifest("v2", &manifest).await.expect(400);
        assert_eq!(refused.json()["errors"][0]["code"], "MANIFEST_INVALID");
        assert_eq!(project.used().await, used);
        manifest["layers"][0]["size"] = honest;
        manifest["annotations"] = json!({"org.example": "another one"});
        project.put_manifest("v2", &manifest).await.expect(201);
        let own = manifest.to_string().len() as u64;
        assert_eq!(project.used().await, used + own);
    }
}
