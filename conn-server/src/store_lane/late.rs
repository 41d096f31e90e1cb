//! A connection of the store that may not be there yet: opened when it is asked for, again and again until it works.
//!
//! So a node whose disk is full starts, says so, and serves what needs no disk.

use store::{Options, Reader, Result, Writer};

/// The connection, or how to get it.
#[derive(Debug)]
pub(super) struct Late<T> {
    options: Options,
    open: fn(&Options) -> Result<T>,
    connection: Option<T>,
}

impl Late<Writer> {
    /// The one that writes.
    pub(super) fn writer(options: &Options) -> Self {
        Self { options: options.clone(), open: Writer::open, connection: None }
    }
}

impl Late<Reader> {
    /// The one that reads.
    pub(super) fn reader(options: &Options) -> Self {
        Self { options: options.clone(), open: Reader::open, connection: None }
    }
}

impl<T> Late<T> {
    /// The open connection.
    pub(super) fn get(&mut self) -> Result<&mut T> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => (self.open)(&self.options)?,
        };
        Ok(self.connection.insert(connection))
    }
}
