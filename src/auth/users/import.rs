use super::{Profile, check_name, queries};
use crate::{
    auth::{Auth, Error, ProjectId, Role, foreign::ForeignHash, members, projects, robots},
    store::{self, Tx},
};

/// A user of another program, with the hash of their password.
#[derive(Debug, Clone, Copy)]
pub struct Newcomer<'a> {
    pub name: &'a str,
    /// As `htpasswd` or crypt(3) has written it.
    pub password_hash: &'a str,
}

/// What became of a [`Newcomer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// They are a user, who signs in with the password they had.
    Admitted,
    /// Somebody has this name already; nothing of theirs is changed.
    Exists,
    /// Why they cannot be a user.
    Refused(String),
}

/// Whether what was done stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Yes,
    /// All is tried and taken back.
    No,
}

impl Auth {
    /// Makes users of those who can be, with a role in a project where one is named; all of them
    /// or, on an error, none. Who exists is left as they are.
    pub async fn import_users(
        &self,
        newcomers: &[Newcomer<'_>],
        membership: Option<(&str, Role)>,
        keep: Keep,
    ) -> Result<Vec<Admission>, Error> {
        let membership = match membership {
            Some((name, role)) => Some((self.project_named(name).await?.id, role)),
            None => None,
        };
        let mut admissions = Vec::with_capacity(newcomers.len());
        for newcomer in newcomers {
            admissions.push(self.admission(*newcomer).await?);
        }
        let mut tx = self.db().begin().await?;
        if let Some((project, _)) = membership
            && !projects::queries::lock(&mut tx, project).await?
        {
            return Err(projects::no_project(project));
        }
        for (newcomer, _) in newcomers
            .iter()
            .zip(&admissions)
            .filter(|(_, admission)| **admission == Admission::Admitted)
        {
            self.admit(&mut tx, *newcomer, membership).await?;
        }
        if keep == Keep::Yes {
            tx.commit().await?;
            self.outdate();
        }
        Ok(admissions)
    }

    async fn admission(&self, newcomer: Newcomer<'_>) -> Result<Admission, Error> {
        let Newcomer {
            name,
            password_hash,
        } = newcomer;
        if let Err(error) = check_name(name) {
            return Ok(Admission::Refused(error.to_string()));
        }
        if let Err(why) = ForeignHash::parse(password_hash) {
            return Ok(Admission::Refused(why.to_owned()));
        }
        if queries::user_named(self.db(), name).await?.is_some() {
            return Ok(Admission::Exists);
        }
        Ok(match robots::queries::account(self.db(), name).await? {
            Some(_) => Admission::Refused("a robot account has this name".to_owned()),
            None => Admission::Admitted,
        })
    }

    async fn admit(
        &self,
        tx: &mut Tx,
        newcomer: Newcomer<'_>,
        membership: Option<(ProjectId, Role)>,
    ) -> Result<(), Error> {
        let row = queries::Insert {
            name: newcomer.name,
            profile: &Profile::default(),
            password_hash: newcomer.password_hash,
            system_admin: false,
        };
        let id = queries::insert(tx, &row, self.now())
            .await
            .map_err(|error| match error {
                store::Error::Duplicate => Error::Conflict(format!("user {}", newcomer.name)),
                other => other.into(),
            })?;
        if let Some((project, role)) = membership {
            members::queries::insert(tx, project, id.into(), role).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::tests::{Fixture, PASSWORD, SOURCE, fixtures},
        secret::Secret,
        store::Listing,
    };

    /// Of [`PASSWORD`], by `htpasswd -B` and `htpasswd -s`.
    const BCRYPT: &str = "$2y$04$RfEebYJ4psGiKUmuYAQ.v.bjLCxWelfck7qQxVbm73Y37V5qhravW";
    const SHA1: &str = "{SHA}fo3kxGm56hh7J4vMwu3dPAQ9X+s=";

    async fn import(
        fixture: &Fixture,
        people: &[(&str, &str)],
        membership: Option<(&str, Role)>,
        keep: Keep,
    ) -> Result<Vec<Admission>, Error> {
        let newcomers: Vec<Newcomer<'_>> = people
            .iter()
            .map(|(name, password_hash)| Newcomer {
                name,
                password_hash,
            })
            .collect();
        fixture
            .auth
            .import_users(&newcomers, membership, keep)
            .await
    }

    async fn hash_of(fixture: &Fixture, name: &str) -> String {
        let account = queries::account(&fixture.db, name).await.unwrap();
        account.unwrap().password_hash
    }

    async fn users(fixture: &Fixture) -> i64 {
        let listing = Listing::default();
        fixture.auth.users(&listing).await.unwrap().total
    }

    #[tokio::test]
    async fn the_first_login_hashes_an_imported_password_anew() {
        for fixture in fixtures().await {
            let people = [("alice", BCRYPT), ("bob", SHA1)];
            import(&fixture, &people, None, Keep::Yes).await.unwrap();
            let login = async |auth: &Auth, name: &str, password: &str| {
                auth.login(SOURCE, name, &Secret::new(password)).await
            };
            for (name, old) in people {
                let wrong = login(&fixture.auth, name, "Harbor12346").await;
                assert!(matches!(wrong, Err(Error::BadCredentials)), "{name}");
                assert_eq!(hash_of(&fixture, name).await, old, "{name}");
                login(&fixture.auth, name, PASSWORD).await.unwrap();
                let new = hash_of(&fixture, name).await;
                assert!(new.starts_with("$argon2id$"), "{name}: {new}");
                let other = fixture.other_instance();
                login(&other, name, PASSWORD).await.unwrap();
                let wrong = login(&other, name, "Harbor12346").await;
                assert!(matches!(wrong, Err(Error::BadCredentials)), "{name}");
                assert_eq!(hash_of(&fixture, name).await, new, "{name}");
            }
        }
    }

    #[tokio::test]
    async fn a_password_changed_meanwhile_stays() {
        for fixture in fixtures().await {
            import(&fixture, &[("alice", SHA1)], None, Keep::Yes)
                .await
                .unwrap();
            let id = fixture.auth.user_named("alice").await.unwrap().id;
            let new = Secret::new("Changed12345");
            fixture.auth.set_password(id, &new).await.unwrap();
            let changed = hash_of(&fixture, "alice").await;
            queries::replace_hash(&fixture.db, id, SHA1, "late")
                .await
                .unwrap();
            assert_eq!(hash_of(&fixture, "alice").await, changed);
        }
    }

    #[tokio::test]
    async fn who_cannot_be_a_user_is_named_and_who_is_one_is_left_alone() {
        for fixture in fixtures().await {
            fixture.user("alice").await;
            let before = hash_of(&fixture, "alice").await;
            let people = [
                ("alice", SHA1),
                ("bob", SHA1),
                ("robot$ci", SHA1),
                ("carl", "plain"),
                ("admin", BCRYPT),
            ];
            let admissions = import(&fixture, &people, None, Keep::Yes).await.unwrap();
            assert_eq!(admissions[0], Admission::Exists);
            assert_eq!(admissions[1], Admission::Admitted);
            for (refused, reason) in [(2, "a user name has"), (3, "plain text")] {
                let shown = format!("{:?}", admissions[refused]);
                assert!(
                    shown.contains("Refused") && shown.contains(reason),
                    "{shown}"
                );
            }
            assert_eq!(admissions[4], Admission::Exists);
            assert_eq!(hash_of(&fixture, "alice").await, before);
            let bob = fixture.auth.principal("bob").await.unwrap().unwrap();
            assert!(!bob.is_system_admin());
        }
    }

    #[tokio::test]
    async fn all_are_imported_or_none() {
        for fixture in fixtures().await {
            let before = users(&fixture).await;
            let people = [("alice", SHA1), ("bob", SHA1)];
            let role = |project| Some((project, Role::Developer));
            let missing = import(&fixture, &people, role("nowhere"), Keep::Yes).await;
            assert!(matches!(missing, Err(Error::NotFound(_))));
            let twice = [("alice", SHA1), ("alice", BCRYPT)];
            let conflict = import(&fixture, &twice, None, Keep::Yes).await;
            assert!(matches!(conflict, Err(Error::Conflict(_))));
            let dry = import(&fixture, &people, None, Keep::No).await.unwrap();
            assert_eq!(dry, [Admission::Admitted, Admission::Admitted]);
            assert_eq!(users(&fixture).await, before);
        }
    }

    #[tokio::test]
    async fn imported_users_get_the_role_that_is_named() {
        for fixture in fixtures().await {
            let project = fixture.project("team", false).await;
            let membership = Some(("team", Role::Maintainer));
            let people = [("alice", SHA1)];
            import(&fixture, &people, membership, Keep::Yes)
                .await
                .unwrap();
            let alice = fixture.auth.principal("alice").await.unwrap().unwrap();
            let roles = fixture.auth.roles_in(&alice, project).await.unwrap();
            assert!(roles.contains(Role::Maintainer));
        }
    }
}
