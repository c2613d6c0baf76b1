use super::{Belief, KEPT, Place, Places};
use crate::{
    oci::{Digest, Reference},
    replication::{
        RegistryId,
        testing::{Rig, clock, name},
    },
    store::testing::databases,
};

/// The rig's remote registry, known, and the map of what it holds.
async fn known(rig: &Rig) -> (Places, RegistryId) {
    (
        Places::new((*rig.db).clone(), clock()),
        rig.register().await,
    )
}

fn held(belief: Belief) -> Option<Digest> {
    match belief {
        Belief::Held { digest, .. } => Some(digest),
        Belief::Unknown | Belief::Doubted { .. } => None,
    }
}

#[tokio::test]
async fn blobs_are_known_where_they_were_seen_until_forgotten() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let (places, registry) = known(&rig).await;
        let (here, there) = (name("a/b"), name("a/c"));
        let at = |repository| Place {
            registry,
            repository,
        };
        let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
        places.saw_blobs(at(&here), &[&one, &two, &one]).await;
        places.saw_blobs(at(&here), &[&one]).await;
        let found = places.known(at(&here), &[&one, &two]).await.unwrap();
        assert_eq!(found.len(), 2);
        assert!(places.known(at(&there), &[&one]).await.unwrap().is_empty());
        let elsewhere = places.elsewhere(at(&there), &one).await.unwrap();
        assert_eq!(elsewhere, Some(here.clone()));
        assert_eq!(places.elsewhere(at(&here), &one).await.unwrap(), None);
        places.forget_blob(at(&here), &one).await.unwrap();
        let found = places.known(at(&here), &[&one, &two]).await.unwrap();
        assert!(found.len() == 1 && found.contains(&two), "{found:?}");
        places.forget(at(&here)).await.unwrap();
        assert!(places.known(at(&here), &[&two]).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_reference_is_believed_only_when_nobody_else_changed_it_meanwhile() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let (places, registry) = known(&rig).await;
        let repository = name("a/b");
        let place = Place {
            registry,
            repository: &repository,
        };
        let tag: Reference = "v1".parse().unwrap();
        let (old, new) = (Digest::sha256(b"old"), Digest::sha256(b"new"));
        let believed = async || held(places.reference(place, &tag).await.unwrap());
        assert_eq!(
            places.reference(place, &tag).await.unwrap(),
            Belief::Unknown
        );

        let alone = places.claim(place, &tag).await.unwrap();
        assert_eq!(believed().await, None);
        places.settle(place, &tag, (alone, &old)).await;
        assert_eq!(believed().await, Some(old.clone()));

        let first = places.claim(place, &tag).await.unwrap();
        let second = places.claim(place, &tag).await.unwrap();
        places.settle(place, &tag, (second, &new)).await;
        places.settle(place, &tag, (first, &old)).await;
        assert_eq!(believed().await, None);

        // Whoever looked before somebody changed it knows nothing.
        let looked = places.reference(place, &tag).await.unwrap().claim();
        let changing = places.claim(place, &tag).await.unwrap();
        places.settle(place, &tag, (changing, &new)).await;
        places.settle(place, &tag, (looked, &old)).await;
        assert_eq!(believed().await, None);
    }
}

#[tokio::test]
async fn a_deleted_digest_takes_what_is_known_of_its_tags_along() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let (places, registry) = known(&rig).await;
        let repository = name("a/b");
        let place = Place {
            registry,
            repository: &repository,
        };
        let (gone, kept) = (Digest::sha256(b"gone"), Digest::sha256(b"kept"));
        for (tag, digest) in [("v1", &gone), ("v2", &kept)] {
            let tag: Reference = tag.parse().unwrap();
            let claim = places.claim(place, &tag).await.unwrap();
            places.settle(place, &tag, (claim, digest)).await;
        }
        let reference = Reference::Digest(gone);
        places.forget_reference(place, &reference).await.unwrap();
        for (tag, digest) in [("v1", None), ("v2", Some(kept))] {
            let found = places.reference(place, &tag.parse().unwrap()).await;
            assert_eq!(held(found.unwrap()), digest);
        }
    }
}

#[tokio::test]
async fn what_was_not_seen_for_long_is_forgotten() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let (places, registry) = known(&rig).await;
        let repository = name("a/b");
        let place = Place {
            registry,
            repository: &repository,
        };
        let blob = Digest::sha256(b"blob");
        places.saw_blobs(place, &[&blob]).await;
        let now = rig.replication.shared.clock.now();
        places.sweep(now).await.unwrap();
        assert_eq!(places.known(place, &[&blob]).await.unwrap().len(), 1);
        places.sweep(now.plus(KEPT * 2)).await.unwrap();
        assert!(places.known(place, &[&blob]).await.unwrap().is_empty());
    }
}
