use serde_json::{Value, json};

use super::{Fixture, Reply};
use crate::oci::{Digest, media_type};

/// Pushes a manifest with a subject; its digest.
async fn refer(fixture: &Fixture, subject: &Digest, artifact_type: &str) -> Digest {
    let more = format!(
        r#","artifactType":"{artifact_type}","annotations":{{"k":"v"}},"subject":{{"mediaType":"{}","digest":"{subject}","size":2}}"#,
        media_type::OCI_MANIFEST
    );
    let json = fixture.image("a/b", b"signature", &more).await;
    let digest = Digest::sha256(json.as_bytes());
    let reply = fixture.put_manifest("a/b", digest.as_str(), &json).await;
    assert_eq!(reply.is(201).header("oci-subject"), subject.as_str());
    digest
}

fn digests(reply: &Reply) -> Vec<String> {
    let index = reply.is(200).json();
    assert_eq!(reply.header("content-type"), media_type::OCI_INDEX);
    assert_eq!(index["mediaType"], media_type::OCI_INDEX);
    assert_eq!(index["schemaVersion"], 2);
    let manifests = index["manifests"].as_array().unwrap().iter();
    manifests
        .map(|manifest| manifest["digest"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn referrers_are_listed_with_their_type_and_annotations() {
    let fixture = Fixture::new();
    let subject = fixture.push_image("a/b", "v1", b"layer").await;
    let referrer = refer(&fixture, &subject, "x/signature").await;
    let reply = fixture
        .ask(&format!("GET /v2/a/b/referrers/{subject}"))
        .await;
    assert_eq!(digests(&reply), [referrer.as_str()]);
    let listed: &Value = &reply.json()["manifests"][0];
    assert_eq!(listed["artifactType"], "x/signature");
    assert_eq!(listed["annotations"], json!({"k": "v"}));
    assert_eq!(listed["mediaType"], media_type::OCI_MANIFEST);
    let manifest = fixture
        .ask(&format!("GET /v2/a/b/manifests/{referrer}"))
        .await;
    assert_eq!(listed["size"], manifest.body.len());
    assert!(!reply.headers.contains_key("oci-filters-applied"));
}

#[tokio::test]
async fn referrers_are_filtered_by_artifact_type() {
    let fixture = Fixture::new();
    let subject = fixture.push_image("a/b", "v1", b"layer").await;
    let signature = refer(&fixture, &subject, "x/signature").await;
    refer(&fixture, &subject, "x/sbom+json").await;
    let all = fixture
        .ask(&format!("GET /v2/a/b/referrers/{subject}"))
        .await;
    assert_eq!(digests(&all).len(), 2);
    let target = format!("GET /v2/a/b/referrers/{subject}?artifactType=x/signature");
    let reply = fixture.ask(&target).await;
    assert_eq!(digests(&reply), [signature.as_str()]);
    assert_eq!(reply.header("oci-filters-applied"), "artifactType");
    let target = format!("GET /v2/a/b/referrers/{subject}?artifactType=x%2Fsbom%2Bjson");
    assert_eq!(digests(&fixture.ask(&target).await).len(), 1);
}

#[tokio::test]
async fn a_subject_without_referrers_has_an_empty_list_even_in_no_repository() {
    let fixture = Fixture::new();
    fixture.push_image("a/b", "v1", b"layer").await;
    let zeros = format!("sha256:{}", "0".repeat(64));
    for name in ["a/b", "nowhere"] {
        let reply = fixture
            .ask(&format!("GET /v2/{name}/referrers/{zeros}"))
            .await;
        assert!(digests(&reply).is_empty());
    }
}

#[tokio::test]
async fn a_deleted_referrer_is_listed_no_more_and_a_deleted_subject_keeps_its_referrers() {
    let fixture = Fixture::new();
    let subject = fixture.push_image("a/b", "v1", b"layer").await;
    let first = refer(&fixture, &subject, "x/first").await;
    let second = refer(&fixture, &subject, "x/second").await;
    for deleted in [&first, &subject] {
        let target = format!("DELETE /v2/a/b/manifests/{deleted}");
        fixture.ask(&target).await.is(202);
    }
    let reply = fixture
        .ask(&format!("GET /v2/a/b/referrers/{subject}"))
        .await;
    assert_eq!(digests(&reply), [second.as_str()]);
}

#[tokio::test]
async fn a_long_list_of_referrers_comes_in_pages() {
    let fixture = Fixture::new();
    let subject = fixture.push_image("a/b", "v1", b"layer").await;
    let padding = "x".repeat(2_500_000);
    let mut pushed = Vec::new();
    for n in 0..5 {
        let more = format!(
            r#","artifactType":"x/y","annotations":{{"{n}":"{padding}"}},"subject":{{"digest":"{subject}","size":2}}"#
        );
        let json = fixture.image("a/b", b"signature", &more).await;
        let digest = Digest::sha256(json.as_bytes()).to_string();
        fixture.put_manifest("a/b", &digest, &json).await.is(201);
        pushed.push(digest);
    }
    pushed.sort();
    let mut next = Some(format!("/v2/a/b/referrers/{subject}?artifactType=x/y"));
    let (mut listed, mut pages) = (Vec::new(), 0);
    while let Some(target) = next {
        let reply = fixture.ask(&format!("GET {target}")).await;
        assert!(reply.body.len() < 8 * 1024 * 1024);
        assert_eq!(reply.header("oci-filters-applied"), "artifactType");
        listed.extend(digests(&reply));
        pages += 1;
        next = reply.next_page();
    }
    assert_eq!(listed, pushed);
    assert_eq!(pages, 3);
}
