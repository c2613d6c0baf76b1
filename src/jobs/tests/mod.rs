//! Tests of the engine against both databases.
