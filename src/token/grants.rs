use super::{Actions, Grant};
use crate::{
    auth::{self, Auth, Principal, Resource, Verb},
    oci::{ActionSet, RepositoryName, Scope},
};

/// What of the scopes asked for the principal is given: exactly what was asked and is allowed,
/// for each repository by its full name. To be given less, or nothing, is no error.
pub(super) async fn grants(
    auth: &Auth,
    principal: &Principal,
    scopes: Vec<Scope>,
) -> Result<Vec<Grant>, auth::Error> {
    let mut grants = Vec::with_capacity(scopes.len());
    for scope in merge(scopes) {
        let actions = match scope.resource_type.as_str() {
            "repository" => Actions::On(on_repository(auth, principal, &scope).await?),
            "registry" if scope.name == "catalog" && scope.wildcard => on_catalog(auth, principal),
            _unknown => Actions::On(ActionSet::NONE),
        };
        grants.push(Grant {
            resource_type: scope.resource_type,
            name: scope.name,
            actions,
        });
    }
    Ok(grants)
}

async fn on_repository(
    auth: &Auth,
    principal: &Principal,
    scope: &Scope,
) -> Result<ActionSet, auth::Error> {
    let Ok(name) = scope.name.parse::<RepositoryName>() else {
        return Ok(ActionSet::NONE);
    };
    let allowed = auth.repository_actions(principal, &name).await?;
    Ok(scope.actions.intersection(allowed))
}

/// `*` opens the whole list of a registry that trusts our tokens itself. Our own list shows
/// everybody what they may pull.
fn on_catalog(auth: &Auth, principal: &Principal) -> Actions {
    if auth.permits_system(principal, Resource::Catalog, Verb::Read) {
        Actions::All
    } else {
        Actions::On(ActionSet::NONE)
    }
}

/// One entry for each resource, in the order of their first mention: containerd asks for one
/// repository twice with different actions.
fn merge(scopes: Vec<Scope>) -> Vec<Scope> {
    let mut merged: Vec<Scope> = Vec::with_capacity(scopes.len());
    for scope in scopes {
        let same = merged
            .iter_mut()
            .find(|known| known.resource_type == scope.resource_type && known.name == scope.name);
        match same {
            Some(known) => {
                known.actions = known.actions.union(scope.actions);
                known.wildcard |= scope.wildcard;
            }
            None => merged.push(scope),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_one_repository_are_merged_and_others_kept_apart() {
        let scopes = [
            "repository:ctr/app:pull",
            "repository:ctr/app2:pull",
            "repository:ctr/app:pull,push",
            "registry:ctr/app:*",
        ];
        let scopes = scopes
            .iter()
            .map(|text| Scope::parse(text).unwrap())
            .collect();
        let merged: Vec<_> = merge(scopes).iter().map(ToString::to_string).collect();
        let expected = [
            "repository:ctr/app:pull,push",
            "repository:ctr/app2:pull",
            "registry:ctr/app:*",
        ];
        assert_eq!(merged, expected);
    }
}
