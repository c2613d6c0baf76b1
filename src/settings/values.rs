use serde::{Deserialize, Serialize};

/// All settings that this gateway acts on, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[expect(clippy::struct_excessive_bools, reason = "Harbor's switches")]
pub struct Values {
    /// Pushes, deletes and changes through the API are refused.
    pub read_only: bool,
    pub project_creation_restriction: ProjectCreation,
    /// Whether anybody may create a user for themselves.
    pub self_registration: bool,
    /// Minutes a bearer token lives.
    pub token_expiration: u32,
    /// Days a robot lives when its creator does not say; -1: for ever.
    pub robot_token_duration: i64,
    /// What the names of robots made from now on begin with.
    pub robot_name_prefix: String,
    /// What is shown to everybody, as the client wrote it; empty: nothing.
    pub banner_message: String,
    /// Whether webhooks are sent.
    pub notification_enable: bool,
    /// Whether limits hold, and new projects get the limit `storage_per_project`.
    pub quota_per_project_enable: bool,
    /// Bytes; -1: no limit.
    pub storage_per_project: i64,
    /// Pulls do not change when a tag or an artifact was pulled last.
    pub pull_time_update_disable: bool,
    /// Pulls are not counted.
    pub pull_count_update_disable: bool,
    /// Pulls are not recorded.
    pub pull_audit_log_disable: bool,
    /// A syslog receiver, as [`Endpoint::parse`](super::Endpoint::parse) takes it; empty: none.
    pub audit_log_forward_endpoint: String,
    /// What is sent to the receiver is not written to the database.
    pub skip_audit_log_database: bool,
    /// Types of events that are not recorded, with commas between them.
    pub disabled_audit_log_event_types: String,
}

/// Who may create projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProjectCreation {
    #[default]
    Everyone,
    AdminOnly,
}

impl ProjectCreation {
    /// Harbor's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::AdminOnly => "adminonly",
        }
    }
}

impl Default for Values {
    fn default() -> Self {
        Self {
            read_only: false,
            project_creation_restriction: ProjectCreation::Everyone,
            self_registration: false,
            token_expiration: 30,
            robot_token_duration: 30,
            robot_name_prefix: "robot$".to_owned(),
            banner_message: String::new(),
            notification_enable: true,
            quota_per_project_enable: true,
            storage_per_project: -1,
            pull_time_update_disable: false,
            pull_count_update_disable: false,
            pull_audit_log_disable: false,
            audit_log_forward_endpoint: String::new(),
            skip_audit_log_database: false,
            disabled_audit_log_event_types: String::new(),
        }
    }
}
