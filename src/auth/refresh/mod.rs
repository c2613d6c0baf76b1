//! Refresh tokens: what `docker login` keeps instead of a password.

use super::{Auth, Error, Principal};
use crate::secret::Secret;

impl Auth {
    /// Makes a refresh token with which the principal can get tokens for `service`.
    pub async fn issue_refresh_token(
        &self,
        _principal: &Principal,
        _service: &str,
    ) -> Result<Secret, Error> {
        Err(Error::Busy)
    }

    /// Who the refresh token was made for; [`Error::BadCredentials`] when it is unknown, revoked,
    /// unused for too long, for another service, or its owner is gone.
    pub async fn redeem_refresh_token(
        &self,
        _token: &Secret,
        _service: &str,
    ) -> Result<Principal, Error> {
        Err(Error::BadCredentials)
    }

    pub async fn revoke_refresh_token(&self, _token: &Secret) -> Result<(), Error> {
        Err(Error::Busy)
    }
}
