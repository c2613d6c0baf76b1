use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    auth::ProjectId,
    secret::{SealError, SealingKey, Secret},
    webhook::Target,
};

/// Seals the secrets of a target to its project and address: in another row they do not open.
#[derive(Debug)]
pub(in crate::webhook) struct Secrets<'a> {
    pub key: &'a SealingKey,
    pub project: ProjectId,
    pub address: &'a str,
}

/// The secrets of a target.
#[derive(Debug, Default)]
pub(in crate::webhook) struct Opened {
    pub auth_header: Option<Secret>,
    pub secret: Option<Secret>,
}

impl Secrets<'_> {
    /// Nothing for an empty one.
    pub(super) fn seal(&self, field: &str, secret: &Secret) -> Result<Option<String>, SealError> {
        if secret.is_empty() {
            return Ok(None);
        }
        let place = self.place(field);
        let sealed = self.key.seal(&place, secret.expose().as_bytes())?;
        Ok(Some(STANDARD.encode(sealed)))
    }

    fn open(&self, field: &str, sealed: Option<&str>) -> Result<Option<Secret>, SealError> {
        let Some(text) = sealed else {
            return Ok(None);
        };
        let sealed = STANDARD.decode(text).map_err(|_damaged| SealError::Open)?;
        let plain = self.key.open(&self.place(field), &sealed)?;
        let text = String::from_utf8(plain).map_err(|_not_text| SealError::Open)?;
        Ok(Some(Secret::new(text)))
    }

    fn place(&self, field: &str) -> String {
        let Self {
            project, address, ..
        } = self;
        format!("webhook_policies.targets.{field}/{project}/{address}")
    }
}

/// The secrets of a kept target.
pub(in crate::webhook) fn open_secrets(
    key: &SealingKey,
    project: ProjectId,
    target: &Target,
) -> Result<Opened, SealError> {
    let secrets = Secrets {
        key,
        project,
        address: &target.address,
    };
    Ok(Opened {
        auth_header: secrets.open("auth_header", target.auth_header.as_deref())?,
        secret: secrets.open("secret", target.secret.as_deref())?,
    })
}
