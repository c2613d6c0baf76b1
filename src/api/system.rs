//! Tag `systeminfo`: what this installation is.

use std::path::Path;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Shared,
    caller::Caller,
    error::Error,
    openapi::{Answer, Routes, Success},
};
use crate::{
    auth::{Resource, Verb},
    clock::Timestamp,
};

pub(super) fn routes() -> Routes {
    Routes::new("systeminfo")
        .get("/systeminfo", "What this installation is", info)
        .open()
        .get(
            "/systeminfo/getcert",
            "The certificate that clients must trust",
            certificate,
        )
        .open()
        .get("/systeminfo/volumes", "The space for blobs", volumes)
        .needs(Resource::SystemVolumes, Verb::Read)
}

/// `GET /api/version`, outside the contract: by it Harbor's clients know which API is here.
pub(super) async fn version() -> axum::Json<Version> {
    axum::Json(Version { version: "v2.0" })
}

/// Which API is here.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "APIVersion")]
pub(super) struct Version {
    version: &'static str,
}

/// What this installation is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "GeneralInfo")]
struct Info {
    auth_mode: &'static str,
    primary_auth_mode: bool,
    self_registration: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    banner_message: String,
    current_time: Timestamp,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    protected: Option<ProtectedInfo>,
}

/// What only those who are signed in see.
#[derive(Debug, Serialize, JsonSchema)]
struct ProtectedInfo {
    registry_url: String,
    external_url: String,
    project_creation_restriction: &'static str,
    has_ca_root: bool,
    harbor_version: String,
    registry_storage_provider_name: &'static str,
    read_only: bool,
    notification_enable: bool,
}

async fn info(State(api): State<Shared>, caller: Caller) -> axum::Json<Info> {
    let settings = api.auth.settings();
    let installation = &api.installation;
    let external_url = match &installation.external_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("{}://{}", caller.peer.scheme, caller.peer.host),
    };
    let protected = caller.signed_in().is_ok().then(|| ProtectedInfo {
        registry_url: external_url
            .split_once("://")
            .map_or(external_url.as_str(), |(_, host)| host)
            .to_owned(),
        external_url,
        project_creation_restriction: settings.project_creation_restriction.as_str(),
        has_ca_root: installation
            .ca_certificate
            .as_deref()
            .is_some_and(Path::exists),
        harbor_version: format!("{HARBOR_VERSION}-tidegate-{}", env!("CARGO_PKG_VERSION")),
        registry_storage_provider_name: match installation.storage {
            Some(_) => "filesystem",
            None => "remote",
        },
        read_only: settings.read_only,
        notification_enable: settings.notification_enable,
    });
    axum::Json(Info {
        auth_mode: "db_auth",
        primary_auth_mode: false,
        self_registration: settings.self_registration,
        banner_message: settings.banner_message.clone(),
        current_time: api.clock.now(),
        protected,
    })
}

/// The certificate of the authority that clients must trust, PEM.
struct Certificate(Vec<u8>);

impl IntoResponse for Certificate {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, PEM),
            (header::CONTENT_DISPOSITION, "attachment; filename=ca.crt"),
        ];
        (headers, self.0).into_response()
    }
}

impl Answer for Certificate {
    fn success() -> Success {
        Success::other(&[PEM])
    }
}

async fn certificate(State(api): State<Shared>) -> Result<Certificate, Error> {
    let missing = || Error::NotFound("this gateway has no root certificate of its own".into());
    let path = api
        .installation
        .ca_certificate
        .as_deref()
        .ok_or_else(missing)?;
    match tokio::fs::read(path).await {
        Ok(pem) => Ok(Certificate(pem)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(missing()),
        Err(error) => Err(Error::internal(format!(
            "reading {}: {error}",
            path.display()
        ))),
    }
}

/// The space for blobs.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SystemInfo")]
struct Volumes {
    storage: [Volume; 1],
}

/// Bytes of the file system that holds the embedded registry.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Storage")]
struct Volume {
    total: u64,
    free: u64,
}

async fn volumes(State(api): State<Shared>, caller: Caller) -> Result<axum::Json<Volumes>, Error> {
    api.system(&caller, Resource::SystemVolumes, Verb::Read)?;
    let Some(path) = &api.installation.storage else {
        return Err(Error::NotFound(
            "the registry behind this gateway keeps its storage elsewhere".into(),
        ));
    };
    let volume = rustix::fs::statvfs(path).map_err(|error| {
        Error::internal(format!("the file system of {}: {error}", path.display()))
    })?;
    Ok(axum::Json(Volumes {
        storage: [Volume {
            total: volume.f_blocks.saturating_mul(volume.f_frsize),
            free: volume.f_bavail.saturating_mul(volume.f_frsize),
        }],
    }))
}

const PEM: &str = "application/x-pem-file";

/// The Harbor whose API this is; clients choose their requests by it.
const HARBOR_VERSION: &str = "v2.16.0";
