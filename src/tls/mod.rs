//! Certificates: for the listener, made on first start and reloaded on change; trust for clients.
