//! Phase 3: what the token says and what the roles say now must both allow it.

use super::{
    Actor, Inner, Refusal,
    authenticate::{Caller, Proof},
    challenge::Reason,
    parse::Asked,
    upstream::Blob,
};
use crate::{
    auth::bearer::Claims,
    oci::{ActionSet, ErrorCode, Mount, RepositoryName, Route},
};

/// A request that its caller may make.
pub(super) struct Admitted {
    pub(super) asked: Asked,
    pub(super) actor: Actor,
    /// The size of what is to be mounted, where the registry behind says it.
    pub(super) mount_bytes: Option<u64>,
}

impl Inner {
    pub(super) async fn authorise(
        &self,
        mut asked: Asked,
        caller: &Caller,
    ) -> Result<Admitted, Refusal> {
        match asked.route.repository() {
            Some(name) => {
                let name = name.clone();
                self.check_repository(&asked, caller, &name).await?;
            }
            None => self.check_registry(&asked, caller)?,
        }
        let mount_bytes = self.restrict_mount(&mut asked, caller).await?;
        let address = asked.peer.address;
        Ok(Admitted {
            asked,
            actor: Actor {
                name: caller.principal.name().to_owned(),
                address: Some(address).filter(|address| !address.is_unspecified()),
            },
            mount_bytes,
        })
    }

    async fn check_repository(
        &self,
        asked: &Asked,
        caller: &Caller,
        name: &RepositoryName,
    ) -> Result<(), Refusal> {
        let needs = asked.route.needs(&asked.method);
        let granted = self
            .parts
            .auth
            .repository_actions(&caller.principal, name)
            .await?;
        let within = caller.token_actions(name);
        if granted.intersection(within).contains(needs) {
            return Ok(());
        }
        let challenge =
            |reason, message: &str| Err(self.parts.address.challenge(asked, reason, message));
        match &caller.proof {
            Proof::None => challenge(Reason::NoToken, "authentication required"),
            Proof::Token(_) if caller.principal.is_anonymous() || granted.contains(needs) => {
                let message = format!("the token does not allow {needs} on {name}");
                challenge(Reason::InsufficientScope, &message)
            }
            Proof::Token(_) | Proof::Password => {
                let user = caller.principal.name();
                let message = format!("{user} may not {needs} on {name}");
                Err(Refusal::new(ErrorCode::Denied, message))
            }
        }
    }

    /// `/v2/` answers 401 to who has no credentials, even where anybody may pull: from there
    /// docker learns that there is something to log in to.
    fn check_registry(&self, asked: &Asked, caller: &Caller) -> Result<(), Refusal> {
        let challenge = |reason, message| Err(self.parts.address.challenge(asked, reason, message));
        match (&asked.route, &caller.proof) {
            (_, Proof::None) => challenge(Reason::NoToken, "authentication required"),
            (Route::Catalog { .. }, Proof::Token(claims)) if !asked_for_catalog(claims) => {
                challenge(
                    Reason::InsufficientScope,
                    "the token was not made for listing repositories",
                )
            }
            _ => Ok(()),
        }
    }

    /// A mount reads its source. Who may not gets a plain upload, as the specification lets a
    /// registry do (end-11): nothing is revealed, and clients lose no time with refusals. So
    /// does who names a blob that the source does not have: some registries link any blob they
    /// know, whatever `from` says. A mount without a source would let them search all.
    ///
    /// The size of the blob that may be mounted, where the registry behind says it.
    async fn restrict_mount(
        &self,
        asked: &mut Asked,
        caller: &Caller,
    ) -> Result<Option<u64>, Refusal> {
        let Route::StartUpload { mount, .. } = &mut asked.route else {
            return Ok(None);
        };
        let Some(wanted) = mount.take() else {
            return Ok(None);
        };
        let Blob::Here { size_bytes } = self.mountable(&wanted, caller).await? else {
            return Ok(None);
        };
        *mount = Some(wanted);
        Ok(size_bytes)
    }

    async fn mountable(&self, mount: &Mount, caller: &Caller) -> Result<Blob, Refusal> {
        let Some(from) = &mount.from else {
            return Ok(Blob::Unsaid);
        };
        let granted = self
            .parts
            .auth
            .repository_actions(&caller.principal, from)
            .await?;
        let within = caller.token_actions(from);
        if !granted.intersection(within).contains(ActionSet::PULL) {
            return Ok(Blob::Unsaid);
        }
        self.parts.upstream.blob(from, &mount.digest).await
    }
}

impl Caller {
    /// What the caller's token lets them do with a repository; a password sets no bounds.
    fn token_actions(&self, name: &RepositoryName) -> ActionSet {
        let Proof::Token(claims) = &self.proof else {
            return ActionSet::ALL;
        };
        claims
            .access
            .iter()
            .filter(|access| access.resource_type == "repository" && access.name == name.as_str())
            .fold(ActionSet::NONE, |actions, access| {
                actions.union(ActionSet::from_words(
                    access.actions.iter().map(String::as_str),
                ))
            })
    }
}

/// The token service puts the catalogue into a token that was asked for it, with or without
/// actions; what is listed depends on the caller's roles.
fn asked_for_catalog(claims: &Claims) -> bool {
    claims
        .access
        .iter()
        .any(|access| access.resource_type == "registry" && access.name == "catalog")
}
