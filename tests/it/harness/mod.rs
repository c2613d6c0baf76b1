//! The programs the tests drive: the gateway as built, CNCF distribution, clients, PostgreSQL.
//! Start with `gateway.rs`.

mod clients;
mod distribution;
mod folder;
mod gateway;
mod http;
mod image;
mod ledger;
mod line;
mod parcel;
mod postgres;
mod process;
mod python;
mod receiver;
mod rules;
mod vitals;

pub use clients::{Docker, Podman, Skopeo, Succeeds};
pub use distribution::Distribution;
pub use folder::bytes_in;
pub use gateway::{Database, Gateway, Options, PASSWORD};
pub use http::{Answer, Broken, Http};
pub use image::Image;
pub use ledger::Ledger;
pub use line::Line;
pub use parcel::Parcel;
pub use postgres::Postgres;
pub use process::{Process, free_port, until, until_listens};
pub use python::Python;
pub use receiver::Receiver;
pub use rules::rule_for_tags;
pub use vitals::Vitals;
