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

impl Operation {
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
