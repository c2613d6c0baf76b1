//! What a handler's signature says about it, so that the document cannot say anything else.

use axum::extract::{Extension, State};
use http::{HeaderMap, Uri};
use schemars::{JsonSchema, SchemaGenerator};

use super::{Answer, SchemaOf, Success};
use crate::api::{
    Shared,
    caller::{Caller, Registrant},
    json::Json,
    paging::ListQuery,
    path::PathParameters,
};

/// A handler whose arguments and answer are known; `T` is that of [`axum::handler::Handler`].
pub(in crate::api) trait Signature<T> {
    /// The schema of the body that it takes.
    fn takes() -> Option<SchemaOf>;

    /// What it answers when all is well.
    fn answers() -> Success;
}

/// What a handler takes from a request.
pub(in crate::api) trait Argument {
    /// The schema of the body, if it is the body.
    fn body() -> Option<SchemaOf> {
        None
    }
}

impl<T: JsonSchema> Argument for Json<T> {
    fn body() -> Option<SchemaOf> {
        Some(SchemaGenerator::subschema_for::<T>)
    }
}

impl<T> Argument for Extension<T> {}
impl Argument for Caller {}
impl Argument for HeaderMap {}
impl Argument for ListQuery {}
impl Argument for PathParameters {}
impl Argument for Registrant {}
impl Argument for State<Shared> {}
impl Argument for Uri {}

macro_rules! signatures {
    ($($first:ident $($rest:ident)*)?) => {
        impl<F, Answering, Via, $($first, $($rest,)*)?> Signature<(Via, $($first, $($rest,)*)?)> for F
        where
            F: FnOnce($($first, $($rest,)*)?) -> Answering,
            Answering: Future<Output: Answer>,
            $($first: Argument, $($rest: Argument,)*)?
        {
            fn takes() -> Option<SchemaOf> {
                None$(.or_else($first::body)$(.or_else($rest::body))*)?
            }

            fn answers() -> Success {
                Answering::Output::success()
            }
        }

        $(signatures! { $($rest)* })?
    };
}

signatures! { A B C D E }
