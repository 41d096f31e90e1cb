//! When each message is due and who says it: pure functions of the seed and the message's index.
//!
//! Nothing here looks at a clock or at what was sent before, so a late send keeps its intended time and nothing can be
//! skipped. That is what makes the measured latencies free of coordinated omission.

use crate::fleet::Fleet;

/// The law that intended times follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Equal distances.
    Const,
}

/// What is said at one index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utterance {
    /// The connection that says it.
    pub sender: u32,
    /// The stream that it goes to.
    pub stream: u32,
}

/// Intended times of an open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    arrival: Arrival,
    /// The distance between two sends, in nanoseconds, with 32 bits of fraction: adding a rounded period up would
    /// drift by seconds in a long run.
    period_fp: u128,
}

impl Schedule {
    /// Sends at equal distances, `rate_per_s` of them per second. `None` if the rate is not above zero, or is beyond
    /// one per nanosecond or below one per ten years.
    #[must_use]
    pub fn constant(rate_per_s: f64) -> Option<Self> {
        let period_ns = 1e9 / rate_per_s;
        if !(1.0..3.2e17).contains(&period_ns) {
            return None;
        }
        let period_fp = (period_ns * FRACTION) as u128;
        Some(Self { arrival: Arrival::Const, period_fp })
    }

    /// When send `index` is due, in nanoseconds after the load began. Saturates after 584 years.
    #[must_use]
    pub fn due_ns(&self, index: u64) -> u64 {
        match self.arrival {
            Arrival::Const => {
                let due = (u128::from(index) * self.period_fp) >> FRACTION_BITS;
                u64::try_from(due).unwrap_or(u64::MAX)
            }
        }
    }
}

const FRACTION_BITS: u32 = 32;
const FRACTION: f64 = (1u64 << FRACTION_BITS) as f64;

/// Who says message `index`, and where. `None` if nobody has anybody to talk to.
///
/// Senders are drawn evenly by a hash of seed and index. In a mixed fleet every fifth message goes to a room.
#[must_use]
pub fn utterance(fleet: &Fleet, seed: u64, index: u64) -> Option<Utterance> {
    let draw = mix(seed.wrapping_add(mix(index)));
    let to_room = fleet.has_rooms() && (!fleet.has_pairs() || index % 5 == 4);
    let (stream, sender) = if to_room {
        let room = below(draw, fleet.rooms());
        let stream = fleet.room_stream(room)?;
        let members = fleet.members(stream);
        (stream, members.start + below(mix(draw), members.len() as u32))
    } else if fleet.has_pairs() {
        let sender = below(draw, fleet.pairs() * 2);
        (sender / 2, if fleet.is_one_way() { sender & !1 } else { sender })
    } else {
        return None;
    };
    Some(Utterance { sender, stream })
}

/// The 64-bit finaliser of SplitMix64: every bit of the result depends on every bit of the argument.
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Maps a draw evenly to `0..bound`, for a bound above zero.
const fn below(draw: u64, bound: u32) -> u32 {
    (((draw >> 32) * bound as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Preset;
    use proptest::prelude::*;

    #[test]
    fn ten_thousand_per_second_is_one_every_hundred_microseconds_for_ever() {
        let schedule = Schedule::constant(10_000.0).unwrap();
        for index in [0, 1, 2, 9_999, 10_000, 36_000_000, 100_000_000_000] {
            assert_eq!(schedule.due_ns(index), index * 100_000);
        }
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_does_not_drift() {
        let schedule = Schedule::constant(30_000.0).unwrap();
        let day = 24 * 3_600;
        let drift = schedule.due_ns(30_000 * day).abs_diff(day * 1_000_000_000);
        assert!(drift < 1_000_000, "{drift} ns in a day");
    }

    #[test]
    fn rates_that_mean_nothing_are_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 2e9] {
            assert_eq!(Schedule::constant(rate), None, "{rate}");
        }
    }

    proptest! {
        #[test]
        fn due_times_never_go_back(rate in 0.1f64..1e8, index in 0u64..1 << 40) {
            let schedule = Schedule::constant(rate).unwrap();
            prop_assert!(schedule.due_ns(index) <= schedule.due_ns(index + 1));
        }

        #[test]
        fn a_sender_is_always_in_the_stream_that_it_writes_to(
            seed: u64, index: u64, connections in 2u32..5_000, room_size in 2u32..200, preset in 0..3,
        ) {
            let preset = match preset {
                0 => Preset::Pairs,
                1 => Preset::Rooms { room_size },
                _ => Preset::Mixed,
            };
            let fleet = Fleet::new(preset, connections);
            let said = utterance(&fleet, seed, index).unwrap();
            prop_assert!(fleet.members(said.stream).contains(&said.sender));
            prop_assert_eq!(utterance(&fleet, seed, index), Some(said));
        }
    }

    #[test]
    fn everybody_speaks_about_equally_often() {
        let fleet = Fleet::new(Preset::Pairs, 100);
        let mut said = [0u32; 100];
        for index in 0..100_000 {
            said[utterance(&fleet, 7, index).unwrap().sender as usize] += 1;
        }
        assert!(said.iter().all(|count| (800..1_200).contains(count)), "{said:?}");
    }

    #[test]
    fn one_in_five_of_a_mixed_fleet_goes_to_a_room() {
        let fleet = Fleet::new(Preset::Mixed, 1_000);
        let rooms = (0..10_000)
            .filter(|index| fleet.is_room(utterance(&fleet, 1, *index).unwrap().stream))
            .count();
        assert_eq!(rooms, 2_000);
    }
}
