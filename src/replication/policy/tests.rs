use serde_json::json;

use super::*;
use crate::{
    oci::Digest,
    replication::{ChangeKind, Origin},
};

pub(crate) fn spec() -> PolicySpec {
    PolicySpec {
        name: "mirror".to_owned(),
        description: String::new(),
        source: RegistryId::LOCAL,
        destination: RegistryId(1),
        trigger: Trigger::EventBased,
        filters: Vec::new(),
        namespace: Namespace {
            path: String::new(),
            replace: Replace::All,
        },
        deletion: false,
        overwrite: true,
        enabled: true,
        speed_kbps: None,
        copy_by_chunk: false,
        single_active: false,
        bidirectional: false,
        tee: true,
        runs_delete: false,
        deletion_limit: DeletionLimit::default(),
        copy_foreign_layers: false,
    }
}

fn push(repository: &str, reference: &str) -> Change {
    Change {
        repository: repository.parse().unwrap(),
        kind: ChangeKind::Push {
            reference: reference.parse().unwrap(),
            tags: Vec::new(),
            digest: Digest::sha256(b"x"),
            blob_bytes: None,
        },
        actor: String::new(),
        origin: Origin::default(),
    }
}

fn filters(raw: serde_json::Value) -> Vec<Filter> {
    serde_json::from_value(raw).unwrap()
}

#[test]
fn an_event_concerns_the_policies_whose_filters_all_accept_it() {
    let policy = PolicySpec {
        filters: filters(json!([
            {"type": "name", "value": "library/**"},
            {"type": "tag", "value": "v*", "decoration": "matches"},
            {"type": "tag", "value": "*-rc", "decoration": "excludes"},
        ])),
        ..spec()
    };
    for (repository, reference, concerned) in [
        ("library/app", "v1", true),
        ("library/a/b", "v1", true),
        ("other/app", "v1", false),
        ("library/app", "latest", false),
        ("library/app", "v1-rc", false),
        ("library/app", Digest::sha256(b"x").as_str(), false),
    ] {
        let affected = policy.affected(&push(repository, reference));
        assert_eq!(!affected.is_empty(), concerned, "{repository} {reference}");
    }
}

#[test]
fn only_enabled_event_based_policies_with_a_local_source_hear_events() {
    let change = push("a/b", "v1");
    assert_eq!(spec().affected(&change).len(), 1);
    let deaf = [
        PolicySpec {
            enabled: false,
            ..spec()
        },
        PolicySpec {
            trigger: Trigger::Manual,
            ..spec()
        },
        PolicySpec {
            source: RegistryId(1),
            destination: RegistryId::LOCAL,
            ..spec()
        },
    ];
    for policy in deaf {
        assert!(policy.affected(&change).is_empty(), "{policy:?}");
    }
}

#[test]
fn deletions_concern_only_policies_that_replicate_them() {
    let change = Change {
        kind: ChangeKind::DeleteTag {
            tag: "v1".parse().unwrap(),
            digest: None,
        },
        ..push("a/b", "v1")
    };
    assert!(spec().affected(&change).is_empty());
    let deleting = PolicySpec {
        deletion: true,
        ..spec()
    };
    assert_eq!(deleting.affected(&change).len(), 1);
}

#[test]
fn a_label_concerns_only_policies_that_ask_for_labels() {
    let change = Change {
        kind: ChangeKind::Label {
            digest: Digest::sha256(b"x"),
            tags: vec!["v1".parse().unwrap()],
        },
        ..push("a/b", "v1")
    };
    assert!(spec().affected(&change).is_empty());
    let asking = PolicySpec {
        filters: filters(json!([{"type": "label", "value": ["tested"]}])),
        ..spec()
    };
    assert_eq!(asking.affected(&change), ["v1".parse().unwrap()]);
    let repository = &change.repository;
    assert!(spec().tees(repository));
    assert!(!asking.tees(repository), "nobody knows the labels so early");
}

#[test]
fn a_run_deletes_no_more_than_it_may() {
    let limit = |count, percent| DeletionLimit { count, percent };
    for (limit, gone, held, is_refused) in [
        (limit(None, None), 10, 10, false),
        (limit(Some(3), None), 3, 10, false),
        (limit(Some(3), None), 4, 10, true),
        (limit(Some(0), None), 0, 0, false),
        (limit(None, Some(50)), 5, 10, false),
        (limit(None, Some(50)), 6, 10, true),
        (limit(Some(9), Some(50)), 6, 10, true),
        (limit(None, Some(100)), 10, 10, false),
    ] {
        let objection = limit.objection(gone, held);
        assert_eq!(
            objection.is_some(),
            is_refused,
            "{limit:?} {gone} of {held}"
        );
    }
}
