//! The stamp at the start of every message body: who sent it, in which stream, with which number and at which intended
//! time, under a checksum of the whole body.
//!
//! Bodies are text (the node checks UTF-8), so a stamp is [`STAMP_BYTES`] characters of URL-safe base64, and what
//! follows it is filler, also ASCII. Equal stamps give equal bodies: a message can be made again for a retry without
//! having been kept. Knows nothing of connections or time; allocates only for damaged bodies.
//!
//! ```text
//!  0      8        12       16     24            32      36 (raw) = 48 (base64)
//!  +------+--------+--------+------+-------------+-------+------------------------+
//!  | run  | sender | stream | seq  | intended ns | CRC32C| filler                 |
//!  +------+--------+--------+------+-------------+-------+------------------------+
//! ```
//! All numbers are little-endian; the checksum covers the 32 bytes before it and the filler.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

/// Bytes of a stamp, and so the least that a body can have.
pub const STAMP_BYTES: usize = 48;

const RAW_BYTES: usize = 36;
const CHECKED_BYTES: usize = 32;
const _: () = assert!(RAW_BYTES / 3 * 4 == STAMP_BYTES && RAW_BYTES.is_multiple_of(3));
const _: () = assert!(STAMP_BYTES <= 64);

/// What a message says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The run that sent it.
    pub run_id: u64,
    /// The index of the connection that sent it.
    pub sender: u32,
    /// The conversation: its number in the fleet.
    pub stream: u32,
    /// Its place among what this sender sent to this stream, from zero.
    pub seq: u64,
    /// When it was due, in nanoseconds after the start of the run.
    pub intended_ns: u64,
}

/// Why a body is not one that loadgen made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StampError {
    /// Shorter than a stamp.
    #[error("the body is shorter than a stamp")]
    Short,
    /// The stamp is not base64.
    #[error("the stamp is not base64")]
    Encoding,
    /// The checksum says otherwise.
    #[error("the checksum differs")]
    Checksum,
}

impl Stamp {
    fn raw(&self) -> [u8; RAW_BYTES] {
        let mut raw = [0; RAW_BYTES];
        raw[0..8].copy_from_slice(&self.run_id.to_le_bytes());
        raw[8..12].copy_from_slice(&self.sender.to_le_bytes());
        raw[12..16].copy_from_slice(&self.stream.to_le_bytes());
        raw[16..24].copy_from_slice(&self.seq.to_le_bytes());
        raw[24..32].copy_from_slice(&self.intended_ns.to_le_bytes());
        raw
    }

    /// Fills `body` with this stamp and its filler. `body` is overwritten whole.
    ///
    /// # Panics
    /// If `body` is shorter than [`STAMP_BYTES`]: the plan is checked for that before a run.
    pub fn write(&self, body: &mut [u8]) {
        assert!(body.len() >= STAMP_BYTES, "the plan's body is at least a stamp long");
        let mut raw = self.raw();
        let (head, filler) = body.split_at_mut(STAMP_BYTES);
        // The text starts elsewhere for each message, so that a piece of one body in another cannot go unnoticed.
        fill(filler, self.seq.wrapping_add(u64::from(self.sender)));
        let crc = crc32c::crc32c_append(crc32c::crc32c(&raw[..CHECKED_BYTES]), filler);
        raw[CHECKED_BYTES..].copy_from_slice(&crc.to_le_bytes());
        let written = URL_SAFE_NO_PAD.encode_slice(raw, head);
        debug_assert_eq!(written, Ok(STAMP_BYTES));
    }

    /// Reads the stamp of a body and checks all of the body against it.
    ///
    /// # Errors
    /// The first reason to disbelieve the body.
    pub fn verify(body: &[u8]) -> Result<Self, StampError> {
        let (raw, filler) = Self::decode(body)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&raw[..CHECKED_BYTES]), filler);
        if raw[CHECKED_BYTES..] != crc.to_le_bytes() {
            return Err(StampError::Checksum);
        }
        Ok(Self::from_raw(&raw))
    }

    /// The stamp of a body whose filler alone is damaged: made again from its numbers, the stamp is the same to the last
    /// bit, its checksum of the right filler included. `None` if the stamp itself cannot be believed.
    #[must_use]
    pub fn salvage(body: &[u8]) -> Option<Self> {
        let (raw, _) = Self::decode(body).ok()?;
        let stamp = Self::from_raw(&raw);
        let mut again = vec![0; body.len()];
        stamp.write(&mut again);
        (again[..STAMP_BYTES] == body[..STAMP_BYTES]).then_some(stamp)
    }

    fn decode(body: &[u8]) -> Result<([u8; RAW_BYTES], &[u8]), StampError> {
        let (head, filler) = body.split_at_checked(STAMP_BYTES).ok_or(StampError::Short)?;
        let mut raw = [0; RAW_BYTES];
        match URL_SAFE_NO_PAD.decode_slice_unchecked(head, &mut raw) {
            Ok(RAW_BYTES) => Ok((raw, filler)),
            Ok(_) | Err(_) => Err(StampError::Encoding),
        }
    }

    fn from_raw(raw: &[u8; RAW_BYTES]) -> Self {
        Self {
            run_id: u64_at(raw, 0),
            sender: u32_at(raw, 8),
            stream: u32_at(raw, 12),
            seq: u64_at(raw, 16),
            intended_ns: u64_at(raw, 24),
        }
    }
}

fn u64_at(raw: &[u8; RAW_BYTES], at: usize) -> u64 {
    let mut le = [0; 8];
    le.copy_from_slice(&raw[at..at + 8]);
    u64::from_le_bytes(le)
}

fn u32_at(raw: &[u8; RAW_BYTES], at: usize) -> u32 {
    let mut le = [0; 4];
    le.copy_from_slice(&raw[at..at + 4]);
    u32::from_le_bytes(le)
}

/// What people might say, so that nothing compresses it to nothing; its length shares no factor with a power of two.
const FILLER: &[u8] = b"shall we meet at the bridge by six, or is the river too high again? \
bring the map, two lamps and something to eat; the others come later. \
nobody answered my last message, so here it is once more, with better words. ";

/// Writes filler text that starts at a place given by `from`.
fn fill(filler: &mut [u8], from: u64) {
    let mut at = (from % FILLER.len() as u64) as usize;
    let mut rest = filler;
    while !rest.is_empty() {
        let part = &FILLER[at..];
        let (now, later) = rest.split_at_mut(part.len().min(rest.len()));
        now.copy_from_slice(&part[..now.len()]);
        rest = later;
        at = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamps() -> impl Strategy<Value = Stamp> {
        any::<(u64, u32, u32, u64, u64)>().prop_map(|(run_id, sender, stream, seq, intended_ns)| {
            Stamp { run_id, sender, stream, seq, intended_ns }
        })
    }

    proptest! {
        #[test]
        fn a_body_gives_its_stamp_back(stamp in stamps(), len in STAMP_BYTES..2_000) {
            let mut body = vec![0xff; len];
            stamp.write(&mut body);
            prop_assert!(body.is_ascii());
            prop_assert_eq!(Stamp::verify(&body), Ok(stamp));
        }

        #[test]
        fn equal_stamps_make_equal_bodies(stamp in stamps(), len in STAMP_BYTES..500) {
            let (mut one, mut other) = (vec![0; len], vec![1; len]);
            stamp.write(&mut one);
            stamp.write(&mut other);
            prop_assert_eq!(one, other);
        }

        #[test]
        fn any_flipped_bit_is_found(stamp in stamps(), len in STAMP_BYTES..300, bit in any::<usize>()) {
            let mut body = vec![0; len];
            stamp.write(&mut body);
            let bit = bit % (len * 8);
            body[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Stamp::verify(&body).is_err());
        }

        #[test]
        fn a_damaged_filler_leaves_the_stamp_to_be_salvaged(stamp in stamps(), at in 0..50usize) {
            let mut body = vec![0; STAMP_BYTES + 50];
            stamp.write(&mut body);
            body[STAMP_BYTES + at] ^= 4;
            prop_assert_eq!(Stamp::salvage(&body), Some(stamp));
        }

        #[test]
        fn a_damaged_stamp_is_not_salvaged(stamp in stamps(), bit in 0..STAMP_BYTES * 8) {
            let mut body = vec![0; STAMP_BYTES + 50];
            stamp.write(&mut body);
            body[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Stamp::salvage(&body), None);
        }

        #[test]
        fn any_cut_or_longer_body_is_found(stamp in stamps(), len in STAMP_BYTES..300, cut in 1usize..300) {
            let mut body = vec![0; len];
            stamp.write(&mut body);
            prop_assert!(Stamp::verify(&body[..len.saturating_sub(cut)]).is_err());
            body.push(b' ');
            prop_assert_eq!(Stamp::verify(&body), Err(StampError::Checksum));
        }

        #[test]
        fn garbage_is_refused_without_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Stamp::verify(&body).is_err());
        }
    }
}
