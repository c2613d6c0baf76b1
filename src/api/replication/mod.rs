//! `/api/v1/replication`: what Harbor's API has no words for, for system administrators.

mod plan;

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
}
