//! What a shard counts: plain numbers, read by the metrics page through snapshots.

use wire::FrameError;

/// One figure of a metrics page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub about: &'static str,
    /// How much it is.
    pub value: u64,
}

/// Declares numbers once: the fields, and what a metrics page says of each, which is their documentation.
#[macro_export]
macro_rules! figures {
    ($(#[$attribute:meta])* pub struct $figures:ident {
        $($(#[doc = $doc:literal])+ $name:ident,)+
    }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $figures { $($(#[doc = $doc])+ pub $name: u64,)+ }

        impl $figures {
            /// Every number with its name and what it says, in order: the metrics page is made from this.
            pub fn each(&self) -> impl Iterator<Item = $crate::Figure> {
                [$($crate::Figure {
                    name: stringify!($name),
                    about: concat!($($doc),+).trim_ascii_start(),
                    value: self.$name,
                }),+].into_iter()
            }
        }
    };
}

figures! {
    /// Totals since the start of the shard.
    pub struct Counters {
        /// Connections taken.
        accepted,
        /// Connections shed because the shard was full or draining.
        shed,
        /// Connections gone.
        closed,
        /// Sessions opened.
        logins,
        /// Logins refused: bad token.
        logins_refused,
        /// Sessions replaced by a newer login.
        replaced,
        /// Sessions ended from outside: the account's password was reset.
        ended,
        /// Sessions expired for silence.
        expired,
        /// Connections that did not log in in time.
        login_timeouts,
        /// Bytes received.
        bytes_in,
        /// Bytes sent.
        bytes_out,
        /// Commands taken.
        commands,
        /// Messages received from clients.
        messages_in,
        /// Messages acknowledged.
        acked,
        /// Messages found to be retries.
        retries,
        /// Messages put into a recipient's queue.
        delivered,
        /// Messages whose recipient had no session.
        offline,
        /// Services asked for: profiles, friends, groups, cursors, and what else the store answers beside messages.
        services,
        /// News of services put into somebody's queue.
        told,
        /// Heartbeats answered.
        heartbeats,
        /// Commands rejected, all reasons.
        rejected,
        /// Commands rejected as busy.
        busy,
        /// Protocol violations.
        violations,
        /// Violations: wrong magic.
        violations_magic,
        /// Violations: unknown version.
        violations_version,
        /// Violations: unknown flags.
        violations_flags,
        /// Violations: unknown kind, or one that only a node may send.
        violations_kind,
        /// Violations: oversized length or text.
        violations_oversized,
        /// Violations: invalid payload.
        violations_payload,
        /// Violations: text that is not UTF-8.
        violations_text,
        /// Violations: an id that names nothing.
        violations_id,
        /// Violations: no proxy's header, where there must be one.
        violations_proxy,
        /// Connections that came with a proxy's header.
        proxied,
        /// Frames dropped from the queues of slow readers and of connections that were cut.
        dropped_frames,
        /// Connections closed because their queue reached its bound.
        slow_closed,
        /// Times the shard's queue budget was reached.
        queue_budget_hits,
        /// Times a connection had to pause for want of spill budget or mail credit.
        paused,
        /// Connections cut by the flush or linger deadline.
        deadline_cuts,
        /// Times a torn frame was put aside.
        spills,
        /// Connections closed for want of spill memory.
        spill_refused,
        /// Pieces of mail posted to other shards.
        mails,
        /// Mail bytes posted to other shards.
        mail_bytes,
        /// Times mail credit for a peer shard was used up.
        mail_credit_hits,
        /// Times store credit was used up or the store stalled.
        store_credit_hits,
        /// Appends that the store refused or could not take.
        store_faults,
        /// Rooms refused: a bound was reached.
        room_bound_hits,
        /// Conversations refused: a bound was reached.
        conversation_bound_hits,
        /// Private conversations that are not listed, because their user has too many.
        conversations_unlisted,
        /// Messages that left the in-memory history by its bound (durability `none`).
        history_evicted,
    }
}

figures! {
    /// What is so now.
    pub struct Gauges {
        /// Connections open.
        connections,
        /// Sessions open.
        sessions,
        /// Bytes queued for sending, as charged.
        queued_bytes,
        /// The most that was ever queued.
        queued_bytes_high,
        /// The most that was ever queued for one connection.
        conn_queued_bytes_high,
        /// Appends without an answer.
        store_outstanding,
        /// 1 while the store stalls.
        store_stalled,
        /// Bytes put aside for torn frames and paused connections.
        spill_bytes,
        /// Rooms with members here.
        rooms,
        /// Encoded frames that are queued or wait for the store.
        frames,
    }
}

impl Counters {
    /// Counts a violation by its kind.
    pub(crate) const fn count_violation(&mut self, error: FrameError) {
        let counter = match error {
            FrameError::Magic => &mut self.violations_magic,
            FrameError::Version => &mut self.violations_version,
            FrameError::Flags => &mut self.violations_flags,
            FrameError::Kind => &mut self.violations_kind,
            FrameError::Oversized => &mut self.violations_oversized,
            FrameError::Payload => &mut self.violations_payload,
            FrameError::Text => &mut self.violations_text,
            FrameError::Id => &mut self.violations_id,
        };
        *counter += 1;
    }
}
