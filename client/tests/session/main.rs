//! Stories of a session against a node in memory.

mod node;
mod order;
mod stream;
