//! Routes that say what they are for: what is served and what the document says are one list.

use axum::{
    Router,
    handler::Handler,
    routing::{MethodFilter, on},
};

use crate::api::Shared;

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
    /// The schema of the request's body, by its name in the document.
    pub(super) takes: Option<&'static str>,
    /// The schema of a good answer.
    pub(super) answers: Option<&'static str>,
    pub(super) is_paged: bool,
}

impl Operation {
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
            answers: None,
            is_paged: false,
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

/// Methods by their names; each takes a path, one line about it, and what serves it.
macro_rules! methods {
    ($($name:ident = $method:ident;)*) => {
        $(pub(in crate::api) fn $name<H, T>(
            self,
            path: &str,
            summary: &'static str,
            handler: H,
        ) -> Self
        where
            H: Handler<T, Shared>,
            T: 'static,
        {
            let operation = Operation::new(stringify!($method), path, self.tag, summary);
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

    /// The operation before answers a list in pages.
    pub(in crate::api) fn paged(self) -> Self {
        self.with(|operation| operation.is_paged = true)
    }

    /// The operation before takes a body of this schema.
    pub(in crate::api) fn takes(self, schema: &'static str) -> Self {
        self.with(|operation| operation.takes = Some(schema))
    }

    /// The operation before answers with this schema.
    pub(in crate::api) fn answers(self, schema: &'static str) -> Self {
        self.with(|operation| operation.answers = Some(schema))
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
