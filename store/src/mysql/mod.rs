//! The same store in a database that speaks the MySQL protocol, for more than one node: MariaDB, MySQL and their kin.
//!
//! One database has everything, so that one transaction can write all of a batch. Every thread has a connection of its
//! own, and a small runtime that only that thread drives: nothing waits for a pool, and there are as many connections as
//! threads. Whatever several nodes could disagree about is decided under row locks: a conversation's last `seq` and a
//! group's members are never remembered from one transaction to the next.

mod accounts;
mod fault;
mod ledger;
mod link;
mod locks;
mod options;
mod places;
mod private;
mod reader;
mod schema;
mod statement;
mod trim;
mod writer;

pub(crate) use accounts::Accounts;
pub use options::MysqlOptions;
pub use private::PrivateServer;
pub use reader::MysqlReader;
pub use writer::MysqlWriter;
