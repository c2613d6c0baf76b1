//! Any order of pushes, deletions and collections.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{HOUR, assert_blob, bytes_on_disk, collect, delete, now};
use crate::{
    embedded::{
        Collection,
        tests::{Fixture, fixture::image},
    },
    oci::Digest,
};

/// Something a client or the collector does; numbers choose repositories, tags and layers.
#[derive(Debug, Clone)]
enum Step {
    Push { name: u8, tag: u8, layer: u8 },
    Upload { name: u8, layer: u8 },
    Untag { name: u8, tag: u8 },
    Delete { name: u8, layer: u8 },
    Collect { quarantine: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let (name, tag, layer) = (0..3u8, 0..2u8, 0..4u8);
    prop_oneof![
        (name.clone(), tag.clone(), layer.clone()).prop_map(|(name, tag, layer)| Step::Push {
            name,
            tag,
            layer
        }),
        (name.clone(), layer.clone()).prop_map(|(name, layer)| Step::Upload { name, layer }),
        (name.clone(), tag).prop_map(|(name, tag)| Step::Untag { name, tag }),
        (name, layer).prop_map(|(name, layer)| Step::Delete { name, layer }),
        (0..2u32).prop_map(|quarantine| Step::Collect { quarantine }),
    ]
}

/// What should be there: the layer of each tag, and of each manifest, by repository.
#[derive(Debug, Default)]
struct Model {
    tags: BTreeMap<(u8, u8), u8>,
    manifests: BTreeSet<(u8, u8)>,
}

impl Model {
    async fn take(&mut self, fixture: &Fixture, step: &Step) {
        match *step {
            Step::Push { name, tag, layer } => {
                self.tags.insert((name, tag), layer);
                self.manifests.insert((name, layer));
                let (name, tag) = (format!("a/{name}"), format!("v{tag}"));
                fixture.push_image(&name, &tag, &[layer]).await;
            }
            Step::Upload { name, layer } => {
                fixture.push_blob(&format!("a/{name}"), &[layer]).await;
            }
            Step::Untag { name, tag } => {
                let was_there = self.tags.remove(&(name, tag)).is_some();
                let target = format!("DELETE /v2/a/{name}/manifests/v{tag}");
                let status = if was_there { 202 } else { 404 };
                fixture.ask(&target).await.is(status);
            }
            Step::Delete { name, layer } => {
                if self.manifests.remove(&(name, layer)) {
                    let digest = Digest::sha256(image(&[layer], "").as_bytes());
                    delete(fixture, &format!("a/{name}"), &digest).await;
                }
                self.tags
                    .retain(|(of, _), has| (*of, *has) != (name, layer));
            }
            Step::Collect { quarantine } => {
                let quarantine = HOUR * quarantine;
                let collection = Collection {
                    quarantine,
                    ..now()
                };
                collect(fixture, collection).await;
            }
        }
    }

    async fn check(&self, fixture: &Fixture) {
        for ((name, tag), layer) in &self.tags {
            let manifest = format!("GET /v2/a/{name}/manifests/v{tag}");
            let json = fixture.ask(&manifest).await.is(200).body.clone();
            assert_eq!(json, image(&[*layer], "").into_bytes());
        }
        for (name, layer) in &self.manifests {
            for content in [&b"{}"[..], &[*layer]] {
                assert_blob(fixture, &format!("a/{name}"), content, 200).await;
            }
        }
    }

    /// Of everything that is referred to.
    fn bytes(&self) -> u64 {
        let layers: BTreeSet<u8> = self.manifests.iter().map(|(_, layer)| *layer).collect();
        let images = layers.iter().map(|layer| image(&[*layer], "").len() + 1);
        let config = if layers.is_empty() { 0 } else { b"{}".len() };
        (images.sum::<usize>() + config) as u64
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn in_the_end_everything_referred_to_is_there_and_nothing_else(
        steps in proptest::collection::vec(step(), 1..30)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (fixture, mut model) = (Fixture::new(), Model::default());
            for step in &steps {
                model.take(&fixture, step).await;
                model.check(&fixture).await;
            }
            collect(&fixture, now()).await;
            model.check(&fixture).await;
            assert_eq!(bytes_on_disk(&fixture), model.bytes());
            let repositories = fixture.ask("GET /v2/_catalog").await.json();
            let left: BTreeSet<u8> = model.manifests.iter().map(|(name, _)| *name).collect();
            assert_eq!(repositories["repositories"].as_array().unwrap().len(), left.len());
        });
    }
}
