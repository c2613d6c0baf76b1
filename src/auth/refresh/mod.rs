//! Refresh tokens: what `docker login` keeps instead of a password.
//!
//! Only their SHA-256 is stored. A token belongs to an account as it was, not to a name: it
//! ends with the account, and with the password or secret it was made under.

pub(crate) mod queries;

use std::{sync::Arc, time::Duration};

use super::{Auth, Error, Principal, account::Account};
use crate::{
    clock::Timestamp,
    secret::{Secret, random_token, sha256},
};

impl Auth {
    /// Makes a refresh token with which the principal can get tokens for `service`. An account
    /// keeps its [`TOKENS_PER_ACCOUNT`] last used ones.
    pub async fn issue_refresh_token(
        &self,
        principal: &Principal,
        service: &str,
    ) -> Result<Secret, Error> {
        let (account, now) = (self.account(principal.name()).await?, self.now());
        // Its password may be another one by now, of which the caller has shown nothing.
        let is_same = |account: &Arc<Account>| account.principal(now).as_ref() == Some(principal);
        let Some(account) = account.filter(is_same) else {
            return Err(Error::BadCredentials);
        };
        let token = random_token();
        let row = queries::Token {
            subject: principal.name().to_owned(),
            account_id: account.id(),
            credential_version: account.credential_version(),
            service: service.to_owned(),
            used_ms: now.millis(),
        };
        let mut tx = self.db().begin().await?;
        queries::insert(&mut tx, &sha256(token.as_bytes()), &row).await?;
        queries::trim(&mut tx, &row.subject, TOKENS_PER_ACCOUNT).await?;
        tx.commit().await?;
        Ok(Secret::new(token))
    }

    /// Who the refresh token was made for; [`Error::BadCredentials`] when it is unknown, revoked,
    /// unused for too long, for another service, or its owner is gone, disabled or expired.
    pub async fn redeem_refresh_token(
        &self,
        token: &Secret,
        service: &str,
    ) -> Result<Principal, Error> {
        let hash = sha256(token.expose().as_bytes());
        let now = self.now();
        let row = queries::token(self.db(), &hash)
            .await?
            .filter(|row| row.service == service)
            .ok_or(Error::BadCredentials)?;
        let unused = now.since(Timestamp::from_millis(row.used_ms));
        let account = self
            .account(&row.subject)
            .await?
            .filter(|account| {
                account.id() == row.account_id
                    && account.credential_version() == row.credential_version
                    && unused <= self.refresh_token_idle()
            })
            .ok_or(Error::BadCredentials)?;
        let principal = account.principal(now).ok_or(Error::BadCredentials)?;
        if unused >= TOUCH_INTERVAL {
            queries::touch(self.db(), &hash, now).await?;
        }
        Ok(principal)
    }

    /// Ends one refresh token; nothing happens when it is unknown.
    pub async fn revoke_refresh_token(&self, token: &Secret) -> Result<(), Error> {
        let hash = sha256(token.expose().as_bytes());
        Ok(queries::revoke(self.db(), &hash).await?)
    }

    /// Deletes the refresh tokens that were not used for too long, and says how many.
    pub async fn sweep_refresh_tokens(&self) -> Result<u64, Error> {
        let before = self.now().minus(self.refresh_token_idle());
        Ok(queries::sweep(self.db(), before).await?)
    }

    fn refresh_token_idle(&self) -> Duration {
        DAY * self.config().refresh_token_idle_days
    }
}

/// Every `docker login` makes one: enough for a person's machines, and a bound for a script
/// that signs in again and again.
const TOKENS_PER_ACCOUNT: i64 = 100;

/// How often the time of last use is written at most.
const TOUCH_INTERVAL: Duration = Duration::from_hours(1);

const DAY: Duration = Duration::from_hours(24);
