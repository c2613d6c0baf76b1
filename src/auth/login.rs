use std::net::IpAddr;

use super::{
    Auth, Error, Principal,
    account::{Account, RobotAccount, SecretHash, UserAccount},
    limiter::Attempt,
    metrics::LoginOutcome,
    password::Verified,
    remembered::{Answer, Credentials},
    users,
};
use crate::{audit, secret::Secret};

impl Auth {
    /// Who has this name and password: a user, or a robot (`robot$…`).
    ///
    /// Failures count against `source` and are recorded in the audit log. Unknown names take
    /// as long as wrong passwords.
    pub async fn login(
        &self,
        source: IpAddr,
        name: &str,
        password: &Secret,
    ) -> Result<Principal, Error> {
        let attempt = self.parts().limiter.attempt(source, name);
        let answer = self.sign_in(attempt, name, password).await;
        let outcome = match &answer {
            Ok(_) => LoginOutcome::Succeeded,
            Err(Error::BadCredentials | Error::Disabled(_) | Error::Expired(_)) => {
                LoginOutcome::Refused
            }
            Err(Error::TooManyAttempts { .. }) => LoginOutcome::Limited,
            Err(_) => LoginOutcome::Failed,
        };
        self.metrics().count_login(outcome);
        if outcome == LoginOutcome::Refused {
            self.record_refusal(source, name, &answer);
        }
        answer
    }

    async fn sign_in(
        &self,
        attempt: Attempt,
        name: &str,
        password: &Secret,
    ) -> Result<Principal, Error> {
        self.parts()
            .limiter
            .check(attempt, self.parts().clock.elapsed())
            .map_err(limited)?;
        if name.is_empty() || password.expose().len() > MAX_PASSWORD_BYTES {
            self.charge(attempt)?;
            return Err(Error::BadCredentials);
        }
        let account = self.account(name).await?;
        match account.as_deref() {
            Some(Account::User(user)) => self.sign_in_user(attempt, name, user, password).await,
            Some(Account::Robot(robot)) => self.sign_in_robot(attempt, Some(robot), password),
            None if self.names_a_robot(name) => self.sign_in_robot(attempt, None, password),
            None => self.sign_in_nobody(attempt, name, password).await,
        }
    }

    async fn sign_in_user(
        &self,
        attempt: Attempt,
        name: &str,
        user: &UserAccount,
        password: &Secret,
    ) -> Result<Principal, Error> {
        let credentials = Credentials {
            user: user.id,
            version: user.credential_version,
        };
        let verify = || self.verify_user(attempt, user, password);
        let remembered = &self.parts().remembered;
        let answer = remembered
            .check(name, credentials, password, verify)
            .await?;
        if answer == Answer::Remembered {
            self.metrics().count_remembered_login();
        }
        Ok(user.principal())
    }

    /// As [`Self::sign_in_user`] with a wrong password, in whatever can be measured.
    async fn sign_in_nobody(
        &self,
        attempt: Attempt,
        name: &str,
        password: &Secret,
    ) -> Result<Principal, Error> {
        let verify = || self.verify_nobody(attempt, password);
        let remembered = &self.parts().remembered;
        remembered
            .check(name, Credentials::NOBODYS, password, verify)
            .await?;
        Err(Error::BadCredentials)
    }

    async fn verify_nobody(&self, attempt: Attempt, password: &Secret) -> Result<(), Error> {
        self.verify(attempt, password, None).await.map(drop)
    }

    async fn verify_user(
        &self,
        attempt: Attempt,
        user: &UserAccount,
        password: &Secret,
    ) -> Result<(), Error> {
        let old = user.password_hash.as_str();
        if let Verified::Anew(new) = self.verify(attempt, password, Some(old)).await? {
            self.keep_hash(user, &new).await;
        }
        Ok(())
    }

    /// Hashes the password. The failure is counted before the hashing and taken back after it,
    /// and only those whose turn has come are counted: many right logins at once stay free.
    async fn verify(
        &self,
        attempt: Attempt,
        password: &Secret,
        hash: Option<&str>,
    ) -> Result<Verified, Error> {
        let turn = self.parts().hashing.turn().await?;
        self.charge(attempt)?;
        let verified = turn.verify(password, hash).await?;
        if verified == Verified::No {
            return Err(Error::BadCredentials);
        }
        self.parts().limiter.refund(attempt);
        Ok(verified)
    }

    /// Keeps a hash of ours in the place of a foreign one. Where that fails, the next login does
    /// it: the password was right all the same.
    async fn keep_hash(&self, user: &UserAccount, new: &str) {
        let old = &user.password_hash;
        if let Err(error) = users::queries::replace_hash(self.db(), user.id, old, new).await {
            let name = &*user.name;
            tracing::warn!(user.name = name, "a password was not hashed anew: {error}");
        }
    }

    fn sign_in_robot(
        &self,
        attempt: Attempt,
        robot: Option<&RobotAccount>,
        secret: &Secret,
    ) -> Result<Principal, Error> {
        self.charge(attempt)?;
        let nobody = SecretHash {
            salt: vec![0; 16],
            hash: vec![0; 32],
        };
        let matches = robot.map_or(&nobody, |robot| &robot.secret).matches(secret);
        let Some(robot) = robot.filter(|_| matches) else {
            return Err(Error::BadCredentials);
        };
        self.parts().limiter.refund(attempt);
        if robot.disabled {
            return Err(Error::Disabled(robot.name.to_string()));
        }
        if robot.is_expired(self.now()) {
            return Err(Error::Expired(robot.name.to_string()));
        }
        Ok(robot.principal())
    }

    pub(super) fn charge(&self, attempt: Attempt) -> Result<(), Error> {
        self.parts()
            .limiter
            .charge(attempt, self.parts().clock.elapsed())
            .map_err(limited)
    }

    fn record_refusal(&self, source: IpAddr, name: &str, answer: &Result<Principal, Error>) {
        let Some(recorder) = &self.parts().recorder else {
            return;
        };
        let reason = answer.as_ref().err().map(ToString::to_string);
        recorder.record(audit::Event {
            user: name.chars().take(255).collect(),
            operation: audit::Operation::Login,
            resource_type: "user",
            resource: name.chars().take(255).collect(),
            project: None,
            outcome: audit::Outcome::Failed,
            description: reason.unwrap_or_default(),
            source: Some(source),
            request_id: None,
        });
    }
}

const fn limited(retry_after: std::time::Duration) -> Error {
    Error::TooManyAttempts { retry_after }
}

/// Longer passwords are wrong without a look: ours have 128 characters at most.
const MAX_PASSWORD_BYTES: usize = 1024;
