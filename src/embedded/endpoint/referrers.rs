use std::sync::Arc;

use http::{StatusCode, header::LINK};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

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

/// Which referrers are asked for.
#[derive(Debug)]
pub(in crate::embedded) struct ReferrersQuery {
    pub(in crate::embedded) subject: Digest,
    pub(in crate::embedded) artifact_type: Option<String>,
    /// What our own `Link` put there: `last=sha256-…`.
    pub(in crate::embedded) state: String,
}

impl Registry {
    /// `GET /v2/<name>/referrers/<digest>`: end-12. Always 200: a 404 would tell clients that
    /// there is no such endpoint.
    pub(in crate::embedded) async fn referrers(
        &self,
        name: RepositoryName,
        asked: ReferrersQuery,
    ) -> Answer {
        let path = format!("/v2/{name}/referrers/{}", asked.subject);
        let filter = asked.artifact_type.clone();
        let disk = Arc::clone(&self.disk);
        let page = self
            .threads
            .run(move || {
                let last = asked.state.split('&').find_map(|p| p.strip_prefix("last="));
                let wanted = |referrer: &Referrer| {
                    let wanted = asked.artifact_type.as_ref();
                    wanted.is_none_or(|wanted| referrer.artifact_type.as_ref() == Some(wanted))
                };
                disk.referrers(&name, &asked.subject, last, wanted)
            })
            .await?;
        let mut draft = Draft::new(StatusCode::OK);
        if filter.is_some() {
            draft = draft.header(OCI_FILTERS_APPLIED, "artifactType");
        }
        if let Some(last) = &page.next_after {
            draft = draft.header(LINK, &next_page(&path, last, filter.as_deref()));
        }
        let index = Index {
            schema_version: 2,
            media_type: OCI_INDEX,
            manifests: page.referrers,
        };
        draft.json(OCI_INDEX, &index)
    }
}

fn next_page(path: &str, last: &str, artifact_type: Option<&str>) -> String {
    let filter = artifact_type.map_or_else(String::new, |text| {
        format!(
            "&artifactType={}",
            utf8_percent_encode(text, NON_ALPHANUMERIC)
        )
    });
    format!("<{path}?last={last}{filter}>; rel=\"next\"")
}
