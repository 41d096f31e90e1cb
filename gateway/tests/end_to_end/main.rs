//! The gateway over real HTTP, with a real balancer behind it and a fake node.

mod accounts;
mod bounds;
mod chatter;
mod codes;
mod document;
mod logins;
mod redis;
mod resets;
mod system;
mod verify;
