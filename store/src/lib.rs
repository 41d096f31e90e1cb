//! What outlives a process: accounts and messages, in SQLite or in a database that speaks the MySQL protocol.
//!
//! Owns the databases, their schemas and their promises. Calls block, so they belong on threads of their own;
//! nothing here knows a client or a shard, and no async runtime shows. A success means that the change is on the disk: there is no
//! setting that weakens this, because whoever wants less simply does not wait for the answer.
#![forbid(unsafe_code)]

mod accounts;
mod backup;
mod contract;
mod database;
mod error;
pub mod limits;
mod messages;
mod mysql;
mod services;

pub use accounts::{
    Account, Accounts, AccountsHandle, AccountsService, NewAccount, Registered, Taken,
};
pub use backup::{BackupFile, Manifest, Progress, back_up, restore};
pub use contract::{Backend, LinkStats, MessageReader, MessageWriter, Place, StoreChoice};
pub use database::{ACCOUNTS_FILE, MESSAGES_FILE, Options};
pub use error::{Error, Result};
pub use messages::{
    Appended, ConversationPage, Message, Page, Reader, Record, RecordFault, Retention, Trimmed,
    Worked, Writer, draw_id_blocks,
};
pub use mysql::{MysqlOptions, MysqlReader, MysqlWriter, PrivateServer};
pub use services::{Answer, Ask, Audience, Served, Tell};
