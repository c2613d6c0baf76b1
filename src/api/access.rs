//! May the caller do this, and to which project.

use super::{
    Api,
    caller::Caller,
    error::Error,
    path::{PathParameters, ProjectReference},
};
use crate::{
    auth::{
        self, ProjectId, Resource, Verb,
        projects::{Project, Scope},
    },
    store::Listing,
};

impl Api {
    /// Refuses unless the caller may do this in the whole system.
    pub(super) fn system(
        &self,
        caller: &Caller,
        resource: Resource,
        verb: Verb,
    ) -> Result<(), Error> {
        if self.auth.permits_system(&caller.principal, resource, verb) {
            return Ok(());
        }
        Err(caller.refusal())
    }

    /// The project named in the path, if the caller may do this in it.
    ///
    /// That a project does not exist is told to system administrators only; others get the
    /// same refusal as for a project they may not see.
    pub(super) async fn project(
        &self,
        caller: &Caller,
        path: &PathParameters,
        (resource, verb): (Resource, Verb),
    ) -> Result<Project, Error> {
        self.project_of(caller, path.project(), (resource, verb))
            .await
    }

    /// Likewise where the path takes a name only.
    pub(super) async fn project_named(
        &self,
        caller: &Caller,
        path: &PathParameters,
        may: (Resource, Verb),
    ) -> Result<Project, Error> {
        let name = path.text("project_name_or_id").to_owned();
        self.project_of(caller, ProjectReference::Name(name), may)
            .await
    }

    pub(super) async fn project_of(
        &self,
        caller: &Caller,
        reference: ProjectReference,
        (resource, verb): (Resource, Verb),
    ) -> Result<Project, Error> {
        let found = self.find_project(&reference).await?;
        let Some(project) = found else {
            if caller.principal.is_system_admin() {
                return Err(Error::not_found("project", reference));
            }
            return Err(caller.refusal());
        };
        let principal = &caller.principal;
        let permitted = self.auth.permits(principal, project.id, resource, verb);
        if permitted.await? {
            Ok(project)
        } else {
            Err(caller.refusal())
        }
    }

    /// The projects, of those in `scope`, in which the caller may do this.
    pub(super) async fn permitted_projects(
        &self,
        caller: &Caller,
        scope: Scope,
        (resource, verb): (Resource, Verb),
    ) -> Result<Vec<Project>, Error> {
        let principal = &caller.principal;
        let all = Listing::default();
        let page = self.auth.projects(principal, scope, &all).await?;
        let mut permitted = Vec::new();
        for project in page.items {
            let may = self.auth.permits(principal, project.id, resource, verb);
            if may.await? {
                permitted.push(project);
            }
        }
        Ok(permitted)
    }

    pub(super) async fn find_project(
        &self,
        reference: &ProjectReference,
    ) -> Result<Option<Project>, Error> {
        let found = match reference {
            ProjectReference::Id(id) => self.auth.project(ProjectId(*id)).await,
            ProjectReference::Name(name) => self.auth.project_named(name).await,
        };
        match found {
            Ok(project) => Ok(Some(project)),
            Err(error) if error.kind() == auth::Kind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
