//! The login token: who may open which session on which incarnation of which node, until when.
//!
//! ```text
//!  0         1        9        17            25            33            65
//!  +---------+--------+--------+-------------+-------------+-------------+
//!  | version | user   | epoch  | incarnation | expires ms  | HMAC-SHA-256|
//!  |    1    | u64 LE | u64 LE |   u64 LE    |   u64 LE    |  32 bytes   |
//!  +---------+--------+--------+-------------+-------------+-------------+
//! ```
//!
//! The MAC covers a domain label, the 33 bytes before it and the node's name, so that a token is worthless at any other
//! node. `expires` counts milliseconds of the incarnation's own monotonic clock: no two clocks need agree.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ids::{Epoch, UserId};

/// Bytes of a token.
pub const TOKEN_BYTES: usize = BODY_BYTES + MAC_BYTES;
/// Bytes of a cluster key at the least: as many as the hash gives out.
pub const KEY_BYTES_MIN: usize = 32;

const BODY_BYTES: usize = 33;
const MAC_BYTES: usize = 32;
const TOKEN_VERSION: u8 = 1;
const DOMAIN: &[u8] = b"ringline login token 1\0";

const _: () = assert!(TOKEN_BYTES <= crate::limits::TOKEN_BYTES_MAX);

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose session it opens.
    pub user: UserId,
    /// The session's epoch.
    pub epoch: Epoch,
    /// The start of the node that it is for.
    pub incarnation: u64,
    /// When it ends, in milliseconds of that incarnation's monotonic clock.
    pub expires_ms: u64,
}

/// Why a token was refused. A peer learns only that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Not the bytes of a token of this version.
    Malformed,
    /// Made with another key, for another node, or altered.
    Forged,
    /// For another start of this node.
    Incarnation,
    /// Too late.
    Expired,
}

/// A key with its first hash blocks worked out, so that a login costs two compressions less.
#[derive(Clone)]
pub struct TokenKey {
    mac: Hmac<Sha256>,
}

impl core::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

impl TokenKey {
    /// Takes a cluster key, or `None` if it is shorter than [`KEY_BYTES_MIN`].
    #[must_use]
    pub fn new(key: &[u8]) -> Option<Self> {
        if key.len() < KEY_BYTES_MIN {
            return None;
        }
        let mut mac = Hmac::new_from_slice(key).ok()?;
        mac.update(DOMAIN);
        Some(Self { mac })
    }

    /// Makes the token's bytes for the node called `node`.
    #[must_use]
    pub fn mint(&self, token: &Token, node: &str) -> [u8; TOKEN_BYTES] {
        let mut bytes = [0; TOKEN_BYTES];
        let (body, mac_bytes) = bytes.split_at_mut(BODY_BYTES);
        body[0] = TOKEN_VERSION;
        body[1..9].copy_from_slice(&token.user.0.to_le_bytes());
        body[9..17].copy_from_slice(&token.epoch.0.to_le_bytes());
        body[17..25].copy_from_slice(&token.incarnation.to_le_bytes());
        body[25..33].copy_from_slice(&token.expires_ms.to_le_bytes());
        let mac = self.mac.clone().chain_update(&*body).chain_update(node.as_bytes());
        mac_bytes.copy_from_slice(&mac.finalize().into_bytes());
        bytes
    }

    /// Checks a token at the node called `node`, started as `incarnation`, at `now_ms` of its monotonic clock.
    ///
    /// # Errors
    /// The first reason to refuse it; the MAC is compared in constant time, before anything else is believed.
    pub fn verify(
        &self,
        bytes: &[u8],
        node: &str,
        incarnation: u64,
        now_ms: u64,
    ) -> Result<Token, TokenError> {
        let bytes: &[u8; TOKEN_BYTES] = bytes.try_into().map_err(|_| TokenError::Malformed)?;
        let (body, mac_bytes) = bytes.split_at(BODY_BYTES);
        if body[0] != TOKEN_VERSION {
            return Err(TokenError::Malformed);
        }
        let mac = self.mac.clone().chain_update(body).chain_update(node.as_bytes());
        mac.verify_slice(mac_bytes).map_err(|_| TokenError::Forged)?;
        let number = |at: usize| {
            let mut le = [0; 8];
            le.copy_from_slice(&body[at..at + 8]);
            u64::from_le_bytes(le)
        };
        let token = Token {
            user: UserId(number(1)),
            epoch: Epoch(number(9)),
            incarnation: number(17),
            expires_ms: number(25),
        };
        if token.incarnation != incarnation {
            Err(TokenError::Incarnation)
        } else if token.expires_ms <= now_ms {
            Err(TokenError::Expired)
        } else if token.user.0 == 0 {
            Err(TokenError::Malformed)
        } else {
            Ok(token)
        }
    }
}
