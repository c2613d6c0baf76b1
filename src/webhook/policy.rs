//! Policies as they are asked for and kept, and what of them is refused.

use std::{fmt, net::IpAddr};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{Config, Error, EventType, delivery};
use crate::{auth::ProjectId, clock::Timestamp, secret::Secret};

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident;)*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
            #[serde(transparent)]
            pub struct $name(pub i64);

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.fmt(f)
                }
            }
        )*
    };
}

ids! {
    /// The number of a webhook policy.
    PolicyId;
    /// The number of an execution: one event for one policy.
    ExecutionId;
    /// The number of a task: one delivery.
    TaskId;
}

/// A policy as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub id: PolicyId,
    pub project: ProjectId,
    pub name: String,
    pub description: String,
    pub creator: String,
    pub enabled: bool,
    pub event_types: Vec<EventType>,
    pub targets: Vec<Target>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// A receiver as it is kept; also its form in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub notify_type: NotifyType,
    pub address: String,
    pub format: PayloadFormat,
    pub skip_cert_verify: bool,
    /// Sealed, in base64.
    pub(super) auth_header: Option<String>,
    /// Sealed, in base64.
    pub(super) secret: Option<String>,
}

impl Target {
    /// Whether deliveries carry an `Authorization` header.
    pub const fn has_auth_header(&self) -> bool {
        self.auth_header.is_some()
    }

    /// Whether deliveries are signed.
    pub const fn is_signed(&self) -> bool {
        self.secret.is_some()
    }
}

/// What a person asks for.
#[derive(Debug, Clone)]
pub struct PolicySpec {
    pub name: String,
    pub description: String,
    pub enabled: bool,
    pub event_types: Vec<String>,
    pub targets: Vec<NewTarget>,
}

/// A receiver as it is asked for. A secret that is `None` stays what it is for the same address.
#[derive(Debug, Clone)]
pub struct NewTarget {
    pub notify_type: String,
    pub address: String,
    pub format: String,
    pub skip_cert_verify: bool,
    pub auth_header: Option<Secret>,
    pub secret: Option<Secret>,
}

/// How a receiver is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotifyType {
    Http,
    Slack,
}

impl NotifyType {
    pub const ALL: [Self; 2] = [Self::Http, Self::Slack];

    /// Harbor's word in policies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Slack => "slack",
        }
    }

    /// The kind of its jobs, Harbor's `vendor_type`.
    pub const fn job_kind(self) -> &'static str {
        match self {
            Self::Http => "WEBHOOK",
            Self::Slack => "SLACK",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What may be chosen for it.
    pub const fn formats(self) -> &'static [PayloadFormat] {
        match self {
            Self::Http => &[PayloadFormat::Default, PayloadFormat::CloudEvents],
            Self::Slack => &[PayloadFormat::Default],
        }
    }
}

/// The form of what an `http` receiver gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayloadFormat {
    Default,
    CloudEvents,
}

impl PayloadFormat {
    /// Harbor's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "Default",
            Self::CloudEvents => "CloudEvents",
        }
    }
}

impl PolicySpec {
    /// The kinds of events, each once.
    pub(super) fn kinds(&self) -> Result<Vec<EventType>, Error> {
        let mut kinds = Vec::new();
        for name in &self.event_types {
            let kind = EventType::parse(name).ok_or_else(|| {
                let known = EventType::ALL.map(EventType::name).join(", ");
                Error::Invalid(format!("`{name}` is not an event type: {known}"))
            })?;
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if kinds.is_empty() {
            return Err(Error::Invalid("event_types needs at least one".to_owned()));
        }
        Ok(kinds)
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.name.trim().is_empty() || self.name.len() > MAX_NAME_BYTES {
            return Err(Error::Invalid(format!(
                "the policy's name must have 1 to {MAX_NAME_BYTES} bytes"
            )));
        }
        if self.targets.is_empty() || self.targets.len() > MAX_TARGETS {
            return Err(Error::Invalid(format!(
                "a policy needs 1 to {MAX_TARGETS} targets"
            )));
        }
        for (index, target) in self.targets.iter().enumerate() {
            let before = self.targets.iter().take(index);
            let is_twin = |other: &NewTarget| {
                other.address == target.address && other.notify_type == target.notify_type
            };
            if before.into_iter().any(is_twin) {
                return Err(Error::Invalid(
                    "two targets of one type have one address".to_owned(),
                ));
            }
        }
        Ok(())
    }
}

impl NewTarget {
    pub(super) fn kind(&self) -> Result<NotifyType, Error> {
        NotifyType::parse(&self.notify_type).ok_or_else(|| {
            let known = NotifyType::ALL.map(NotifyType::name).join(", ");
            Error::Invalid(format!(
                "`{}` is not a target type: {known}",
                self.notify_type
            ))
        })
    }

    pub(super) fn payload_format(&self, kind: NotifyType) -> Result<PayloadFormat, Error> {
        if self.format.is_empty() {
            return Ok(PayloadFormat::Default);
        }
        let mut formats = kind.formats().iter().copied();
        let found = formats.find(|format| format.name() == self.format);
        found.ok_or_else(|| {
            Error::Invalid(format!(
                "`{}` is not a payload format of {} targets",
                self.format,
                kind.name()
            ))
        })
    }

    /// Refuses what can never be delivered. Names are looked up when something is sent.
    pub(super) fn checked_address(&self, config: &Config) -> Result<String, Error> {
        let invalid = |problem: &str| Error::Invalid(format!("the target's address {problem}"));
        if self.address.len() > MAX_ADDRESS_BYTES {
            return Err(invalid("is too long"));
        }
        let url = Url::parse(self.address.trim())
            .map_err(|error| invalid(&format!("is not a URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("must begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid(
                "must not hold a user name or password; use auth_header",
            ));
        }
        let literal: Option<IpAddr> = match url.host() {
            None => return Err(invalid("names no host")),
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) => None,
        };
        if let Some(address) = literal {
            delivery::permit(config, address)
                .map_err(|refusal| Error::Invalid(refusal.to_string()))?;
        }
        Ok(self.address.trim().to_owned())
    }

    pub(super) fn check_secrets(&self) -> Result<(), Error> {
        if let Some(header) = &self.auth_header
            && http::HeaderValue::from_str(header.expose()).is_err()
        {
            return Err(Error::Invalid(
                "auth_header holds what an HTTP header cannot".to_owned(),
            ));
        }
        if let Some(secret) = self.secret.as_ref().filter(|secret| !secret.is_empty()) {
            signing_key(secret)?;
        }
        Ok(())
    }
}

/// The key in a secret of the form `whsec_…` (<https://www.standardwebhooks.com>).
pub(super) fn signing_key(secret: &Secret) -> Result<Vec<u8>, Error> {
    let encoded = secret.expose().strip_prefix(SECRET_PREFIX);
    let key = encoded.and_then(|text| STANDARD.decode(text).ok());
    key.filter(|key| KEY_BYTES.contains(&key.len())).ok_or_else(|| {
        Error::Invalid(format!(
            "the target's secret must be `{SECRET_PREFIX}` and 24 to 64 random bytes in base64, \
             as `echo {SECRET_PREFIX}$(openssl rand -base64 32)` prints one"
        ))
    })
}

const SECRET_PREFIX: &str = "whsec_";
/// What the standard recommends.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Harbor's column width.
const MAX_NAME_BYTES: usize = 256;
const MAX_ADDRESS_BYTES: usize = 2048;
/// Each event costs a job for each.
const MAX_TARGETS: usize = 20;
