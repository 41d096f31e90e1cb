//! Grants for a server that speaks the raw protocol: no tokens, just numbers.

use std::collections::VecDeque;
use std::net::SocketAddrV4;

use wire::UserId;

use crate::plan::{Grant, GrantSource};

/// Lets everybody in: connection n logs in as number n.
#[derive(Debug)]
pub struct RawGrants {
    server: SocketAddrV4,
    asked: VecDeque<u32>,
}

impl RawGrants {
    /// A source for the server at an address.
    #[must_use]
    pub const fn new(server: SocketAddrV4) -> Self {
        Self { server, asked: VecDeque::new() }
    }
}

impl GrantSource for RawGrants {
    fn request(&mut self, index: u32) {
        self.asked.push_back(index);
    }

    fn poll(&mut self) -> Option<Result<Grant, (u32, String)>> {
        let index = self.asked.pop_front()?;
        let token = [&b"L"[..], &index.to_le_bytes()].concat();
        // The ledger knows users; zero is none.
        let user = UserId(u64::from(index) + 1);
        Some(Ok(Grant { index, user, address: self.server, token }))
    }
}
