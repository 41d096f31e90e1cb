//! The node as a process: killed, restarted, and fed with what is no protocol.
//!
//! `KILLS=10` and `MUTATED_FRAMES=10000000` run the long forms; the defaults are sized for every change. `NODE_IO=monoio`
//! (or another driver) has the nodes use it.

#![allow(unreachable_pub, reason = "the modules of one test")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks at")]

mod abuse;
mod kill;
mod node;
mod services;
mod wire_peer;

/// A number from the environment, for the long forms.
pub fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
        Err(_) => default,
    }
}
