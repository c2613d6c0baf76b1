use std::sync::Arc;

use http::StatusCode;

use crate::{
    embedded::{
        Registry,
        answer::{Answer, Draft, OCI_FILTERS_APPLIED},
        disk::Referrer,
    },
    oci::{Digest, RepositoryName, media_type::OCI_INDEX},
};

/// The answer's body (OCI distribution-spec, "Listing Referrers").
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Referrer>,
}

impl Registry {
    /// `GET /v2/<name>/referrers/<digest>`: end-12. Always 200: a 404 would tell clients that
    /// there is no such endpoint.
    pub(in crate::embedded) async fn referrers(
        &self,
        name: RepositoryName,
        subject: Digest,
        artifact_type: Option<String>,
    ) -> Answer {
        let disk = Arc::clone(&self.disk);
        let mut manifests = self
            .threads
            .run(move || disk.referrers(&name, &subject))
            .await?;
        let mut draft = Draft::new(StatusCode::OK);
        if let Some(wanted) = artifact_type {
            manifests.retain(|referrer| referrer.artifact_type.as_ref() == Some(&wanted));
            draft = draft.header(OCI_FILTERS_APPLIED, "artifactType");
        }
        let index = Index {
            schema_version: 2,
            media_type: OCI_INDEX,
            manifests,
        };
        draft.json(OCI_INDEX, &index)
    }
}
