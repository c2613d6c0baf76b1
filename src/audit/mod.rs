//! The audit trail: who did what to which resource, and whether it was allowed.
