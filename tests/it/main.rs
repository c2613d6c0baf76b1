//! Tidegate from the outside: the built program, real registries, real clients.
//!
//! `tests/run` installs and starts what these tests need. `harness` holds the programs they
//! drive; every other file is named for what it shows.

mod layers;
