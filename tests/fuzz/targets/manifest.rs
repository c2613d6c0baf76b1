//! Manifests, behind a line with their media type: everything that one points to is what its JSON
//! says, and nothing else.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidegate::oci::{Descriptor, Digest, MANIFEST_MEDIA_TYPES, Manifest};

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (first, json) = (lines.next(), lines.next().unwrap_or_default());
    let Some(Ok(content_type)) = first.map(str::from_utf8) else {
        return;
    };
    let Ok(manifest) = Manifest::parse(content_type, json) else {
        return;
    };
    let known = MANIFEST_MEDIA_TYPES.split(", ");
    assert!(known.clone().any(|one| one == manifest.media_type));
    // Text that nobody looks at may be malformed.
    let Ok(value) = serde_json::from_slice::<Value>(json) else {
        return;
    };
    let config: Vec<Value> = value
        .get("config")
        .filter(|one| !one.is_null())
        .cloned()
        .into_iter()
        .collect();
    let blobs = [config, list(&value["layers"]), list(&value["blobs"])].concat();
    compare(&manifest.blobs, &blobs);
    compare(&manifest.children, &list(&value["manifests"]));
    let subject = value.get("subject").filter(|one| !one.is_null()).cloned();
    compare(manifest.subject.as_slice(), subject.as_slice());
    check_held(&manifest);
});

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn compare(read: &[Descriptor], written: &[Value]) {
    assert_eq!(read.len(), written.len());
    for (descriptor, value) in read.iter().zip(written) {
        let digest = descriptor.digest.as_str();
        assert_eq!(value["digest"], *digest);
        assert_eq!(value["size"].as_u64(), Some(descriptor.size));
        let again = digest.parse::<Digest>();
        assert_eq!(again.as_ref(), Ok(&descriptor.digest));
    }
}

fn check_held(manifest: &Manifest) {
    let held = manifest.held_blobs();
    assert!(held.is_sorted_by(|a, b| a.digest.as_str() < b.digest.as_str()));
    for blob in &manifest.blobs {
        let is_held = held.iter().any(|one| one.digest == blob.digest);
        assert!(is_held || blob.is_foreign());
        assert!(blob.is_foreign() || manifest.blob_bytes() >= blob.size);
    }
}
