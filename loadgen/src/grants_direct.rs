//! Grants without a gateway: tokens minted with the cluster key, for one node.
//!
//! For load tests of a node by itself. User ids are the connections' indices plus one; each token's epoch is higher than
//! all that this source gave before and than those of earlier runs, since it begins with the wall clock.

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use thiserror::Error;
use wire::token::{Token, TokenKey};
use wire::{Epoch, UserId};

use crate::capture::NodeInfo;
use crate::placement::{Placement, Seats};
use crate::plan::{Grant, GrantSource};

/// How long a token is good for, in milliseconds: a login follows within moments, even on a machine that is very busy.
const TOKEN_LIFE_MS: u64 = 60_000;

/// The node that tokens are for, at one moment.
#[derive(Clone, Debug)]
pub struct DirectNode {
    /// Its name, which tokens are bound to.
    pub name: String,
    /// This start of it, which tokens are bound to.
    pub incarnation: u64,
    /// Its address and common port.
    pub chat: SocketAddrV4,
    /// The port of each shard; empty if clients use the common port.
    pub shard_ports: Vec<u16>,
    /// Its monotonic clock at `read_at`, in milliseconds.
    pub mono_ms: u64,
    /// When that was.
    pub read_at: Instant,
}

/// Why tokens cannot be minted from what a node says of itself.
#[derive(Debug, Error)]
pub enum DirectError {
    /// Its chat address is no IPv4 address and port.
    #[error(
        "the node's chat address `{0}` is not an IPv4 address with a port: start it with --listen IP:PORT"
    )]
    Address(String),
}

impl DirectNode {
    /// Takes what a node just said at `/info`.
    ///
    /// # Errors
    /// When its chat address cannot be used.
    pub fn new(info: &NodeInfo) -> Result<Self, DirectError> {
        let chat = info.chat.parse().map_err(|_| DirectError::Address(info.chat.clone()))?;
        Ok(Self {
            name: info.name.clone(),
            incarnation: info.incarnation,
            chat,
            shard_ports: info.shard_ports.clone(),
            mono_ms: info.mono_ms,
            read_at: Instant::now(),
        })
    }

    fn shards(&self) -> u16 {
        u16::try_from(self.shard_ports.len()).unwrap_or(u16::MAX)
    }

    /// Where a user's shard listens: its home, unless the seats say otherwise.
    fn address_of(&self, user: UserId, seats: &Seats) -> SocketAddrV4 {
        let shard = usize::from(seats.shard(user, self.shards()));
        let port = self.shard_ports.get(shard).copied().unwrap_or_else(|| self.chat.port());
        SocketAddrV4::new(*self.chat.ip(), port)
    }
}

/// The node as it is now. Whoever restarts it puts the new one here, and the next grants are for that.
pub type NodeCell = Arc<Mutex<DirectNode>>;

/// Mints tokens for one node.
#[derive(Debug)]
pub struct DirectGrants {
    key: TokenKey,
    node: NodeCell,
    seats: Seats,
    epoch: u64,
    asked: VecDeque<u32>,
}

impl DirectGrants {
    /// A source for `node`, with the cluster's key.
    #[must_use]
    pub fn new(key: TokenKey, node: DirectNode) -> Self {
        Self::watching(key, Arc::new(Mutex::new(node)))
    }

    /// A source for whatever node is in the cell when a grant is asked for.
    #[must_use]
    pub fn watching(key: TokenKey, node: NodeCell) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        Self { key, node, seats: Seats::default(), epoch, asked: VecDeque::new() }
    }

    /// The same, with users and shards chosen for `connections` by `placement`.
    #[must_use]
    pub fn placed(mut self, placement: Placement, connections: u32) -> Self {
        let shards = self.node.lock().unwrap_or_else(PoisonError::into_inner).shards();
        self.seats = Seats::new(placement, connections, shards);
        self
    }

    fn mint(&mut self, index: u32) -> Grant {
        self.epoch += 1;
        let user = self.seats.user(index);
        let node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        let since_ms = u64::try_from(node.read_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let token = Token {
            user,
            epoch: Epoch(self.epoch),
            incarnation: node.incarnation,
            expires_ms: node.mono_ms.saturating_add(since_ms).saturating_add(TOKEN_LIFE_MS),
        };
        let token = self.key.mint(&token, &node.name).to_vec();
        Grant { index, user, address: node.address_of(user, &self.seats), token }
    }
}

impl GrantSource for DirectGrants {
    fn request(&mut self, index: u32) {
        self.asked.push_back(index);
    }

    fn poll(&mut self) -> Option<Result<Grant, (u32, String)>> {
        let index = self.asked.pop_front()?;
        Some(Ok(self.mint(index)))
    }
}

#[cfg(test)]
mod tests {
    use wire::home_of_user;

    use super::*;

    fn node(shard_ports: Vec<u16>) -> DirectNode {
        DirectNode {
            name: "n1".into(),
            incarnation: 9,
            chat: "127.0.0.1:4000".parse().unwrap(),
            shard_ports,
            mono_ms: 500,
            read_at: Instant::now(),
        }
    }

    fn grant(grants: &mut DirectGrants, index: u32) -> Grant {
        grants.request(index);
        grants.poll().unwrap().unwrap()
    }

    #[test]
    fn the_node_takes_the_token_and_a_second_one_replaces_the_first() {
        let key = TokenKey::new(&[7; 32]).unwrap();
        let mut grants = DirectGrants::new(key.clone(), node(vec![4001, 4002]));
        let (first, second) = (grant(&mut grants, 0), grant(&mut grants, 0));
        let first = key.verify(&first.token, "n1", 9, 600).unwrap();
        let second = key.verify(&second.token, "n1", 9, 600).unwrap();
        assert_eq!(first.user, UserId(1));
        assert!(second.epoch > first.epoch);
        assert!(grants.poll().is_none());
    }

    #[test]
    fn clients_are_sent_to_their_home_shard() {
        let key = TokenKey::new(&[7; 32]).unwrap();
        let mut grants = DirectGrants::new(key, node(vec![4001, 4002, 4003]));
        for index in 0..50 {
            let grant = grant(&mut grants, index);
            assert_eq!(grant.address.port(), 4001 + home_of_user(grant.user, 3).0);
        }
    }

    #[test]
    fn a_node_that_started_again_gets_tokens_for_its_new_incarnation() {
        let key = TokenKey::new(&[7; 32]).unwrap();
        let cell = Arc::new(Mutex::new(node(vec![])));
        let mut grants = DirectGrants::watching(key.clone(), Arc::clone(&cell));
        cell.lock().unwrap().incarnation = 10;
        let grant = grant(&mut grants, 3);
        assert!(key.verify(&grant.token, "n1", 10, 600).is_ok());
        assert_eq!(grant.address.port(), 4000);
    }
}
