//! The way of a request to `/v2/`: parse, authenticate, authorise, intend, forward, conclude.
