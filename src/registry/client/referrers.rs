use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Client, call::Call, listing};
use crate::{
    oci::{Descriptor, Digest, Manifest, Reference, RepositoryName, Route, Tag, media_type},
    registry::{Error, Kind},
};

/// What refers to a manifest, and how the registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Referrers {
    /// By the referrers API (end-12).
    Api(Vec<Descriptor>),
    /// By the referrers tag, which clients keep (OCI distribution-spec, "Referrers Tag Schema").
    Tag(Vec<Descriptor>),
}

impl Referrers {
    pub fn descriptors(&self) -> &[Descriptor] {
        match self {
            Self::Api(descriptors) | Self::Tag(descriptors) => descriptors,
        }
    }
}

impl Client {
    /// Manifests whose subject is `digest`, those of one artifact type or all.
    pub async fn referrers(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Referrers, Error> {
        let found = self.referrers_by_api(name, digest, artifact_type).await?;
        let mut referrers = match found {
            Some(descriptors) => Referrers::Api(descriptors),
            None => Referrers::Tag(self.referrers_by_tag(name, digest).await?),
        };
        // A registry need not filter, and a tag cannot.
        let (Referrers::Api(all) | Referrers::Tag(all)) = &mut referrers;
        all.retain(|descriptor| {
            artifact_type.is_none_or(|wanted| descriptor.artifact_type.as_deref() == Some(wanted))
        });
        Ok(referrers)
    }

    /// Adds a descriptor to the referrers tag of `subject`, unless the registry has the API and so
    /// lists it by itself (OCI distribution-spec, "Pushing Manifests with Subject"). Two who do
    /// this at once may lose one of the entries.
    pub async fn list_referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        descriptor: Value,
    ) -> Result<(), Error> {
        let Some(tag) = referrers_tag(subject) else {
            return Ok(());
        };
        if self.referrers_by_api(name, subject, None).await?.is_some() {
            return Ok(());
        }
        let reference = Reference::Tag(tag);
        let mut index = match self.manifest(name, &reference).await {
            Ok(manifest) => serde_json::from_slice(&manifest.bytes).map_err(|error| {
                let operation = format!("GET /v2/{name}/manifests/{reference}");
                Error::malformed(&operation, error.to_string())
            })?,
            Err(error) if error.kind() == Kind::NotFound => json!({
                "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [],
            }),
            Err(error) => return Err(error),
        };
        let Some(listed) = index["manifests"].as_array_mut() else {
            let operation = format!("GET /v2/{name}/manifests/{reference}");
            return Err(Error::malformed(
                &operation,
                "the referrers tag is no index",
            ));
        };
        if listed
            .iter()
            .any(|one| one["digest"] == descriptor["digest"])
        {
            return Ok(());
        }
        listed.push(descriptor);
        let bytes = index.to_string().into();
        self.put_manifest(name, &reference, media_type::OCI_INDEX, bytes)
            .await
            .map(drop)
    }

    /// `None` when the registry has no such API: it says so, or answers with what is no index.
    async fn referrers_by_api(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        let mut call = Call::get(&Route::Referrers {
            name: name.clone(),
            digest: digest.clone(),
            artifact_type: artifact_type.map(ToOwned::to_owned),
            state: String::new(),
        });
        let mut all = Vec::new();
        loop {
            let answer = self.send(call).await?;
            if matches!(answer.status().as_u16(), 400 | 404 | 405 | 501) && all.is_empty() {
                return Ok(None);
            }
            let answer = answer.expect(&[StatusCode::OK]).await?;
            if answer.media_type() != media_type::OCI_INDEX {
                return Ok(None);
            }
            let next = listing::next(answer.response.headers());
            let index: Index = answer.json().await?;
            all.extend(index.manifests.unwrap_or_default());
            match next {
                Some(cursor) if all.len() < MAX_REFERRERS => {
                    call = Call::new(Method::GET, cursor.target());
                }
                _ => return Ok(Some(all)),
            }
        }
    }

    async fn referrers_by_tag(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, Error> {
        let Some(tag) = referrers_tag(digest) else {
            return Ok(Vec::new());
        };
        let manifest = match self.manifest(name, &Reference::Tag(tag.clone())).await {
            Ok(manifest) => manifest,
            Err(error) if error.kind() == Kind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let index = Manifest::parse(&manifest.media_type, &manifest.bytes).map_err(|error| {
            let operation = format!("GET /v2/{name}/manifests/{tag}");
            Error::malformed(&operation, error.to_string())
        })?;
        Ok(index.children)
    }
}

/// `sha256-<hex>`, cut to the length of a tag, as the schema says for longer digests.
fn referrers_tag(digest: &Digest) -> Option<Tag> {
    let text = format!("{}-{}", digest.algorithm().name(), digest.hex());
    text[..text.len().min(Tag::MAX_BYTES)].parse().ok()
}

#[derive(Deserialize)]
struct Index {
    manifests: Option<Vec<Descriptor>>,
}

/// A bound on what is held in memory; an image has some ten referrers.
const MAX_REFERRERS: usize = 10_000;
