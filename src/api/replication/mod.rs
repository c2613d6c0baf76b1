//! `/api/v1/replication`: what Harbor's API has no words for, for system administrators; waiting is for
//! whoever may pull.

mod lag;
mod plan;
mod wait;

use super::openapi::Routes;

/// The routes by their whole paths, for they do not lie below the contract's root.
pub(super) fn routes() -> Routes {
    Routes::new("replication")
        .post(
            "/api/v1/replication/plan",
            "What running a policy would do now",
            plan::plan,
        )
        .takes("PlanRequest")
        .answers("Plan")
        .get(
            "/api/v1/replication/lag",
            "How far policies and targets are behind",
            lag::lag,
        )
        .answers("Lag")
        .get(
            "/api/v1/replication/wait",
            "Wait until a tag or digest is at its targets",
            wait::wait,
        )
        .answers("Standing")
}
