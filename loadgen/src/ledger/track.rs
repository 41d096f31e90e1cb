//! Which numbers of a growing sequence were seen: a low mark, a window of 64 above it, and the few holes below.
//!
//! A [`Track`] is 16 bytes, since there is one per pair of receiver and sender. Holes that fall out of the window go to
//! a [`Holes`] shared by all tracks, so that every count stays exact however late a message is; in a run without
//! faults it is empty.

use std::collections::HashMap;
use std::ops::Range;

/// Ranges of holes that are kept, over all tracks: 1 Mi ranges are at most some 40 MiB. A run that loses more than
/// that in as many places is told so, and its further holes are only counted.
pub(super) const HOLES_MAX: usize = 1 << 20;

/// Numbers above the low mark that a track remembers one by one.
const WINDOW: u32 = u64::BITS;

/// What a number is to its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// New, and higher than all before.
    Fresh,
    /// New, but a higher one came before it.
    Late,
    /// Seen already.
    Again,
    /// From before the track began.
    Before,
}

/// The numbers seen of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Track {
    base: u32,
    /// Every number below it was seen, or is a hole.
    low: u32,
    /// Bit n: whether `low + n` was seen. Bit 0 is never set.
    window: u64,
}

/// Names a track in [`Holes`].
pub(super) type TrackKey = u64;

/// Holes of all tracks.
#[derive(Debug, Default)]
pub(super) struct Holes {
    ranges: HashMap<TrackKey, Vec<Range<u32>>>,
    count: usize,
    dropped: u64,
}

impl Track {
    /// The track of a sequence that is not followed: everything is `Before`.
    pub(super) const ABSENT: Self = Self { base: u32::MAX, low: u32::MAX, window: 0 };

    /// A track that begins with `base`.
    #[must_use]
    pub(super) const fn new(base: u32) -> Self {
        Self { base, low: base, window: 0 }
    }

    /// Whether this is [`Self::ABSENT`].
    #[must_use]
    pub(super) const fn is_absent(&self) -> bool {
        self.base == u32::MAX
    }

    /// Notes that `number` was seen.
    pub(super) fn insert(&mut self, key: TrackKey, number: u32, holes: &mut Holes) -> Seen {
        if number < self.base {
            return Seen::Before;
        }
        let Some(ahead) = number.checked_sub(self.low) else {
            return if holes.fill(key, number) { Seen::Late } else { Seen::Again };
        };
        if ahead >= WINDOW {
            self.slide(key, ahead - (WINDOW - 1), holes);
        }
        let bit = 1 << (number - self.low);
        if self.window & bit != 0 {
            return Seen::Again;
        }
        let seen = if bit > self.window { Seen::Fresh } else { Seen::Late };
        self.window |= bit;
        self.advance();
        seen
    }

    /// Whether `number` was seen.
    #[must_use]
    pub(super) fn contains(&self, key: TrackKey, number: u32, holes: &Holes) -> bool {
        if number < self.base {
            return false;
        }
        match number.checked_sub(self.low) {
            None => !holes.contains(key, number),
            Some(ahead) if ahead < WINDOW => self.window & (1 << ahead) != 0,
            Some(_) => false,
        }
    }

    /// The numbers from the base up to `end` that were not seen.
    pub(super) fn missing<'a>(
        &self,
        key: TrackKey,
        end: u32,
        holes: &'a Holes,
    ) -> impl Iterator<Item = u32> + use<'a> {
        let (low, window) = (self.low, self.window);
        let old = holes.of(key).iter().cloned().flatten().filter(move |number| *number < end);
        let recent = (low..end)
            .filter(move |number| number - low >= WINDOW || window & (1 << (number - low)) == 0);
        old.chain(recent)
    }

    /// Moves the low mark up by `by`; what was not seen below it becomes holes.
    fn slide(&mut self, key: TrackKey, by: u32, holes: &mut Holes) {
        let window = self.window;
        let was_seen = |ahead: u32| ahead < WINDOW && window & (1 << ahead) != 0;
        let mut ahead = 0;
        while ahead < by {
            let start = ahead;
            // Beyond the window nothing was seen: one step to the end.
            while ahead < by && !was_seen(ahead) {
                ahead = if ahead >= WINDOW { by } else { ahead + 1 };
            }
            if start < ahead {
                holes.add(key, self.low + start..self.low + ahead);
            }
            while ahead < by && was_seen(ahead) {
                ahead += 1;
            }
        }
        self.low += by;
        self.window = window.checked_shr(by).unwrap_or(0);
        self.advance();
    }

    /// Moves the low mark over what was seen.
    fn advance(&mut self) {
        let seen = self.window.trailing_ones();
        self.low += seen;
        self.window = self.window.checked_shr(seen).unwrap_or(0);
    }
}

impl Holes {
    /// Numbers that fell out of a window after [`HOLES_MAX`] was reached: missing, but it is not known which.
    #[must_use]
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn of(&self, key: TrackKey) -> &[Range<u32>] {
        self.ranges.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Ranges of a track come in rising order, since its low mark only rises.
    fn add(&mut self, key: TrackKey, range: Range<u32>) {
        if self.count >= HOLES_MAX {
            self.dropped += range.len() as u64;
            return;
        }
        let ranges = self.ranges.entry(key).or_default();
        match ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            Some(_) | None => {
                ranges.push(range);
                self.count += 1;
            }
        }
    }

    fn find(&self, key: TrackKey, number: u32) -> Option<usize> {
        let ranges = self.of(key);
        let at = ranges.partition_point(|range| range.end <= number);
        ranges.get(at).filter(|range| range.contains(&number)).map(|_| at)
    }

    fn contains(&self, key: TrackKey, number: u32) -> bool {
        self.find(key, number).is_some()
    }

    /// Closes a hole; `false` if it is none.
    fn fill(&mut self, key: TrackKey, number: u32) -> bool {
        let (Some(at), Some(ranges)) = (self.find(key, number), self.ranges.get_mut(&key)) else {
            return false;
        };
        let range = ranges[at].clone();
        let parts = [range.start..number, number + 1..range.end];
        let kept = parts.into_iter().filter(|part| !part.is_empty());
        self.count -= 1;
        let before = ranges.len();
        ranges.splice(at..=at, kept);
        self.count += ranges.len() + 1 - before;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_track_is_sixteen_bytes() {
        assert_eq!(size_of::<Track>(), 16);
    }

    #[test]
    fn an_absent_track_knows_nothing() {
        let (mut track, mut holes) = (Track::ABSENT, Holes::default());
        assert_eq!(track.insert(1, 7, &mut holes), Seen::Before);
        assert_eq!(track.missing(1, 100, &holes).count(), 0);
    }

    /// The plainest thing that does the same.
    #[derive(Default)]
    struct Oracle {
        seen: BTreeSet<u32>,
    }

    impl Oracle {
        fn insert(&mut self, base: u32, number: u32) -> Seen {
            if number < base {
                return Seen::Before;
            }
            let highest = self.seen.last().copied();
            if !self.seen.insert(number) {
                Seen::Again
            } else if highest.is_some_and(|highest| number < highest) {
                Seen::Late
            } else {
                Seen::Fresh
            }
        }
    }

    fn walks() -> impl Strategy<Value = Vec<u32>> {
        // Mostly rising by one, with jumps to anywhere: near, far behind, far ahead.
        let step = prop_oneof![
            8 => Just(None),
            2 => (0u32..90).prop_map(Some),
            1 => (0u32..700).prop_map(Some),
        ];
        proptest::collection::vec(step, 0..400).prop_map(|steps| {
            let mut next = 0;
            steps
                .into_iter()
                .map(|step| {
                    next = step.unwrap_or(next + 1);
                    next
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn a_track_agrees_with_a_plain_set(walk in walks(), base in 0u32..40) {
            let (mut track, mut holes, mut oracle) = (Track::new(base), Holes::default(), Oracle::default());
            for number in &walk {
                let seen = track.insert(9, *number, &mut holes);
                prop_assert_eq!(seen, oracle.insert(base, *number), "at {}", number);
            }
            for end in [0, 10, 64, 300, 800] {
                let missing: BTreeSet<u32> = track.missing(9, end, &holes).collect();
                let expected: BTreeSet<u32> = (base..end).filter(|n| !oracle.seen.contains(n)).collect();
                prop_assert_eq!(missing, expected);
            }
            for number in 0..800 {
                prop_assert_eq!(track.contains(9, number, &holes), oracle.seen.contains(&number));
            }
            let kept: usize = holes.ranges.values().map(Vec::len).sum();
            prop_assert_eq!(holes.count, kept);
        }

        #[test]
        fn tracks_do_not_mix_their_holes(one in walks(), other in walks()) {
            let mut holes = Holes::default();
            let (mut a, mut b) = (Track::new(0), Track::new(0));
            let mut oracle = Oracle::default();
            for number in &one {
                a.insert(1, *number, &mut holes);
            }
            for number in &other {
                prop_assert_eq!(b.insert(2, *number, &mut holes), oracle.insert(0, *number));
            }
        }
    }
}
