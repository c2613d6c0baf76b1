use super::{
    Auth, Error, Grant, Grants, Level, Permission, PermissionKind, Principal, grants::Place,
};
use crate::auth::{Resource, Verb, projects::Project};

/// Permissions that were checked and tied to the projects they name.
pub(super) struct Placed {
    pub grants: Vec<Grant>,
    /// The project a project robot belongs to.
    pub project: Option<Project>,
}

impl Auth {
    /// Checks what a robot shall be granted, and that the one who grants has it if it is a
    /// robot itself.
    pub(super) async fn place_permissions(
        &self,
        granter: &Principal,
        level: Level,
        permissions: &[Permission],
    ) -> Result<Placed, Error> {
        let placed = match level {
            Level::System => self.place_in_system(permissions).await?,
            Level::Project => self.place_in_project(permissions).await?,
        };
        if let Principal::Robot { name, grants, .. } = granter
            && !grants.covers(&Grants::of(&placed.grants))
        {
            return Err(Error::Forbidden(format!(
                "robot account {name} can only grant permissions it has itself"
            )));
        }
        Ok(placed)
    }

    async fn place_in_system(&self, permissions: &[Permission]) -> Result<Placed, Error> {
        let mut grants = Vec::with_capacity(permissions.len());
        for permission in permissions {
            permission.check()?;
            let place = match (permission.kind, permission.namespace.as_str()) {
                (PermissionKind::System, "/") => Place::System,
                (PermissionKind::System, other) => {
                    return Err(Error::Invalid(format!(
                        "a permission of kind system has the namespace `/`, not `{other}`"
                    )));
                }
                (PermissionKind::Project, "*") => Place::EveryProject,
                (PermissionKind::Project, name) => {
                    Place::Project(self.project_named(name).await?.id)
                }
            };
            grants.push(Grant {
                place,
                permission: permission.clone(),
            });
        }
        if grants.is_empty() {
            return Err(Error::Invalid(
                "a robot account needs at least one permission".to_owned(),
            ));
        }
        Ok(Placed {
            grants,
            project: None,
        })
    }

    async fn place_in_project(&self, permissions: &[Permission]) -> Result<Placed, Error> {
        let [permission] = permissions else {
            return Err(Error::Invalid(
                "a project robot has exactly one permission, for its project".to_owned(),
            ));
        };
        if permission.kind != PermissionKind::Project || permission.namespace == "*" {
            return Err(Error::Invalid(
                "a project robot has a permission of kind project whose namespace is the \
                 project's name"
                    .to_owned(),
            ));
        }
        permission.check()?;
        let set = permission.access_set();
        let repository = |verb| set.contains(Resource::Repository, verb);
        if repository(Verb::Push) && !repository(Verb::Pull) {
            return Err(Error::Invalid(
                "who may push must also be granted pull on repository".to_owned(),
            ));
        }
        let project = self.project_named(&permission.namespace).await?;
        Ok(Placed {
            grants: vec![Grant {
                place: Place::Project(project.id),
                permission: permission.clone(),
            }],
            project: Some(project),
        })
    }
}
