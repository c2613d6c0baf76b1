//! The client's side of the registry protocol: remote registries, their credentials, typed operations.
