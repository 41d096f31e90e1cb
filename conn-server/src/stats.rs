//! What a shard's driver counts. Plain numbers of one thread; others see them in a [`ShardSnapshot`], which travels as
//! a message.

use std::time::Duration;

chat::figures! {
    /// Totals of one shard's driver since its start.
    pub struct IoCounters {
        /// Turns of the shard's loop.
        turns,
        /// Times the loop entered the kernel: `io_uring_enter`, or every system call of the epoll driver. A runtime does not
        /// tell how often it does: the driver's own calls, and the least that the runtime needs for a turn.
        enters,
        /// Completions handled (for epoll: readiness events; for a runtime: those that its tasks see).
        cqes,
        /// Receives that delivered bytes.
        receives,
        /// Receives that ended for want of a buffer.
        enobufs,
        /// Multishot operations armed again after the kernel had ended them.
        rearms,
        /// Sockets accepted, those that were shed included.
        accepts,
        /// Accepts that failed.
        accept_errors,
        /// Times accepting paused: full, out of descriptors, or after an error.
        accept_pauses,
        /// Sends completed.
        sends,
        /// Sends that took less than was offered.
        short_sends,
        /// Receives and sends that ended in an error of the connection.
        broken,
        /// Cancels asked for.
        cancels,
        /// Completions of an earlier owner of a slot, ignored.
        stale,
        /// Times the submission queue was full and had to be handed over in the middle of a turn.
        submission_full,
        /// Times the kernel was too busy to take submissions (completion queue overflow or short of memory).
        kernel_busy,
        /// Wake-ups received.
        wake_ups,
        /// Wake-ups sent to other shards.
        wakes_sent,
        /// Mail batches whose receiver was awake, or just woken by another: no wake-up was needed.
        wakes_spared,
        /// Mail batches posted.
        mail_posts,
        /// Times a peer's inbox was full and its mail was kept.
        mail_kept,
        /// Store batches posted.
        store_posts,
        /// Times the store's queue was full and a batch was kept.
        store_kept,
        /// Store requests answered as busy because no store is there any more.
        store_lost,
    }
}

/// Buckets of a [`LagHistogram`]: bucket `i` counts values below `2^i` microseconds and not below half of that; the last
/// one is open (half an hour and more).
pub const LAG_BUCKETS: usize = 32;

/// Durations in buckets of powers of two: fixed size, no allocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LagHistogram {
    /// Values per bucket.
    pub counts: [u64; LAG_BUCKETS],
    /// Their sum, in nanoseconds.
    pub sum_ns: u64,
    /// The largest, in nanoseconds.
    pub max_ns: u64,
}

impl LagHistogram {
    /// Counts one value.
    pub fn record(&mut self, value: Duration) {
        let ns = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - (ns / 1000).leading_zeros()) as usize;
        self.counts[bucket.min(LAG_BUCKETS - 1)] += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// The upper bound of a bucket, in seconds; `None` for the open one.
    #[must_use]
    pub fn bound_seconds(bucket: usize) -> Option<f64> {
        let micros = 1u64.checked_shl(u32::try_from(bucket).ok()?)?;
        // Exact: powers of two below 2^32.
        #[allow(clippy::cast_precision_loss, reason = "a power of two below 2^53")]
        (bucket + 1 < LAG_BUCKETS).then_some(micros as f64 / 1e6)
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// One shard, as it was when it answered.
#[derive(Clone, Debug)]
pub struct ShardSnapshot {
    /// Which.
    pub shard: wire::ShardId,
    /// The core's totals.
    pub chat: chat::Counters,
    /// The core's gauges.
    pub gauges: chat::Gauges,
    /// The driver's totals.
    pub io: IoCounters,
    /// How long turns took: what an event that came at a turn's start had to wait at the most.
    pub turn_time: LagHistogram,
    /// How late the loop was for its deadlines.
    pub lateness: LagHistogram,
    /// Connections that hold a descriptor, those being closed included.
    pub open: u64,
    /// Whether the shard drains.
    pub is_draining: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_the_bucket_whose_bound_is_above_them() {
        let mut lag = LagHistogram::default();
        for us in [0, 1, 2, 3, 4, 1000, 4_000_000_000] {
            lag.record(Duration::from_micros(us));
        }
        assert_eq!(lag.counts[..4], [1, 1, 2, 1]);
        assert_eq!(lag.counts[10], 1);
        assert_eq!(lag.counts[LAG_BUCKETS - 1], 1);
        assert_eq!(lag.count(), 7);
        assert_eq!(LagHistogram::bound_seconds(10), Some(0.001_024));
        assert_eq!(LagHistogram::bound_seconds(LAG_BUCKETS - 1), None);
    }
}
