//! Stories of a session against a node in memory.

mod blocking;
mod node;
mod order;
mod stream;
