//! What other programs have: their files are read, and said in Tidegate's words.
//!
//! The room writes no file and knows no other room; what it gives back is text and plain values.

pub mod htpasswd;
