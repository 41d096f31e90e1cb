//! Latencies of one second in coarse buckets: what a heat map over time is drawn from.
//!
//! Four buckets to each doubling, from 1 us to some two minutes: coarse enough to be kept for every second, fine enough for a
//! picture. Percentiles come from the whole run's histograms, never from here.

/// Doublings of a microsecond that are told apart.
const DOUBLINGS: usize = 27;
/// Buckets.
const BUCKETS: usize = DOUBLINGS * 4;

/// Counts by bucket; nothing is allocated before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heat(Vec<u32>);

impl Heat {
    /// Counts one latency, in nanoseconds.
    pub fn record(&mut self, ns: u64) {
        if self.0.is_empty() {
            self.0.resize(BUCKETS, 0);
        }
        if let Some(count) = self.0.get_mut(bucket(ns / 1_000)) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds another second's.
    pub fn add(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// What was counted: the lower end of each bucket that is not empty, in microseconds, and its count.
    pub fn counted(&self) -> impl Iterator<Item = (u64, u32)> {
        let all = self.0.iter().enumerate();
        all.filter(|(_, count)| **count > 0).map(|(bucket, count)| (lower_us(bucket), *count))
    }
}

/// The bucket of a latency.
fn bucket(us: u64) -> usize {
    let us = us.max(1);
    let doubling = us.ilog2() as usize;
    // The two bits behind the leading one.
    let quarter = ((us << 2) >> doubling) as usize & 3;
    (doubling * 4 + quarter).min(BUCKETS - 1)
}

/// The least latency of a bucket, rounded up, in microseconds.
fn lower_us(bucket: usize) -> u64 {
    ((4 + (bucket as u64 & 3)) << (bucket / 4)).div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_in_the_bucket_between_its_bounds() {
        for us in (1..5_000).chain([1 << 20, (1 << 25) + 12_345]) {
            let at = bucket(us);
            assert!(lower_us(at) <= us && us < lower_us(at + 1).max(us + 1), "{us} us in {at}");
            assert_eq!(bucket(lower_us(at)), at, "{us} us");
        }
        assert_eq!((bucket(0), bucket(u64::MAX >> 2)), (0, BUCKETS - 1));
    }

    #[test]
    fn seconds_of_two_threads_add_up() {
        let (mut one, mut other) = (Heat::default(), Heat::default());
        assert_eq!(one.counted().count(), 0);
        one.record(5_000);
        other.record(5_000);
        other.record(7_000_000);
        one.add(&other);
        assert_eq!(one.counted().collect::<Vec<_>>(), [(5, 2), (6_144, 1)]);
    }
}
