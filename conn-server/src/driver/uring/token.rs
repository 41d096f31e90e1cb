//! What a completion belongs to, packed into the ring's 64-bit user data: `op:8 | generation:24 | index:32`. Pure.

use chat::ConnKey;

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)+) => {
        /// An operation of the ring.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Op { $($(#[$doc])* $name = $code,)+ }

        impl Op {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name),+];

            const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

ops! {
    /// Multishot receive of a connection.
    Receive = 1,
    /// The send in flight of a connection.
    Send = 2,
    /// FIN of a connection, through the kernel's worker threads.
    Shutdown = 3,
    /// Cancel of all that a connection has in flight, before its close.
    Cancel = 4,
    /// Close of a connection.
    Close = 5,
    /// Cancel of a connection's receive, to pause it.
    Pause = 6,
    /// Multishot accept; the index is the listener's.
    Accept = 7,
    /// Cancel of an accept; the index is the listener's.
    AcceptCancel = 8,
    /// Close of a socket that was shed; the index is its descriptor.
    Shed = 9,
    /// The shard's wake-up.
    Wake = 10,
    /// Cancel of everything, at teardown.
    Teardown = 11,
    /// A connection's socket as a descriptor of the process, for its FIN.
    Borrow = 12,
}

/// Packed user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(u64);

impl Token {
    /// For an operation of a connection.
    pub(super) const fn conn(op: Op, key: ConnKey) -> Self {
        Self((op as u64) << 56 | (key.generation() as u64 & 0xff_ffff) << 32 | key.index() as u64)
    }

    /// For an operation of the shard itself.
    pub(super) const fn shard(op: Op, index: u32) -> Self {
        Self((op as u64) << 56 | index as u64)
    }

    /// From a completion.
    pub(super) const fn from_user_data(user_data: u64) -> Self {
        Self(user_data)
    }

    pub(super) const fn user_data(self) -> u64 {
        self.0
    }

    /// Which operation; `None` for user data that no token has.
    #[allow(clippy::cast_possible_truncation, reason = "the top eight bits")]
    pub(super) const fn op(self) -> Option<Op> {
        Op::from_code((self.0 >> 56) as u8)
    }

    /// Of which connection.
    #[allow(clippy::cast_possible_truncation, reason = "masked")]
    pub(super) const fn key(self) -> ConnKey {
        ConnKey::from_parts(self.0 as u32, (self.0 >> 32) as u32 & 0xff_ffff)
    }

    /// The index alone.
    #[allow(clippy::cast_possible_truncation, reason = "the low half")]
    pub(super) const fn index(self) -> u32 {
        self.0 as u32
    }
}

const _: () = assert!(ConnKey::GENERATION_BITS == 24, "generation, op and index fill 64 bits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_op_and_key_comes_back() {
        for &op in Op::ALL {
            for key in [(0, 0), (7, 1), (u32::MAX, 0xff_ffff)] {
                let key = ConnKey::from_parts(key.0, key.1);
                let token = Token::from_user_data(Token::conn(op, key).user_data());
                assert_eq!((token.op(), token.key(), token.index()), (Some(op), key, key.index()));
            }
        }
        assert_eq!(Token::from_user_data(0).op(), None);
        assert_eq!(Token::from_user_data(u64::MAX).op(), None);
    }
}
