//! Routes that say what they are for: what is served and what the document says are one list.

use axum::{
    Router,
    handler::Handler,
    routing::{MethodFilter, on},
};
use schemars::JsonSchema;

use super::{SchemaOf, Success, permission::Permission, signature::Signature};
use crate::{
    api::Shared,
    auth::{Resource, Verb},
};

/// What one method of one path does.
#[derive(Debug, Clone)]
pub struct Operation {
    /// `GET`.
    pub method: &'static str,
    /// With its parameters in braces.
    pub path: String,
    /// The group it belongs to.
    pub tag: &'static str,
    /// One line.
    pub summary: &'static str,
    /// The schema of the request's body.
    pub(super) takes: Option<SchemaOf>,
    /// What it answers when all is well.
    pub(super) success: Success,
    /// What the query must hold.
    pub(super) required: &'static [&'static str],
    /// None where another room serves it.
    pub(super) permission: Option<Permission>,
}

impl Operation {
    /// One that takes no body and answers none.
    pub fn new(
        method: &'static str,
        path: impl Into<String>,
        tag: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path: path.into(),
            tag,
            summary,
            takes: None,
            success: Success::EMPTY,
            required: &[],
            permission: None,
        }
    }

    /// The same, with an answer in JSON.
    #[must_use]
    pub fn answering<T: JsonSchema>(self) -> Self {
        Self {
            success: Success::json::<T>(),
            ..self
        }
    }

    /// The same, with an answer of one of these media types.
    #[must_use]
    pub fn answering_other(self, media_types: &'static [&'static str]) -> Self {
        Self {
            success: Success::other(media_types),
            ..self
        }
    }
}

/// The routes of one tag.
#[derive(Debug)]
pub(in crate::api) struct Routes {
    tag: &'static str,
    router: Router<Shared>,
    operations: Vec<Operation>,
}

/// Methods by their names; each takes a path, one line about it, and what serves it, whose
/// signature says what is taken and answered.
macro_rules! methods {
    ($($name:ident = $method:ident;)*) => {
        $(pub(in crate::api) fn $name<H, T>(
            self,
            path: &str,
            summary: &'static str,
            handler: H,
        ) -> Self
        where
            H: Handler<T, Shared> + Signature<T>,
            T: 'static,
        {
            let operation = Operation {
                takes: H::takes(),
                success: H::answers(),
                ..Operation::new(stringify!($method), path, self.tag, summary)
            };
            self.serve(MethodFilter::$method, operation, handler)
        })*
    };
}

impl Routes {
    pub(in crate::api) fn new(tag: &'static str) -> Self {
        Self {
            tag,
            router: Router::new(),
            operations: Vec::new(),
        }
    }

    methods! { get = GET; head = HEAD; post = POST; put = PUT; patch = PATCH; delete = DELETE; }

    fn serve<H, T>(mut self, filter: MethodFilter, operation: Operation, handler: H) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        let path = operation.path.replace("{project_name}", PROJECT);
        self.router = self.router.route(&path, on(filter, handler));
        self.operations.push(operation);
        self
    }

    /// Anybody may use the operation before, also anonymously.
    pub(in crate::api) fn open(self) -> Self {
        self.permitted(Permission::Open)
    }

    /// Every user and robot may use the operation before.
    pub(in crate::api) fn signed_in(self) -> Self {
        self.permitted(Permission::SignedIn)
    }

    /// The operation before is for system administrators.
    pub(in crate::api) fn administrator(self) -> Self {
        self.permitted(Permission::Administrator)
    }

    /// The operation before is for who may do this in the system.
    pub(in crate::api) fn needs(self, resource: Resource, verb: Verb) -> Self {
        self.permitted(Permission::System(resource, verb))
    }

    /// The operation before is for who may do this in the project that the path names.
    pub(in crate::api) fn needs_in_project(self, resource: Resource, verb: Verb) -> Self {
        self.permitted(Permission::Project(resource, verb))
    }

    /// The operation before is for who may do this where the thing belongs: in its project or,
    /// when it has none, in the system.
    pub(in crate::api) fn needs_at_home(self, resource: Resource, verb: Verb) -> Self {
        self.permitted(Permission::Home(resource, verb))
    }

    /// The operation before is for the user in the path, and for who may do this in the system.
    pub(in crate::api) fn needs_or_oneself(self, resource: Resource, verb: Verb) -> Self {
        self.permitted(Permission::Oneself(resource, verb))
    }

    /// Who may use the operation before depends on what is asked for, as the line says.
    pub(in crate::api) fn by_case(self, rule: &'static str) -> Self {
        self.permitted(Permission::ByCase(rule))
    }

    fn permitted(self, permission: Permission) -> Self {
        self.with(|operation| operation.permission = Some(permission))
    }

    /// The operation before needs these parameters in the query.
    pub(in crate::api) fn requires(self, parameters: &'static [&'static str]) -> Self {
        self.with(|operation| operation.required = parameters)
    }

    fn with(mut self, change: impl FnOnce(&mut Operation)) -> Self {
        if let Some(operation) = self.operations.last_mut() {
            change(operation);
        }
        self
    }

    pub(in crate::api) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.operations.extend(other.operations);
        self
    }

    /// Wraps what serves, not what is said of it.
    pub(in crate::api) fn wrap(
        mut self,
        wrap: impl FnOnce(Router<Shared>) -> Router<Shared>,
    ) -> Self {
        self.router = wrap(self.router);
        self
    }

    /// All routes below a path.
    pub(in crate::api) fn below(self, root: &str) -> Self {
        let below = |operation: Operation| Operation {
            path: format!("{root}{}", operation.path),
            ..operation
        };
        Self {
            tag: self.tag,
            router: Router::new().nest(root, self.router),
            operations: self.operations.into_iter().map(below).collect(),
        }
    }

    pub(in crate::api) fn into_parts(self) -> (Router<Shared>, Vec<Operation>) {
        (self.router, self.operations)
    }
}

/// The router wants one name for the parameter that some paths call `project_name`.
const PROJECT: &str = "{project_name_or_id}";
