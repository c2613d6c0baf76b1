//! Harbor's REST API v2.0.
