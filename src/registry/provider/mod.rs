//! What differs between registries that all speak the distribution API.
//!
//! [`Provider`] is one of Harbor's adapter types; [`Traits`] is its line in the table below: where
//! it is, how one signs in, what it lists and deletes. A provider that wants requests written in
//! another way has a file of its own. Must not know who asks, nor how bytes are carried.

mod docker_hub;
mod harbor;
mod traits;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use super::{Authentication, Credential, Endpoint, EndpointUrl, endpoint::Account};
use crate::{
    oci::{ErrorCode, Route},
    wire::Body,
};

pub(super) use harbor::{REPOSITORIES as HARBOR_REPOSITORIES, catalog as harbor_catalog};
pub use traits::{AccessKey, Addresses, Listed, Traits};

/// The type of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Provider {
    AwsEcr,
    AzureAcr,
    DockerHub,
    /// Any registry that speaks the distribution specification.
    #[default]
    DockerRegistry,
    GithubGhcr,
    Gitlab,
    /// Artifact Registry and Container Registry.
    GoogleGcr,
    Harbor,
    JfrogArtifactory,
    Quay,
}

/// What becomes of a request to a provider.
pub(super) enum Adapted {
    Send(Request<Body>),
    /// The provider cannot do this; nothing need be sent to learn it.
    Refused(Response<Body>),
}

impl Provider {
    /// In the order of their names.
    pub const ALL: [Self; 10] = [
        Self::AwsEcr,
        Self::AzureAcr,
        Self::DockerHub,
        Self::DockerRegistry,
        Self::GithubGhcr,
        Self::Gitlab,
        Self::GoogleGcr,
        Self::Harbor,
        Self::JfrogArtifactory,
        Self::Quay,
    ];

    /// Harbor's name of the type.
    pub const fn name(self) -> &'static str {
        self.traits().name
    }

    /// The type that Harbor calls `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.name() == name)
    }

    /// The address of a provider that has only one.
    pub fn default_url(self) -> Option<&'static str> {
        match self.traits().addresses {
            Addresses::One(_name, url) => Some(url),
            Addresses::Any | Addresses::Known(_) => None,
        }
    }

    /// Where the registry API is, if people know the provider by another address.
    pub(super) fn registry_url(self, url: &EndpointUrl) -> EndpointUrl {
        match self {
            Self::DockerHub => docker_hub::registry_url(url),
            _ => url.clone(),
        }
    }

    pub(super) fn authentication(self, endpoint: &Endpoint) -> Authentication {
        let credential = endpoint.credential.clone();
        match (self, credential) {
            // `AWS` is who `aws ecr get-login-password` makes passwords for.
            (
                Self::AwsEcr,
                Some(Credential::Basic {
                    username: key,
                    password: secret,
                }),
            ) if key != "AWS" => Authentication::AwsEcr(Account { key, secret }),
            // Who signs in by `az acr login --expose-token` has a refresh token.
            (Self::AzureAcr, Some(Credential::Basic { username, password }))
                if username == ACR_TOKEN_USER =>
            {
                Authentication::Challenge(Some(Credential::IdentityToken(password)))
            }
            (_, credential) => Authentication::Challenge(credential),
        }
    }

    /// The request as this provider wants it.
    pub(super) fn adapt(self, request: Request<Body>) -> Adapted {
        let traits = self.traits();
        let is_catalog = request.uri().path() == CATALOG;
        match traits.lists {
            Listed::Nothing(reason) if is_catalog => return refused(reason),
            Listed::HarborProjects if is_catalog => return Adapted::Send(harbor::listing(request)),
            _ => {}
        }
        if *request.method() == Method::DELETE
            && let Some(reason) = traits.keeps_manifests
            && request.uri().path().contains("/manifests/")
        {
            return refused(reason);
        }
        Adapted::Send(match self {
            Self::DockerHub => docker_hub::official(request),
            _ => request,
        })
    }

    /// The repository that must be there before this upload can begin; only of providers that do
    /// not make repositories on push.
    pub(super) fn must_exist(self, request: &Request<Body>) -> Option<String> {
        if self != Self::AwsEcr || *request.method() != Method::POST {
            return None;
        }
        let uri = request.uri();
        match Route::parse(request.method(), uri.path(), uri.query()) {
            Ok(Route::StartUpload { name, .. }) => Some(name.to_string()),
            _ => None,
        }
    }
}

fn refused(reason: &str) -> Adapted {
    let mut answer = Response::new(Body::from(ErrorCode::Unsupported.body(reason)));
    *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    Adapted::Refused(answer)
}

const CATALOG: &str = "/v2/_catalog";
/// The user name that Azure's documentation gives for a refresh token as password.
const ACR_TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_name_and_place_in_the_order() {
        let names = Provider::ALL.map(Provider::name);
        assert!(names.is_sorted(), "{names:?}");
        for provider in Provider::ALL {
            assert_eq!(Provider::named(provider.name()), Some(provider));
        }
        assert_eq!(Provider::named("google"), None);
    }
}
