//! The database: SQLite or PostgreSQL behind one [`Db`], with the same migrations.
//!
//! Rooms keep their statements in their own `queries.rs`, written with [`sqls!`] and run with
//! [`read!`], [`write!`] (one statement) or [`Tx`] and [`run!`] (several). About nine in ten
//! statements are one text for both; where the dialects differ, [`sqls!`] takes two.
//! Conventions: ids and times (milliseconds since the epoch) are `bigint`, lists are JSON text.
//! Start with `db.rs`.

mod db;
mod error;
mod listing;
mod migrations;
mod notices;
mod sql;
#[cfg(test)]
pub(crate) mod testing;

pub use db::{Config, Db, Durability, Tx};
pub use error::Error;
pub use listing::{
    Field, FieldKind, Filter, Listing, ListingError, Page, Selection, Sort, Test, Value,
};
pub use notices::{Notices, notify};
pub use sql::Sql;
pub(crate) use sql::{ids, read, row, run, sqls, write};
