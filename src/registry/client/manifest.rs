use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::{
    Client,
    call::{Answer, Call},
};
use crate::{
    oci::{
        Algorithm, Digest, MANIFEST_MEDIA_TYPES, MAX_MANIFEST_BYTES, Reference, RepositoryName,
        Route,
    },
    registry::{Error, Kind},
};

/// What a registry says of a manifest without sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    pub digest: Digest,
    pub media_type: String,
    pub size_bytes: Option<u64>,
}

/// A manifest whose bytes were checked against its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteManifest {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Bytes,
}

/// A manifest that a registry has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutManifest {
    pub digest: Digest,
    /// The registry has seen the manifest's subject and lists it as a referrer by itself
    /// (`OCI-Subject`). If not, the referrers tag is the client's to keep.
    pub lists_referrer: bool,
}

/// How a deletion ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    Deleted,
    /// There was nothing to delete.
    Absent,
}

impl Client {
    /// Digest, type and size of a manifest; `None` when it is not there (end-3).
    ///
    /// A registry that does not tell the digest is asked for the manifest itself.
    pub async fn head_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<ManifestHead>, Error> {
        let call = accepting(Call::head(&route(name, reference)));
        let answer = self.follow(call).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = answer.expect(&[StatusCode::OK]).await?;
        let stated = answer.digest().or_else(|| match reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(_) => None,
        });
        if let Some(digest) = stated {
            return Ok(Some(ManifestHead {
                digest,
                media_type: answer.media_type(),
                size_bytes: answer.length(),
            }));
        }
        match self.manifest(name, reference).await {
            Ok(manifest) => Ok(Some(ManifestHead {
                digest: manifest.digest,
                media_type: manifest.media_type,
                size_bytes: Some(manifest.bytes.len() as u64),
            })),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A manifest of at most [`MAX_MANIFEST_BYTES`], checked against the digest it was asked by
    /// or the registry states (end-3).
    pub async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<RemoteManifest, Error> {
        let call = accepting(Call::get(&route(name, reference)));
        let answer = self.follow(call).await?.expect(&[StatusCode::OK]).await?;
        let expected = match reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(_) => answer.digest(),
        };
        let media_type = answer.media_type();
        let (operation, bytes) = answer.bytes(MAX_MANIFEST_BYTES).await?;
        let digest = check(&operation, expected, &bytes)?;
        Ok(RemoteManifest {
            digest,
            media_type,
            bytes,
        })
    }

    /// Stores a manifest byte for byte, and makes sure that the registry has (end-7).
    ///
    /// 201 is the specification's answer; Quay gives 202, others 200. An answer that does not
    /// name the digest is not believed until the registry shows the manifest.
    pub async fn put_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<PutManifest, Error> {
        let route = route(name, reference);
        let content_type = HeaderValue::from_str(media_type).map_err(|_malformed| {
            let operation = format!("PUT {}", route.path_and_query());
            Error::malformed(&operation, format!("`{media_type}` is not a media type"))
        })?;
        let call = Call::of(Method::PUT, &route)
            .header(header::CONTENT_TYPE, content_type)
            .body(bytes.len() as u64, bytes.clone().into());
        let statuses = [StatusCode::CREATED, StatusCode::ACCEPTED, StatusCode::OK];
        let answer = self.send(call).await?.expect(&statuses).await?;
        let (lists_referrer, stated) = (answer.header(SUBJECT).is_some(), answer.digest());
        let operation = answer.operation;
        let stated = match stated {
            Some(digest) => digest,
            None => self.stored_digest(name, reference, &operation).await?,
        };
        // The registry may name a sha512 manifest by its sha256 digest; both are of these bytes.
        let digest = Digest::of(stated.algorithm(), &bytes);
        if digest != stated {
            return Err(Error::Stored {
                operation,
                expected: digest,
                actual: stated,
            });
        }
        Ok(PutManifest {
            digest,
            lists_referrer,
        })
    }

    async fn stored_digest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        operation: &str,
    ) -> Result<Digest, Error> {
        let stored = self.head_manifest(name, reference).await?;
        let missing = "the registry took the manifest, but does not have it";
        stored
            .map(|head| head.digest)
            .ok_or_else(|| Error::malformed(operation, missing))
    }

    /// Deletes a tag alone, or a manifest with every tag that points to it (end-9).
    ///
    /// [`Kind::Unsupported`] when the registry cannot: 405, the code `UNSUPPORTED`, or for a tag
    /// 400 `DIGEST_INVALID`, by which distribution 2.8 says that it deletes by digest only.
    pub async fn delete_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Deletion, Error> {
        let call = Call::of(Method::DELETE, &route(name, reference));
        match deletion(self.send(call).await?).await {
            Err(Error::Refused(mut refusal))
                if matches!(reference, Reference::Tag(_))
                    && refusal.status == StatusCode::BAD_REQUEST
                    && refusal.code == "DIGEST_INVALID" =>
            {
                refusal.code = "UNSUPPORTED".into();
                refusal.message = "this registry deletes by digest only".into();
                Err(refusal.into())
            }
            other => other,
        }
    }
}

/// 202 as specified, 200 and 204 as seen; 404 is as good.
pub(super) async fn deletion(answer: Answer) -> Result<Deletion, Error> {
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(Deletion::Absent);
    }
    let statuses = [StatusCode::ACCEPTED, StatusCode::OK, StatusCode::NO_CONTENT];
    answer
        .expect(&statuses)
        .await
        .map(|_answer| Deletion::Deleted)
}

fn route(name: &RepositoryName, reference: &Reference) -> Route {
    Route::Manifest {
        name: name.clone(),
        reference: reference.clone(),
        tags: Vec::new(),
    }
}

fn accepting(call: Call) -> Call {
    call.header(
        header::ACCEPT,
        HeaderValue::from_static(MANIFEST_MEDIA_TYPES),
    )
}

/// The digest of `bytes`, an error when it is not the expected one.
fn check(operation: &str, expected: Option<Digest>, bytes: &[u8]) -> Result<Digest, Error> {
    let algorithm = expected
        .as_ref()
        .map_or(Algorithm::Sha256, Digest::algorithm);
    let actual = Digest::of(algorithm, bytes);
    match expected.filter(|expected| *expected != actual) {
        None => Ok(actual),
        Some(expected) => Err(Error::Corrupt {
            operation: operation.to_owned(),
            expected,
            actual,
        }),
    }
}

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
