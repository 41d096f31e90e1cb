//! What outlives a process: accounts and messages, in SQLite.
//!
//! Owns the two database files, their schemas and their promises. Calls block, so they belong on threads of their own;
//! nothing here knows a socket, an async runtime or a shard. A success means that the change is on the disk: there is no
//! setting that weakens this, because whoever wants less simply does not wait for the answer.
#![forbid(unsafe_code)]

mod accounts;
mod database;
mod error;
pub mod limits;
mod messages;
mod services;

pub use accounts::{
    Account, Accounts, AccountsHandle, AccountsService, NewAccount, Registered, Taken,
};
pub use database::{ACCOUNTS_FILE, MESSAGES_FILE, Options};
pub use error::{Error, Result};
pub use messages::{
    Appended, ConversationPage, Message, Page, Reader, Record, RecordFault, Worked, Writer,
    draw_id_blocks,
};
pub use services::{Answer, Ask, Audience, Served, Tell};
