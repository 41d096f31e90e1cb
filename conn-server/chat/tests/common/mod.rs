//! A world for the core: shards, links, a store and a clock, all in memory and all driven by the test.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses its part of it")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks at")]

pub mod peer;
pub mod store;
pub mod world;

pub use peer::Seen;
pub use world::{World, WorldConfig};
