//! What other programs have: their files are read, and said in Tidegate's words.
//!
//! The room reads files and writes none; it knows no other room, so what it gives back is text
//! and plain values. Start with `nginx/mod.rs`; `htpasswd.rs` is one page.

pub mod htpasswd;
pub mod nginx;
