use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;

use super::{Distribution, Setup, alice, client, manifest_of, name, put_v1, tag};
use crate::{
    oci::{Algorithm, Digest, Reference, Tag, media_type},
    registry::{BlobRange, Deletion, Kind, Mounted, PageOf, Referrers},
    wire::{Body, BoxError, collect},
};

#[tokio::test]
async fn blobs_go_there_and_back() {
    let registry = Distribution::start(Setup::Open).await;
    let (client, name) = (registry.client(), name("team/app"));
    let content = Bytes::from(vec![7; 3_000_000]);
    let digest = Digest::sha256(&content);
    assert_eq!(client.head_blob(&name, &digest).await.unwrap(), None);
    let body = Body::boxed(StreamBody::new(futures_util::stream::iter(
        content
            .chunks(70_000)
            .map(|c| Ok::<_, std::io::Error>(Frame::data(Bytes::copy_from_slice(c))))
            .collect::<Vec<_>>(),
    )));
    client
        .put_blob_verified(&name, &digest, 3_000_000, body)
        .await
        .unwrap();
    assert_eq!(
        client.head_blob(&name, &digest).await.unwrap(),
        Some(3_000_000)
    );
    let blob = client.blob(&name, &digest).await.unwrap();
    assert_eq!(blob.size_bytes, Some(3_000_000));
    assert_eq!(collect(blob.body, 4_000_000).await.unwrap(), content);
    let range = BlobRange {
        start: 2_999_990,
        end: Some(2_999_995),
    };
    let part = client.blob_range(&name, &digest, range).await.unwrap();
    assert_eq!((part.start_bytes, part.size_bytes), (2_999_990, Some(5)));
    assert_eq!(collect(part.body, 10).await.unwrap(), content[..5]);
    assert_eq!(
        client.delete_blob(&name, &digest).await.unwrap(),
        Deletion::Deleted
    );
    assert_eq!(
        client.delete_blob(&name, &digest).await.unwrap(),
        Deletion::Absent
    );
}

#[tokio::test]
async fn an_empty_blob_can_be_stored() {
    let registry = Distribution::start(Setup::Open).await;
    let (client, name) = (registry.client(), name("team/app"));
    let digest = Digest::sha256(b"");
    client
        .put_blob_verified(&name, &digest, 0, Body::Empty)
        .await
        .unwrap();
    assert_eq!(client.head_blob(&name, &digest).await.unwrap(), Some(0));
}

#[tokio::test]
async fn wrong_content_does_not_arrive() {
    let registry = Distribution::start(Setup::Open).await;
    let (client, name) = (registry.client(), name("team/app"));
    let digest = Digest::sha256(b"right");
    let error = client
        .put_blob_verified(&name, &digest, 5, "wrong".into())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted, "{error}");
    let error = client
        .put_blob(&name, &digest, 5, "wrong".into())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.to_string().contains("DIGEST_INVALID"), "{error}");
    assert_eq!(client.head_blob(&name, &digest).await.unwrap(), None);
}

#[tokio::test]
async fn a_blob_is_mounted_from_where_it_is_and_uploaded_else() {
    let registry = Distribution::start(Setup::Open).await;
    let (client, from, to) = (registry.client(), name("team/a"), name("team/b"));
    let digest = Digest::sha256(b"content");
    client
        .put_blob(&from, &digest, 7, "content".into())
        .await
        .unwrap();
    let mounted = client.mount(&to, &digest, Some(&from)).await.unwrap();
    assert!(matches!(mounted, Mounted::Done));
    assert_eq!(client.head_blob(&to, &digest).await.unwrap(), Some(7));
    let other = Digest::sha256(b"other");
    let Mounted::Session(upload) = client.mount(&to, &other, Some(&from)).await.unwrap() else {
        panic!("nothing to mount");
    };
    client
        .put_upload(&upload, &other, 5, "other".into())
        .await
        .unwrap();
    assert_eq!(client.head_blob(&to, &other).await.unwrap(), Some(5));
}

#[tokio::test]
async fn a_blob_can_go_in_chunks_and_be_given_up() {
    let registry = Distribution::start(Setup::Open).await;
    let (client, name) = (registry.client(), name("team/app"));
    let digest = Digest::sha256(b"first,second");
    let upload = client.start_upload(&name).await.unwrap();
    assert_eq!(upload.offset_bytes, 0);
    let upload = client
        .patch_upload(&upload, 6, "first,".into())
        .await
        .unwrap();
    assert_eq!(upload.offset_bytes, 6);
    let upload = client.upload_status(&upload).await.unwrap();
    assert_eq!(upload.offset_bytes, 6);
    let upload = client
        .patch_upload(&upload, 6, "second".into())
        .await
        .unwrap();
    client
        .put_upload(&upload, &digest, 0, Body::Empty)
        .await
        .unwrap();
    assert_eq!(client.head_blob(&name, &digest).await.unwrap(), Some(12));

    let upload = client.start_upload(&name).await.unwrap();
    client.cancel_upload(&upload).await.unwrap();
    let error = client.upload_status(&upload).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    client.cancel_upload(&upload).await.unwrap();
}

#[tokio::test]
async fn a_blob_of_unknown_size_can_be_streamed_and_given_up_half_way() {
    let registry = Distribution::start(Setup::Open).await;
    let (client, name) = (registry.client(), name("team/app"));
    let piece = || Ok::<_, BoxError>(Frame::data(Bytes::from(vec![7; 64 * 1024])));
    let streamed = async |pieces: Vec<Result<Frame<Bytes>, BoxError>>| {
        let upload = client.start_upload(&name).await.unwrap();
        let body = Body::boxed(StreamBody::new(futures_util::stream::iter(pieces)));
        (client.stream_upload(&upload, body).await, upload)
    };
    let (streamed_whole, _begun) = streamed((0..20).map(|_| piece()).collect()).await;
    let upload = streamed_whole.unwrap();
    assert_eq!(upload.offset_bytes, 20 * 64 * 1024);
    let digest = Digest::sha256(&vec![7; 20 * 64 * 1024]);
    let put = client.put_upload(&upload, &digest, 0, Body::Empty).await;
    put.unwrap();
    assert!(client.head_blob(&name, &digest).await.unwrap().is_some());

    let broken = [piece(), piece(), Err("the client went away".into())];
    let (failed, begun) = streamed(broken.into()).await;
    failed.unwrap_err();
    client.cancel_upload(&begun).await.unwrap();
    let error = client.upload_status(&begun).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}

#[tokio::test]
async fn manifests_are_stored_listed_and_deleted() {
    let registry = Distribution::start(Setup::Open).await;
    let (client, name) = (registry.client(), name("team/app"));
    let config = Digest::sha256(b"{}");
    client
        .put_blob(&name, &config, 2, "{}".into())
        .await
        .unwrap();
    let bytes = Bytes::from(manifest_of(&config, 2));
    let digest = Digest::sha256(&bytes);
    for tag_name in ["v1", "v2"] {
        let put = client
            .put_manifest(
                &name,
                &tag(tag_name),
                media_type::OCI_MANIFEST,
                bytes.clone(),
            )
            .await
            .unwrap();
        assert_eq!((put.digest, put.lists_referrer), (digest.clone(), false));
    }
    let head = client
        .head_manifest(&name, &tag("v1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (&head.digest, head.size_bytes),
        (&digest, Some(bytes.len() as u64))
    );
    let by_digest = Reference::Digest(digest.clone());
    for reference in [&tag("v1"), &by_digest] {
        let manifest = client.manifest(&name, reference).await.unwrap();
        assert_eq!((&manifest.digest, &manifest.bytes), (&digest, &bytes));
        assert_eq!(manifest.media_type, media_type::OCI_MANIFEST);
    }
    let tags = client.all_tags(&name, 10).await.unwrap();
    assert_eq!(
        tags.iter().map(Tag::as_str).collect::<Vec<_>>(),
        ["v1", "v2"]
    );
    assert!(client.all_tags(&name, 1).await.is_err());
    let error = client.delete_manifest(&name, &tag("v1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert_eq!(
        client.delete_manifest(&name, &by_digest).await.unwrap(),
        Deletion::Deleted
    );
    assert_eq!(
        client.delete_manifest(&name, &by_digest).await.unwrap(),
        Deletion::Absent
    );
    assert_eq!(client.head_manifest(&name, &tag("v2")).await.unwrap(), None);
    let error = client.manifest(&name, &tag("v2")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    assert!(client.all_tags(&name, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_manifest_without_its_blobs_is_refused_with_the_registrys_words() {
    let registry = Distribution::start(Setup::Open).await;
    let bytes = Bytes::from(manifest_of(&Digest::sha256(b"absent"), 6));
    let client = registry.client();
    let put = put_v1(&client, "team/app", bytes);
    let error = put.await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    let text = error.to_string();
    assert!(
        text.starts_with("PUT /v2/team/app/manifests/v1 was answered 400: MANIFEST_BLOB_UNKNOWN"),
        "{text}"
    );
}

#[tokio::test]
async fn the_catalog_comes_in_pages() {
    let registry = Distribution::start(Setup::Open).await;
    let client = registry.client();
    for repository in ["a/x", "b/y", "c/z"] {
        let digest = Digest::sha256(b"{}");
        client
            .put_blob(&name(repository), &digest, 2, "{}".into())
            .await
            .unwrap();
        let bytes = manifest_of(&digest, 2).into();
        put_v1(&client, repository, bytes).await.unwrap();
    }
    let first = client.catalog(&PageOf::First { items: 2 }).await.unwrap();
    assert_eq!(first.items, [name("a/x"), name("b/y")]);
    let rest = client
        .catalog(&PageOf::Next(first.next.unwrap()))
        .await
        .unwrap();
    assert_eq!((rest.items, rest.next), (vec![name("c/z")], None));
}

#[tokio::test]
async fn referrers_fall_back_to_the_tag() {
    let registry = Distribution::start(Setup::Open).await;
    let (client, name) = (registry.client(), name("team/app"));
    let subject = Digest::sha256(b"subject");
    let none = client.referrers(&name, &subject, None).await.unwrap();
    assert_eq!(none, Referrers::Tag(vec![]));
    let config = Digest::sha256(b"{}");
    client
        .put_blob(&name, &config, 2, "{}".into())
        .await
        .unwrap();
    let signature = manifest_of(&config, 2);
    let digest = Digest::sha256(signature.as_bytes());
    let size = signature.len();
    let by_digest = Reference::Digest(digest.clone());
    client
        .put_manifest(
            &name,
            &by_digest,
            media_type::OCI_MANIFEST,
            signature.into(),
        )
        .await
        .unwrap();
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{}","digest":"{digest}","size":{size},"artifactType":"sig"}}]}}"#,
        media_type::OCI_INDEX,
        media_type::OCI_MANIFEST,
    );
    let fallback = tag(&subject.as_str().replace(':', "-"));
    client
        .put_manifest(&name, &fallback, media_type::OCI_INDEX, index.into())
        .await
        .unwrap();
    let found = client
        .referrers(&name, &subject, Some("sig"))
        .await
        .unwrap();
    assert_eq!(found.descriptors().len(), 1);
    assert_eq!(found.descriptors()[0].digest, digest);
    let others = client
        .referrers(&name, &subject, Some("other"))
        .await
        .unwrap();
    assert!(others.descriptors().is_empty());
}

#[tokio::test]
async fn basic_credentials_open_a_closed_registry() {
    let registry = Distribution::start(Setup::Htpasswd).await;
    let mut endpoint = registry.endpoint();
    let name = name("team/app");
    let digest = Digest::of(Algorithm::Sha256, b"content");
    let error = client(&endpoint)
        .head_blob(&name, &digest)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
    endpoint.credential = Some(alice("wrong"));
    let error = client(&endpoint).start_upload(&name).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
    endpoint.credential = Some(alice("wonderland"));
    let stream = Body::boxed(http_body_util::Full::new(Bytes::from_static(b"content")));
    client(&endpoint)
        .put_blob(&name, &digest, 7, stream)
        .await
        .unwrap();
    assert_eq!(
        client(&endpoint).head_blob(&name, &digest).await.unwrap(),
        Some(7)
    );
}
