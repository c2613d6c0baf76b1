use std::sync::Arc;

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Config, Error, foreign::ForeignHash};
use crate::secret::Secret;

/// Harbor's rule: 8 to 128 characters with an upper-case and a lower-case letter and a digit.
pub(super) fn check_rules(what: &str, password: &Secret) -> Result<(), Error> {
    let text = password.expose();
    let has = |kind: fn(&char) -> bool| text.chars().any(|c| kind(&c));
    let good = (8..=128).contains(&text.chars().count())
        && has(char::is_ascii_uppercase)
        && has(char::is_ascii_lowercase)
        && has(char::is_ascii_digit);
    if good {
        Ok(())
    } else {
        Err(Error::Invalid(format!(
            "the {what} must have 8 to 128 characters, with an upper-case letter, \
             a lower-case letter and a digit among them"
        )))
    }
}

/// Random letters and digits that keep the rule.
pub(super) fn generate(characters: usize) -> Secret {
    loop {
        let text: String = std::iter::repeat_with(crate::secret::random_token)
            .take(characters / 32 + 1)
            .flat_map(|token| token.chars().collect::<Vec<_>>())
            .filter(char::is_ascii_alphanumeric)
            .take(characters)
            .collect();
        let secret = Secret::new(text);
        if secret.expose().len() == characters && check_rules("secret", &secret).is_ok() {
            return secret;
        }
    }
}

/// Hashes passwords with argon2id, m=19456 KiB, t=2, p=1 (OWASP's minimum; the crate's
/// default): about 15 ms and 19 MiB each, so off the async threads and few at once.
#[derive(Debug)]
pub(super) struct Hashing {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// The right to hash once.
#[derive(Debug)]
pub(super) struct Turn {
    _running: OwnedSemaphorePermit,
    _waiting: OwnedSemaphorePermit,
}

impl Hashing {
    pub(super) fn new(config: &Config) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = match config.concurrent_hashes {
            0 => cores,
            chosen => chosen,
        };
        Self {
            running: Arc::new(Semaphore::new(at_once)),
            waiting: Arc::new(Semaphore::new(
                at_once.saturating_add(config.max_waiting_logins),
            )),
        }
    }

    /// Waits for a turn; [`Error::Busy`] at once when too many wait already.
    pub(super) async fn turn(&self) -> Result<Turn, Error> {
        let waiting = Arc::clone(&self.waiting)
            .try_acquire_owned()
            .map_err(|_full| Error::Busy)?;
        let running = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_closed| Error::Busy)?;
        Ok(Turn {
            _running: running,
            _waiting: waiting,
        })
    }
}

impl Turn {
    /// The password's hash in PHC string format, with a salt of its own.
    pub(super) async fn hash(self, password: &Secret) -> Result<String, Error> {
        let password = password.clone();
        let hash = tokio::task::spawn_blocking(move || {
            let hash = Argon2::default().hash_password(password.expose().as_bytes());
            drop(self);
            hash.map(|hash| hash.to_string())
        });
        hash.await
            .map_err(|error| Error::Internal(format!("hashing a password: {error}")))?
            .map_err(|error| Error::Internal(format!("hashing a password: {error}")))
    }

    /// Whether the password belongs to the hash; without a hash it takes as long and is false,
    /// so that nobody can tell by the time whether an account exists. A foreign hash takes its
    /// own time besides, until its user has signed in once.
    pub(super) async fn verify(
        self,
        password: &Secret,
        hash: Option<&str>,
    ) -> Result<Verified, Error> {
        let password = password.clone();
        let hash = hash.unwrap_or(NOBODYS_HASH).to_owned();
        let verified = tokio::task::spawn_blocking(move || {
            let verified = compare(password.expose().as_bytes(), &hash);
            drop(self);
            verified
        });
        verified
            .await
            .map_err(|error| Error::Internal(format!("checking a password: {error}")))?
    }
}

/// How a password stands to a hash.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verified {
    No,
    Yes,
    /// It belongs to a foreign hash; here it is hashed as ours are.
    Anew(String),
}

fn compare(password: &[u8], hash: &str) -> Result<Verified, Error> {
    let argon2 = Argon2::default();
    let Ok(foreign) = ForeignHash::parse(hash) else {
        let verified = argon2.verify_password(password, hash);
        return Ok(verified.map_or(Verified::No, |()| Verified::Yes));
    };
    if !foreign.verify(password) {
        // As long as the right password takes.
        let nobodys = argon2.verify_password(password, NOBODYS_HASH);
        return Ok(nobodys.map_or(Verified::No, |()| Verified::No));
    }
    let anew = argon2.hash_password(password);
    let anew = anew.map_err(|error| Error::Internal(format!("hashing a password: {error}")))?;
    Ok(Verified::Anew(anew.to_string()))
}

/// Sixteen zero bytes of salt and thirty-two of hash, which no password has.
const NOBODYS_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                            AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_follow_harbors_rule() {
        let long = format!("{}a1", "A".repeat(126));
        for good in ["Harbor12", "aA345678", long.as_str(), "Pässwörd1"] {
            assert!(
                check_rules("password", &Secret::new(good)).is_ok(),
                "{good}"
            );
        }
        let too_long = format!("{}a1", "A".repeat(127));
        for bad in ["", "Harbor1", "harbor12", "HARBOR12", "Harborrr", &too_long] {
            let error = check_rules("password", &Secret::new(bad)).unwrap_err();
            assert!(
                error.to_string().starts_with("the password must have"),
                "{bad}"
            );
        }
    }

    #[test]
    fn generated_secrets_keep_the_rule_and_differ() {
        for characters in [16, 32, 64] {
            let secret = generate(characters);
            assert_eq!(secret.expose().len(), characters);
            assert!(check_rules("secret", &secret).is_ok());
            assert_ne!(secret, generate(characters));
        }
    }

    #[tokio::test]
    async fn hashes_verify_their_own_password_only() {
        let hashing = Hashing::new(&Config::default());
        let turn = || async { hashing.turn().await.unwrap() };
        let password = Secret::new("Harbor12345");
        let hash = turn().await.hash(&password).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let verify = async |password: &str, hash: Option<&str>| {
            let verified = turn().await.verify(&Secret::new(password), hash).await;
            verified.unwrap()
        };
        assert_eq!(verify("Harbor12345", Some(&hash)).await, Verified::Yes);
        assert_eq!(verify("Harbor12346", Some(&hash)).await, Verified::No);
        assert_eq!(verify("Harbor12346", None).await, Verified::No);
        assert_eq!(verify("Harbor12345", Some("junk")).await, Verified::No);
    }

    #[tokio::test]
    async fn a_foreign_hash_is_made_one_of_ours() {
        let hashing = Hashing::new(&Config::default());
        let verify = async |password: &str, hash: &str| {
            let turn = hashing.turn().await.unwrap();
            let verified = turn.verify(&Secret::new(password), Some(hash)).await;
            verified.unwrap()
        };
        let sha1 = "{SHA}fo3kxGm56hh7J4vMwu3dPAQ9X+s=";
        assert_eq!(verify("Harbor12346", sha1).await, Verified::No);
        let Verified::Anew(hash) = verify("Harbor12345", sha1).await else {
            panic!("the password was not known");
        };
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert_eq!(verify("Harbor12345", &hash).await, Verified::Yes);
    }

    #[test]
    fn the_hash_for_nobody_is_as_dear_as_a_real_one() {
        let hash = argon2::PasswordHash::new(NOBODYS_HASH).unwrap();
        let params = argon2::Params::try_from(&hash).unwrap();
        let real = argon2::Params::default();
        assert_eq!(params.m_cost(), real.m_cost());
        assert_eq!(params.t_cost(), real.t_cost());
        assert_eq!(params.p_cost(), real.p_cost());
    }

    #[tokio::test]
    async fn waiting_for_a_turn_is_bounded() {
        let hashing = Hashing::new(&Config {
            concurrent_hashes: 1,
            max_waiting_logins: 1,
            ..Config::default()
        });
        let first = hashing.turn().await.unwrap();
        let mut second = Box::pin(hashing.turn());
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(matches!(hashing.turn().await, Err(Error::Busy)));
        drop(first);
        second.await.unwrap();
    }
}
