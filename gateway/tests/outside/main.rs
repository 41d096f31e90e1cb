//! The gateway against tools that others wrote: a fuzzer of documented HTTP interfaces, and a mail server.
//!
//! They are Python programs, installed from the package index into a directory of the build. Where there is no Python, or
//! the index cannot be reached, the tests say so on stderr and test nothing.

mod mail;
mod python;
mod schema;
#[allow(dead_code, reason = "another test program uses all of it")]
#[path = "../end_to_end/system.rs"]
mod system;
