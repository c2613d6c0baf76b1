//! A complete OCI registry on the local file system, served in process.
