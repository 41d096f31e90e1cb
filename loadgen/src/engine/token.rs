//! What a completion is about, in its `user_data`: the operation, the connection and which of its lives it was.

/// An operation in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Op {
    Socket = 1,
    NoDelay,
    NoPort,
    Bind,
    Connect,
    Recv,
    Send,
    Cancel,
    Close,
    Poll,
    Read,
}

impl Op {
    const ALL: [Self; 11] = [
        Self::Socket,
        Self::NoDelay,
        Self::NoPort,
        Self::Bind,
        Self::Connect,
        Self::Recv,
        Self::Send,
        Self::Cancel,
        Self::Close,
        Self::Poll,
        Self::Read,
    ];
}

/// `op: 8 | generation: 24 | index: 32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) op: Op,
    /// Raised each time the connection is dialled; only its lower 24 bits travel.
    pub(super) generation: u32,
    pub(super) index: u32,
}

/// The bits of a generation that travel.
pub(super) const GENERATION_MASK: u32 = 0x00ff_ffff;

impl Token {
    pub(super) const fn encode(self) -> u64 {
        (self.op as u64) << 56
            | ((self.generation & GENERATION_MASK) as u64) << 32
            | self.index as u64
    }

    pub(super) fn decode(bits: u64) -> Option<Self> {
        let op = Op::ALL.into_iter().find(|op| *op as u64 == bits >> 56)?;
        let generation = (bits >> 32) as u32 & GENERATION_MASK;
        Some(Self { op, generation, index: bits as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        for op in Op::ALL {
            let token = Token { op, generation: GENERATION_MASK, index: u32::MAX };
            assert_eq!(Token::decode(token.encode()), Some(token));
        }
        assert_eq!(Token::decode(0), None);
    }
}
