//! What several servers share: a Redis, how it is named, how it is called, and one of one's own for tests and for trying
//! things out.
//!
//! One connection carries all calls of a process, so there is no pool to size: calls do not wait for each other's
//! answers. Every step on shared state is one short script, whose keys have one hash tag, so that a cluster takes them.

mod link;
mod private;
mod url;

pub use ::redis::{FromRedisValue, Script, ToRedisArgs};
pub use link::{Away, Link};
pub use private::{PrivateRedis, StartError};
pub use url::{BadRedis, RedisUrl};
