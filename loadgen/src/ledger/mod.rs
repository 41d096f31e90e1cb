//! The delivery ledger: what became of every message, for every recipient, exactly.
//!
//! For each sender of each stream it keeps which numbers were acknowledged, and for each of its receivers which were
//! delivered, as `Track`s of 16 bytes. At the end, *lost* is what is in the first and not in the second. A receiver
//! is expected to get what was sent while it was a member; a corrupt body counts as corrupt and not as lost too.
//!
//! It sees what the application sees: in normal runs the client half has dropped repeats and repaired gaps by then
//! (counted in `gaps_pulled`), in raw runs everything comes here as it was pushed. Owns no clock and no connection.

mod settle;
mod track;
mod violations;

use std::collections::{HashMap, HashSet};

use wire::{ConversationId, Seq, UserId};

use crate::fleet::Fleet;
use crate::outcome::LedgerTotals;
use crate::stamp::{Stamp, StampError};

use track::{Holes, Seen, Track, TrackKey};
use violations::{Kind, Violations};
pub use violations::{VIOLATIONS_MAX, Violation};

/// One message as an application got it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The connection that got it.
    pub receiver: u32,
    /// Where the node says that it was said.
    pub conversation: ConversationId,
    /// Its place there.
    pub seq: Seq,
    /// Who said it, as the node says.
    pub from: UserId,
    /// As it came.
    pub body: &'a [u8],
    /// When, in nanoseconds after the start of the run.
    pub at_ns: u64,
    /// Whether one's own private message is no surprise: after a gap or a reconnect it comes with what is pulled.
    pub may_be_own: bool,
}

/// What the ledger thinks of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Expected, intact, for the first time: its latency counts.
    Counted(Stamp),
    /// Intact and nobody's fault, but not owed: from before the receiver entered the room, or one's own in a room or in
    /// what was pulled.
    Neutral,
    /// A violation, or foreign: counted as such.
    Bad,
}

/// The messages of one sender to one stream.
#[derive(Debug)]
struct Row {
    sent: u32,
    acks: Track,
    /// By the receiver's place among the members; the sender's own is absent.
    receivers: Box<[Track]>,
}

/// Corrupt bodies of one sender to one receiver: they came, so what they were is not lost as well.
#[derive(Debug, Default)]
struct Damaged {
    /// The numbers of those whose stamp could be salvaged.
    known: Vec<u32>,
    /// The others: each stands for one of the missing.
    unknown: u32,
}

/// Damaged numbers that are remembered per sender and receiver: they are searched one by one.
const DAMAGED_MAX: usize = 1_024;

impl Damaged {
    fn note(&mut self, seq: u32) {
        if self.known.len() < DAMAGED_MAX {
            self.known.push(seq);
        } else {
            self.unknown += 1;
        }
    }
}

/// By the sender's place among the members. Rows are made by a sender's first message.
type Rows = Box<[Option<Box<Row>>]>;

/// The ledger of one run.
#[derive(Debug)]
pub struct Ledger {
    fleet: Fleet,
    run_id: u64,
    users: Vec<UserId>,
    streams: Vec<Rows>,
    /// Which member is in its room now: one bit per connection.
    in_room: Vec<bool>,
    /// Which connections will not come back.
    is_gone: Vec<bool>,
    /// Deliveries that messages sent so far are owed, but for those written off.
    owed: u64,
    /// Members that left for good: what they were owed until then.
    left: HashMap<TrackKey, u32>,
    damaged: HashMap<TrackKey, Damaged>,
    holes: Holes,
    /// Messages that were refused at least once: those behind them may rightly have overtaken them.
    overtaken: HashSet<(u32, u32, u32)>,
    refused_for_good: u64,
    totals: LedgerTotals,
    violations: Violations,
}

/// Members of a stream, at most: a place in it must fit its part of a `TrackKey`.
pub const MEMBERS_MAX: u32 = u16::MAX as u32 - 1;

/// Refused messages that are remembered, at 12 bytes each: beyond a million the run has other worries than its order.
const OVERTAKEN_MAX: usize = 1 << 20;

/// The "receiver" of acknowledgements in a `TrackKey`.
const ACKS: u32 = u16::MAX as u32;

fn track_key(stream: u32, sender: u32, receiver: u32) -> TrackKey {
    u64::from(stream) << 32 | u64::from(sender) << 16 | u64::from(receiver)
}

impl Ledger {
    /// An empty ledger. Rooms have no members until [`Self::joined`].
    #[must_use]
    pub fn new(fleet: Fleet, run_id: u64) -> Self {
        let rows = |stream| (0..fleet.members(stream).len()).map(|_| None).collect();
        Self {
            fleet,
            run_id,
            users: vec![UserId::default(); fleet.connections() as usize],
            streams: (0..fleet.streams()).map(rows).collect(),
            in_room: vec![false; fleet.connections() as usize],
            is_gone: vec![false; fleet.connections() as usize],
            owed: 0,
            left: HashMap::new(),
            damaged: HashMap::new(),
            holes: Holes::default(),
            overtaken: HashSet::new(),
            refused_for_good: 0,
            totals: LedgerTotals::default(),
            violations: Violations::default(),
        }
    }

    /// Says whose a connection is. Known before its first message.
    pub fn set_user(&mut self, index: u32, user: UserId) {
        self.users[index as usize] = user;
    }

    /// Whose a connection is; zero if that is not known yet.
    #[must_use]
    pub fn user(&self, index: u32) -> UserId {
        self.users[index as usize]
    }

    /// The conversation of a stream.
    #[must_use]
    pub fn conversation(&self, stream: u32) -> Option<ConversationId> {
        match self.fleet.room_id(self.run_id, stream) {
            Some(room) => Some(ConversationId::room(room)),
            None if stream < self.fleet.pairs() => {
                let members = self.fleet.members(stream);
                Some(ConversationId::private(self.user(members.start), self.user(members.end - 1)))
            }
            None => None,
        }
    }

    /// A connection is in its room: it is owed what is sent from now on. Entering again changes nothing, since a client
    /// that comes back pulls what it missed.
    pub fn joined(&mut self, stream: u32, index: u32) {
        let receiver = self.place(stream, index);
        if std::mem::replace(&mut self.in_room[index as usize], true) {
            return;
        }
        for (sender, row) in self.streams[stream as usize].iter_mut().enumerate() {
            if let Some(row) = row
                && sender != receiver as usize
                && row.receivers[receiver as usize].is_absent()
            {
                row.receivers[receiver as usize] = Track::new(row.sent);
            }
        }
    }

    /// A connection has left its stream for good: it is owed nothing that is sent from now on.
    pub fn left(&mut self, stream: u32, index: u32) {
        let receiver = self.place(stream, index);
        self.in_room[index as usize] = false;
        self.is_gone[index as usize] = true;
        for (sender, row) in self.streams[stream as usize].iter().enumerate() {
            if let Some(row) = row {
                let key = track_key(stream, sender as u32, receiver);
                let until = *self.left.entry(key).or_insert(row.sent);
                let missing = row.receivers[receiver as usize].missing(key, until, &self.holes);
                self.owed = self.owed.saturating_sub(missing.count() as u64);
            }
        }
    }

    /// Deliveries that are still to come. What was lost, misrouted or damaged stays outstanding for ever.
    #[must_use]
    pub const fn outstanding(&self) -> u64 {
        self.owed.saturating_sub(self.totals.delivered)
    }

    /// Gives the next message of `sender` to `stream` its number.
    ///
    /// # Panics
    /// If the sender is not of the stream, or sends more than 4 billion messages to it.
    pub fn sent(&mut self, stream: u32, sender: u32) -> u32 {
        let place = self.place(stream, sender);
        let recipients = self.recipients(stream, sender);
        let mut slot = self.streams[stream as usize][place as usize].take();
        let row = slot.get_or_insert_with(|| Box::new(self.new_row(stream, sender)));
        let seq = row.sent;
        row.sent = seq.checked_add(1).expect("a run sends fewer than 2^32 messages per sender");
        self.streams[stream as usize][place as usize] = slot;
        self.totals.sent += 1;
        self.owed += u64::from(recipients);
        seq
    }

    /// The node acknowledged a message. `false` if it had done so before.
    pub fn acked(&mut self, stream: u32, sender: u32, seq: u32) -> bool {
        let place = self.place(stream, sender);
        let key = track_key(stream, place, ACKS);
        let Some(row) = &mut self.streams[stream as usize][place as usize] else { return false };
        let is_new = row.acks.insert(key, seq, &mut self.holes) != Seen::Again;
        self.totals.acked += u64::from(is_new);
        is_new
    }

    /// The node refused a message; `for_good` if it will not be tried again.
    pub fn refused(&mut self, stream: u32, sender: u32, seq: u32, for_good: bool) {
        self.totals.refused += 1;
        if for_good {
            self.refused_for_good += 1;
            self.owed = self.owed.saturating_sub(u64::from(self.recipients(stream, sender)));
        }
        if !for_good && self.overtaken.len() < OVERTAKEN_MAX {
            self.overtaken.insert((stream, sender, seq));
        }
    }

    /// Whether others may rightly have overtaken a message. With too many refused to remember, nobody can tell.
    fn is_overtaken(&self, stamp: &Stamp, seq: u32) -> bool {
        self.overtaken.len() >= OVERTAKEN_MAX
            || self.overtaken.contains(&(stamp.stream, stamp.sender, seq))
    }

    /// How many a stream's message is owed to, if it were sent now by `sender`.
    #[must_use]
    pub fn recipients(&self, stream: u32, sender: u32) -> u32 {
        let others = self.fleet.members(stream).filter(|index| *index != sender);
        others.map(|index| u32::from(self.is_owed(stream, index))).sum()
    }

    /// Whether what is sent to a stream now is owed to one of its members.
    fn is_owed(&self, stream: u32, index: u32) -> bool {
        let is_member = !self.fleet.is_room(stream) || self.in_room[index as usize];
        is_member && !self.is_gone[index as usize]
    }

    fn new_row(&self, stream: u32, sender: u32) -> Row {
        let members = self.fleet.members(stream);
        assert!(members.len() as u32 <= MEMBERS_MAX, "a stream has at most {MEMBERS_MAX} members");
        let track = |index| match index != sender && self.is_owed(stream, index) {
            true => Track::new(0),
            false => Track::ABSENT,
        };
        Row { sent: 0, acks: Track::new(0), receivers: members.map(track).collect() }
    }

    /// Judges a message that an application got.
    pub fn arrived(&mut self, arrival: &Arrival<'_>) -> Verdict {
        match Stamp::verify(arrival.body) {
            Ok(stamp) => self.judge(stamp, arrival),
            Err(error) => self.on_corrupt(arrival, error),
        }
    }

    /// The same where the server says nothing of a message: whose it is and where it belongs is what its stamp says.
    pub fn arrived_raw(&mut self, receiver: u32, body: &[u8], at_ns: u64) -> Verdict {
        let stamp = Stamp::verify(body);
        let known = stamp.as_ref().ok();
        let conversation = known.and_then(|stamp| self.conversation(stamp.stream));
        let from = known.and_then(|stamp| self.users.get(stamp.sender as usize).copied());
        let arrival = Arrival {
            receiver,
            conversation: conversation.unwrap_or_default(),
            seq: Seq(0),
            from: from.unwrap_or_default(),
            body,
            at_ns,
            may_be_own: false,
        };
        match stamp {
            Ok(stamp) => self.judge(stamp, &arrival),
            Err(error) => self.on_corrupt(&arrival, error),
        }
    }

    fn judge(&mut self, stamp: Stamp, arrival: &Arrival<'_>) -> Verdict {
        if stamp.run_id != self.run_id {
            self.totals.foreign += 1;
            return Verdict::Bad;
        }
        let Some((receiver, sender)) = self.places(&stamp, arrival) else {
            return self.bad(Kind::Misrouted, arrival, Some(stamp));
        };
        if receiver == sender {
            return Verdict::Neutral;
        }
        let key = track_key(stamp.stream, sender, receiver);
        let row = self.streams[stamp.stream as usize][sender as usize].as_deref_mut();
        let seq = u32::try_from(stamp.seq).ok();
        let (Some(row), Some(seq)) = (row, seq) else {
            return self.bad(Kind::Corrupt, arrival, Some(stamp));
        };
        if seq >= row.sent {
            return self.bad(Kind::Corrupt, arrival, Some(stamp));
        }
        match row.receivers[receiver as usize].insert(key, seq, &mut self.holes) {
            Seen::Fresh => {
                self.totals.delivered += 1;
                Verdict::Counted(stamp)
            }
            Seen::Late => {
                self.totals.delivered += 1;
                if !self.is_overtaken(&stamp, seq) {
                    self.bad(Kind::Reordered, arrival, Some(stamp));
                }
                Verdict::Counted(stamp)
            }
            Seen::Again => self.bad(Kind::Duplicate, arrival, Some(stamp)),
            Seen::Before => Verdict::Neutral,
        }
    }

    /// The totals so far; what is missing is not judged before [`Self::finish`].
    #[must_use]
    pub const fn totals(&self) -> &LedgerTotals {
        &self.totals
    }

    /// The places of receiver and sender in the stamp's stream, or `None` if it was not for this receiver, or the node
    /// says something else of it than its stamp.
    fn places(&self, stamp: &Stamp, arrival: &Arrival<'_>) -> Option<(u32, u32)> {
        let members = self.fleet.members(stamp.stream);
        let is_right = members.contains(&arrival.receiver)
            && members.contains(&stamp.sender)
            && self.user(stamp.sender) == arrival.from
            && self.conversation(stamp.stream) == Some(arrival.conversation)
            && (self.fleet.is_room(stamp.stream)
                || arrival.may_be_own
                || stamp.sender != arrival.receiver);
        is_right.then(|| (arrival.receiver - members.start, stamp.sender - members.start))
    }

    fn on_corrupt(&mut self, arrival: &Arrival<'_>, error: StampError) -> Verdict {
        self.totals.corrupt += 1;
        self.violations.corrupt(arrival, error);
        let stamp = Stamp::salvage(arrival.body).filter(|stamp| stamp.run_id == self.run_id);
        let places = stamp.and_then(|stamp| Some((stamp, self.places(&stamp, arrival)?)));
        if let Some((stamp, (receiver, sender))) = places
            && let Ok(seq) = u32::try_from(stamp.seq)
        {
            let key = track_key(stamp.stream, sender, receiver);
            self.damaged.entry(key).or_default().note(seq);
        } else if let Some(key) = self.key_of_event(arrival) {
            self.damaged.entry(key).or_default().unknown += 1;
        }
        Verdict::Bad
    }

    /// Whose message it was by the node's word, where the body cannot be believed.
    fn key_of_event(&self, arrival: &Arrival<'_>) -> Option<TrackKey> {
        let stream = match arrival.conversation.as_room() {
            Some(room) => self.fleet.stream_of_room(self.run_id, room),
            None => self.fleet.pair_stream_of(arrival.receiver),
        }?;
        let members = self.fleet.members(stream);
        let is_right = self.conversation(stream) == Some(arrival.conversation)
            && members.contains(&arrival.receiver);
        let sender = members.clone().find(|index| self.user(*index) == arrival.from)?;
        let (sender, receiver) =
            (sender - members.start, arrival.receiver.wrapping_sub(members.start));
        is_right.then(|| track_key(stream, sender, receiver))
    }

    fn bad(&mut self, kind: Kind, arrival: &Arrival<'_>, stamp: Option<Stamp>) -> Verdict {
        let total = match kind {
            Kind::Duplicate => &mut self.totals.duplicate,
            Kind::Reordered => &mut self.totals.reordered,
            Kind::Corrupt => &mut self.totals.corrupt,
            Kind::Misrouted => &mut self.totals.misrouted,
            Kind::Lost => &mut self.totals.lost,
        };
        *total += 1;
        self.violations.seen(kind, arrival, stamp);
        Verdict::Bad
    }

    fn place(&self, stream: u32, index: u32) -> u32 {
        let members = self.fleet.members(stream);
        assert!(members.contains(&index), "connection {index} is not of stream {stream}");
        index - members.start
    }
}

#[cfg(test)]
mod tests;
