use super::{
    Auth, Error, password,
    projects::{Metadata, NewProject},
    users::{BUILT_IN_ADMIN, NewUser, Profile, queries},
};
use crate::secret::Secret;

impl Auth {
    /// Makes the built-in administrator and, as Harbor does, the public project `library` in an
    /// empty database. Returns the administrator's password if it had to be generated: it is
    /// nowhere else to be read.
    ///
    /// Several gateways may start at once: one of them makes the administrator.
    pub async fn bootstrap(&self) -> Result<Option<Secret>, Error> {
        if queries::any(self.db()).await? {
            return Ok(None);
        }
        let configured = self.config().admin_password.clone();
        let generated = configured
            .is_none()
            .then(|| password::generate(GENERATED_CHARACTERS));
        let password = configured.or(generated.clone()).unwrap_or_default();
        let admin = NewUser {
            name: BUILT_IN_ADMIN.to_owned(),
            password,
            profile: Profile {
                realname: "system admin".to_owned(),
                ..Profile::default()
            },
        };
        let owner = match self.create_system_admin(admin).await {
            Ok(owner) => owner,
            Err(Error::Conflict(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let library = NewProject {
            name: "library".to_owned(),
            metadata: Metadata::from([("public".to_owned(), "true".to_owned())]),
            storage_limit: None,
        };
        match self.insert_project(owner, library).await {
            Ok(_) | Err(Error::Conflict(_)) => Ok(generated),
            Err(error) => Err(error),
        }
    }

    /// Gives the user of that name a new password and returns it; for an operator who has the
    /// database but no password. `None`: a generated one.
    pub async fn reset_password(
        &self,
        name: &str,
        password: Option<Secret>,
    ) -> Result<Secret, Error> {
        let user = self.user_named(name).await?;
        let password = password.unwrap_or_else(|| password::generate(GENERATED_CHARACTERS));
        self.set_password(user.id, &password).await?;
        Ok(password)
    }
}

const GENERATED_CHARACTERS: usize = 24;
