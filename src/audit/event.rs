use std::{net::IpAddr, sync::Arc};

/// Something somebody did.
#[derive(Debug, Clone)]
pub struct Event {
    /// Empty when anonymous.
    pub user: String,
    pub operation: Operation,
    /// Harbor's word: `artifact`, `project`, `user`, `member`, `robot`, `registry`, `replication`, …
    pub resource_type: &'static str,
    /// The thing's name: `team/app:1.0`, a user name, an id.
    pub resource: String,
    /// The project it belongs to.
    pub project: Option<String>,
    pub outcome: Outcome,
    /// One sentence for people.
    pub description: String,
    pub source: Option<IpAddr>,
    pub request_id: Option<Arc<str>>,
}

impl Event {
    /// Clients choose these texts, and PostgreSQL refuses a NUL.
    pub(super) fn replace_nul(&mut self) {
        let texts = [&mut self.user, &mut self.resource, &mut self.description];
        for text in texts.into_iter().chain(&mut self.project) {
            if text.contains('\0') {
                *text = text.replace('\0', "\u{fffd}");
            }
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Pull,
    Push,
    Login,
}

/// Whether it worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Succeeded,
    Failed,
}

/// What can be recorded: operations on kinds of things, as `<operation>_<thing>`.
pub const EVENT_TYPES: &[(Operation, &str)] = &[
    (Operation::Push, "artifact"),
    (Operation::Pull, "artifact"),
    (Operation::Delete, "artifact"),
    (Operation::Create, "artifact"),
    (Operation::Update, "repository"),
    (Operation::Delete, "repository"),
    (Operation::Create, "project"),
    (Operation::Update, "project"),
    (Operation::Delete, "project"),
    (Operation::Create, "member"),
    (Operation::Update, "member"),
    (Operation::Delete, "member"),
    (Operation::Create, "robot"),
    (Operation::Update, "robot"),
    (Operation::Delete, "robot"),
    (Operation::Create, "user"),
    (Operation::Update, "user"),
    (Operation::Delete, "user"),
    (Operation::Login, "user"),
    (Operation::Create, "user_group"),
    (Operation::Update, "user_group"),
    (Operation::Delete, "user_group"),
    (Operation::Create, "registry"),
    (Operation::Update, "registry"),
    (Operation::Delete, "registry"),
    (Operation::Create, "replication_policy"),
    (Operation::Update, "replication_policy"),
    (Operation::Delete, "replication_policy"),
    (Operation::Create, "label"),
    (Operation::Update, "label"),
    (Operation::Delete, "label"),
    (Operation::Create, "immutable_tag_rule"),
    (Operation::Update, "immutable_tag_rule"),
    (Operation::Delete, "immutable_tag_rule"),
    (Operation::Create, "tag_retention"),
    (Operation::Update, "tag_retention"),
    (Operation::Delete, "tag_retention"),
    (Operation::Create, "webhook"),
    (Operation::Update, "webhook"),
    (Operation::Delete, "webhook"),
    (Operation::Create, "replication"),
    (Operation::Update, "replication"),
    (Operation::Create, "job"),
    (Operation::Update, "job"),
    (Operation::Update, "configuration"),
    (Operation::Create, "garbage_collection"),
    (Operation::Update, "garbage_collection"),
    (Operation::Create, "purge_audit"),
    (Operation::Update, "purge_audit"),
];

impl Operation {
    pub(super) const ALL: [Self; 6] = [
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Pull,
        Self::Push,
        Self::Login,
    ];

    /// The word in the table and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Login => "login",
        }
    }
}
