//! Logs, the access log and metrics: how the program tells what it does.
