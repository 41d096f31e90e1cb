//! What is measured, apart from how: fixed inputs, pieces of work, and the facts that every result carries.
//!
//! The same [`work`] is timed by criterion, counted in instructions under callgrind, and watched for heap allocations.
#![deny(unsafe_code)]

pub mod baseline;
pub mod facts;
pub mod frames;
pub mod headline;
pub mod heap;
pub mod runs;
pub mod stage;
pub mod work;
