//! `/api/v1/replication`: what Harbor's API has no words for, for system administrators; waiting is for
//! whoever may pull.

mod lag;
mod plan;
mod runs;
mod wait;

use super::openapi::Routes;
use crate::auth::{Resource, Verb};

/// The routes by their whole paths, for they do not lie below the contract's root.
pub(super) fn routes() -> Routes {
    Routes::new("replication")
        .post(
            "/api/v1/replication/plan",
            "What running a policy would do now",
            plan::plan,
        )
        .needs(Resource::ReplicationPolicy, Verb::Read)
        .post(
            "/api/v1/replication/executions/{id}/retry",
            "Try again what failed of a run",
            runs::retry,
        )
        .needs(Resource::Replication, Verb::Create)
        .post(
            "/api/v1/replication/policies/{id}/stop",
            "Stop all that a policy has under way",
            runs::stop,
        )
        .needs(Resource::Replication, Verb::Create)
        .get(
            "/api/v1/replication/policies/{id}/firings",
            "What became of the slots of a policy's schedule",
            runs::firings,
        )
        .needs(Resource::Replication, Verb::List)
        .get(
            "/api/v1/replication/lag",
            "How far policies and targets are behind",
            lag::lag,
        )
        .needs(Resource::ReplicationPolicy, Verb::Read)
        .get(
            "/api/v1/replication/wait",
            "Wait until a tag or digest is at its targets",
            wait::wait,
        )
        .requires(&["repository", "reference"])
        .by_case("who is signed in and may pull from the repository")
}
