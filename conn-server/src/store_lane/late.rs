//! A connection of the store that may not be there yet: opened when it is asked for, again and again until it works.
//!
//! So a node whose disk is full starts, says so, and serves what needs no disk.

use store::{Backend, LinkStats, MessageReader, MessageWriter, Result};

/// The connection, or how to get it.
#[derive(Debug)]
pub(super) struct Late<T> {
    backend: Backend,
    open: fn(&Backend) -> Result<T>,
    connection: Option<T>,
}

/// The one that writes.
pub(super) type LateWriter = Late<Box<dyn MessageWriter>>;

/// The one that reads.
pub(super) type LateReader = Late<Box<dyn MessageReader>>;

impl LateWriter {
    pub(super) fn writer(backend: &Backend) -> Self {
        Self { backend: backend.clone(), open: Backend::writer, connection: None }
    }

    /// How its connection has fared.
    pub(super) fn links(&self) -> LinkStats {
        self.connection.as_ref().map(|writer| writer.links()).unwrap_or_default()
    }
}

impl LateReader {
    pub(super) fn reader(backend: &Backend) -> Self {
        Self { backend: backend.clone(), open: Backend::reader, connection: None }
    }

    /// How its connection has fared.
    pub(super) fn links(&self) -> LinkStats {
        self.connection.as_ref().map(|reader| reader.links()).unwrap_or_default()
    }
}

impl<T> Late<T> {
    /// The open connection.
    pub(super) fn get(&mut self) -> Result<&mut T> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => (self.open)(&self.backend)?,
        };
        Ok(self.connection.insert(connection))
    }
}
