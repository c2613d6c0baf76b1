use serde_json::{Value, json};

use crate::auth::{Resource, Verb};

/// Who may use an operation. The handler enforces it; `tests/walk.rs` proves that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Permission {
    /// Anybody, also anonymously.
    Open,
    /// Every user and robot.
    SignedIn,
    /// System administrators.
    Administrator,
    /// Who may do this in the system.
    System(Resource, Verb),
    /// Who may do this in the project that the path names.
    Project(Resource, Verb),
    /// Who may do this where the thing belongs: in its project or, when it has none, in the
    /// system.
    Home(Resource, Verb),
    /// The user in the path, and who may do this in the system.
    Oneself(Resource, Verb),
    /// Decided by what is asked for, as the line says.
    ByCase(&'static str),
}

impl Permission {
    /// The operation's `x-permission`.
    pub(super) fn describe(self) -> Value {
        let of = |scope: &str, resource: Resource, verb: Verb| json!({"scope": scope, "resource": resource.as_str(), "action": verb.as_str()});
        match self {
            Self::Open => json!({"scope": "anybody"}),
            Self::SignedIn => json!({"scope": "signed-in"}),
            Self::Administrator => json!({"scope": "administrator"}),
            Self::System(resource, verb) => of("system", resource, verb),
            Self::Project(resource, verb) => of("project", resource, verb),
            Self::Home(resource, verb) => of("home", resource, verb),
            Self::Oneself(resource, verb) => of("oneself", resource, verb),
            Self::ByCase(rule) => json!({"scope": "case", "rule": rule}),
        }
    }
}
