use http::Request;

use crate::{
    oci::{Action, ActionSet, RepositoryName, Route, Scope},
    wire::Body,
};

/// What a request needs to be allowed; a request extension where its path does not tell, as with
/// upload sessions whose path is the registry's own invention.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Access(Vec<Scope>);

impl Access {
    pub(crate) fn push(name: &RepositoryName) -> Self {
        Self(vec![Scope::repository(name.as_str(), ActionSet::PULL_PUSH)])
    }

    /// What `request` carries as extension, else what its method and path say.
    pub(super) fn of(request: &Request<Body>) -> Self {
        if let Some(stated) = request.extensions().get::<Self>() {
            return stated.clone();
        }
        let uri = request.uri();
        Route::parse(request.method(), uri.path(), uri.query())
            .map_or(Self(Vec::new()), |route| Self::of_route(&route, request))
    }

    fn of_route(route: &Route, request: &Request<Body>) -> Self {
        if matches!(route, Route::Catalog { .. }) {
            return Self(vec![all("registry", "catalog")]);
        }
        let Some(name) = route.repository() else {
            return Self(Vec::new());
        };
        let needs = route.needs(request.method());
        // Deleting asks for everything, as skopeo does: what the right is called differs
        // between registries, and some refuse a scope with a word they do not know.
        let mut scopes = vec![if needs.contains(ActionSet::DELETE) {
            all("repository", name.as_str())
        } else {
            Scope::repository(name.as_str(), needs)
        }];
        if let Route::StartUpload {
            mount: Some(mount), ..
        } = route
            && let Some(from) = &mount.from
        {
            let pull = ActionSet::NONE.with(Action::Pull);
            scopes.push(Scope::repository(from.as_str(), pull));
        }
        Self(scopes)
    }

    pub(super) fn scopes(&self) -> &[Scope] {
        &self.0
    }

    /// The scopes as one space-separated list; the key of a cached token.
    pub(super) fn key(&self) -> String {
        let scopes: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        scopes.join(" ")
    }
}

fn all(resource_type: &str, name: &str) -> Scope {
    Scope {
        resource_type: resource_type.to_owned(),
        name: name.to_owned(),
        actions: ActionSet::ALL,
        wildcard: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scopes_follow_from_method_and_path() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let mount = format!("/v2/a/b/blobs/uploads/?mount={digest}&from=c%2Fd");
        let blob = format!("/v2/a/b/blobs/{digest}");
        for (method, target, expected) in [
            ("GET", "/v2/", ""),
            ("GET", "/v2/_catalog?n=5", "registry:catalog:*"),
            ("GET", "/v2/a/b/manifests/v1", "repository:a/b:pull"),
            ("HEAD", &blob, "repository:a/b:pull"),
            ("PUT", "/v2/a/b/manifests/v1", "repository:a/b:pull,push"),
            ("DELETE", "/v2/a/b/manifests/v1", "repository:a/b:*"),
            ("POST", "/v2/a/b/blobs/uploads/", "repository:a/b:pull,push"),
            (
                "POST",
                &mount,
                "repository:a/b:pull,push repository:c/d:pull",
            ),
            (
                "DELETE",
                "/v2/a/b/blobs/uploads/1",
                "repository:a/b:pull,push",
            ),
            ("GET", "/elsewhere", ""),
        ] {
            let request = Request::builder().method(method).uri(target);
            let access = Access::of(&request.body(Body::Empty).unwrap());
            assert_eq!(access.key(), expected, "{method} {target}");
        }
    }
}
