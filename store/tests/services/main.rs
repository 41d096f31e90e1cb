//! The rules of the services, story by story, against a store: who may do what, and what is told to whom.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks at")]
#![allow(unreachable_pub, reason = "the modules of one test")]

#[path = "../ground/mod.rs"]
mod ground;

mod friends;
mod groups;
mod inbox;
mod matrix;
mod people;
mod shop;
