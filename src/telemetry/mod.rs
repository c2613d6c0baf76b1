//! What the process tells its operator: log lines and the `/metrics` page.
//!
//! The other rooms log through `tracing` and register their own metrics; this room sets up where
//! lines go and writes the registry out as text. It knows no other room. Read `logging.rs` first.

mod exposition;
mod log_file;
mod logging;
mod process;
mod runtime;

pub use exposition::{CONTENT_TYPE, exposition};
pub use log_file::{Appended, LogFile};
pub use logging::{AccessLogFormat, Config, Error, LogFormat, init};
pub use process::ProcessMetrics;
pub use runtime::RuntimeMetrics;
