//! What must be there before a push can be shown: a project, a user, a target, a policy.

use crate::{
    auth::{
        Auth, Principal, Role,
        projects::NewProject,
        users::{NewUser, Profile},
    },
    replication::{
        NewRegistry, PolicySpec, RegistryId, Replication, Trigger,
        policy::{DeletionLimit, Namespace, Replace},
    },
    secret::{self, Secret},
};

/// Who pushes what.
pub(super) struct Scene {
    pub user: String,
    pub password: Secret,
    pub repository: String,
    pub tag: String,
}

impl Scene {
    /// Makes it in the gateway's database; the mirror must be serving.
    pub(super) async fn set(
        auth: Auth,
        replication: Replication,
        mirror_url: &str,
    ) -> anyhow::Result<Self> {
        let scene = Self {
            user: "demo".to_owned(),
            password: password(),
            repository: "demo/hello".to_owned(),
            tag: "v1".to_owned(),
        };
        let admin = auth
            .principal("admin")
            .await?
            .unwrap_or(Principal::Anonymous);
        let project = NewProject {
            name: "demo".to_owned(),
            ..NewProject::default()
        };
        let project = auth.create_project(&admin, project).await?;
        let profile = Profile {
            realname: "Demo".to_owned(),
            ..Profile::default()
        };
        let user = NewUser {
            name: scene.user.clone(),
            password: scene.password.clone(),
            profile,
        };
        let user = auth.create_user(user).await?;
        auth.add_member(project, user, Role::Maintainer).await?;
        let registry = NewRegistry {
            name: "mirror".to_owned(),
            kind: "docker-registry".to_owned(),
            url: mirror_url.to_owned(),
            ..NewRegistry::default()
        };
        let mirror = replication.create_registry(registry).await?;
        replication.create_policy(&policy(mirror)).await?;
        Ok(scene)
    }
}

/// Every push goes to the mirror, under the same name, and so does every delete.
fn policy(mirror: RegistryId) -> PolicySpec {
    PolicySpec {
        name: "to-mirror".to_owned(),
        description: String::new(),
        source: RegistryId::LOCAL,
        destination: mirror,
        trigger: Trigger::EventBased,
        filters: Vec::new(),
        namespace: Namespace {
            path: String::new(),
            replace: Replace::All,
        },
        deletion: true,
        overwrite: true,
        enabled: true,
        speed_kbps: None,
        copy_by_chunk: false,
        single_active: false,
        bidirectional: false,
        tee: true,
        runs_delete: false,
        deletion_limit: DeletionLimit::default(),
        copy_foreign_layers: false,
    }
}

/// Random, with the kinds of characters that a password must have.
fn password() -> Secret {
    Secret::new(format!(
        "Demo-{}1",
        hex::encode(secret::random_bytes::<8>())
    ))
}
