//! The cursors of a session: which messages it has, what is held back behind a gap, and delivery in order, each once.

use wire::{Acked, ConversationHead, ConversationId, Joined, MessageId, RoomId, Seq, Text, UserId};

use crate::limits::{CURSORS_MAX, HELD_BYTES_MAX, HELD_MESSAGES_MAX};
use crate::notice::Notice;
use crate::outbox::Outbox;
use crate::repair::Repair;
use crate::session::Follow;
use crate::turn::Turn;

/// What happened to the order of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pushed messages that were dropped because the session had them.
    pub duplicates: u32,
    /// Gaps seen.
    pub gaps: u32,
    /// Messages given up because the node does not have them.
    pub lost: u64,
    /// Messages that could not be held back any more and were pulled later: each time a bound of `limits` was hit.
    pub held_overflows: u32,
    /// Messages delivered without a cursor, because there were too many conversations.
    pub untracked: u32,
}

/// The last `seq` of a conversation that was delivered, or acknowledged as the session's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    pub(crate) conversation: ConversationId,
    pub(crate) have: u64,
}

/// A message behind a gap.
#[derive(Debug)]
struct Held {
    conversation: ConversationId,
    seq: u64,
    message_id: MessageId,
    from: UserId,
    unix_ms: u64,
    /// `None` for a message of the session itself that was acknowledged: it has its place, but is not delivered.
    body: Option<Box<[u8]>>,
}

impl Held {
    fn bytes(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.len())
    }
}

/// What became of a message behind a gap.
enum Kept {
    Now,
    Before,
    Not,
}

/// Cursors, held messages and repairs, each sorted by conversation.
#[derive(Debug, Default)]
pub(crate) struct Book {
    cursors: Vec<Cursor>,
    held: Vec<Held>,
    held_bytes: usize,
    pub(crate) repairs: Vec<Repair>,
    pub(crate) pulls_outstanding: u8,
    pub(crate) counters: Counters,
}

impl Book {
    pub(crate) fn cursors(&self) -> impl Iterator<Item = (ConversationId, Seq)> + '_ {
        self.cursors.iter().map(|cursor| (cursor.conversation, Seq(cursor.have)))
    }

    /// The last `seq` delivered, or zero.
    pub(crate) fn have(&self, conversation: ConversationId) -> u64 {
        match self.find(conversation) {
            Ok(index) => self.cursors[index].have,
            Err(_) => 0,
        }
    }

    fn find(&self, conversation: ConversationId) -> Result<usize, usize> {
        self.cursors.binary_search_by_key(&conversation, |cursor| cursor.conversation)
    }

    /// The index of a conversation's cursor, made with `have` if there is none; `None` if there are too many.
    fn find_or_start(&mut self, conversation: ConversationId, have: u64) -> Option<usize> {
        match self.find(conversation) {
            Ok(index) => Some(index),
            Err(_) if self.cursors.len() >= CURSORS_MAX => None,
            Err(index) => {
                // Most sessions follow one or two conversations: the first few are allocated one by one.
                if self.cursors.len() < 4 {
                    self.cursors.reserve_exact(1);
                }
                self.cursors.insert(index, Cursor { conversation, have });
                Some(index)
            }
        }
    }

    pub(crate) fn set_cursor(&mut self, conversation: ConversationId, have: u64) {
        self.forget(conversation);
        let _ = self.find_or_start(conversation, have); // documented: nothing happens at the bound
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.cursors.capacity() * size_of::<Cursor>()
            + self.held.capacity() * size_of::<Held>()
            + self.repairs.capacity() * size_of::<Repair>()
            + self.held_bytes
    }

    pub(crate) fn reconnect(&mut self) {
        self.held = Vec::new();
        self.held_bytes = 0;
        self.pulls_outstanding = 0;
        for repair in &mut self.repairs {
            repair.reconnect();
        }
    }

    /// Delivers a message, drops it, or holds it back. `counts_as_push` is false for those that the session asked for and for
    /// its own, which may well be known.
    pub(crate) fn on_text<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        follow: Follow,
        text: &Text<'_>,
        counts_as_push: bool,
    ) {
        let (conversation, seq) = (text.conversation, text.seq.0);
        let Some(index) = self.find_or_start(conversation, start(follow, seq)) else {
            self.counters.untracked = self.counters.untracked.saturating_add(1);
            turn.tell(Notice::Text(*text));
            return;
        };
        let have = self.cursors[index].have;
        if seq <= have {
            if counts_as_push {
                self.on_duplicate(turn, conversation, text.seq);
            }
        } else if seq - have == 1 {
            self.cursors[index].have = seq;
            turn.tell(Notice::Text(*text));
            self.release(turn, index);
        } else {
            let held = Held {
                conversation,
                seq,
                message_id: text.message_id,
                from: text.from,
                unix_ms: text.unix_ms,
                body: None,
            };
            let kept = self.hold(held, Some(text.body));
            self.open_or_widen(turn, conversation, have, seq);
            match kept {
                Kept::Now => {}
                Kept::Before if counts_as_push => self.on_duplicate(turn, conversation, text.seq),
                Kept::Before => {}
                Kept::Not => self.note_dropped(conversation, seq),
            }
        }
    }

    /// A message of the session itself has its place: it is not delivered, but it is not missing either.
    pub(crate) fn on_acked<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        follow: Follow,
        acked: &Acked,
    ) {
        let (conversation, seq) = (acked.conversation, acked.seq.0);
        let Some(index) = self.find_or_start(conversation, start(follow, seq)) else { return };
        let have = self.cursors[index].have;
        if seq <= have {
            return; // a retry of something that has its place already
        }
        if seq - have == 1 {
            self.cursors[index].have = seq;
            self.release(turn, index);
        } else {
            let (message_id, from) = (acked.message_id, UserId(0));
            let held = Held { conversation, seq, message_id, from, unix_ms: 0, body: None };
            self.hold(held, None);
            self.open_or_widen(turn, conversation, have, seq);
        }
    }

    /// A room is followed from its head on, unless the session has a cursor from before: then what is between is missing.
    pub(crate) fn on_joined<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        joined: &Joined,
    ) {
        let (conversation, head) = (ConversationId::room(joined.room), joined.head.0);
        if let Some(index) = self.find_or_start(conversation, head) {
            self.catch_up(turn, index, head);
        }
    }

    /// A private conversation's head: what the session has not is missing.
    pub(crate) fn on_head<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        follow: Follow,
        head: &ConversationHead,
    ) {
        let have = if follow == Follow::Beginning { 0 } else { head.head.0 };
        if let Some(index) = self.find_or_start(head.conversation, have) {
            self.catch_up(turn, index, head.head.0);
        }
    }

    fn catch_up<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        index: usize,
        head: u64,
    ) {
        let Cursor { conversation, have } = self.cursors[index];
        if head > have {
            self.open_or_widen(turn, conversation, have, head);
        }
    }

    pub(crate) fn on_left<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        room: RoomId,
    ) {
        self.forget(ConversationId::room(room));
        self.start_pulls(turn);
    }

    fn forget(&mut self, conversation: ConversationId) {
        if let Ok(index) = self.find(conversation) {
            self.cursors.remove(index);
            self.drop_held(conversation, u64::MAX);
            self.forget_repair(conversation);
        }
    }

    fn on_duplicate<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        conversation: ConversationId,
        seq: Seq,
    ) {
        self.counters.duplicates = self.counters.duplicates.saturating_add(1);
        turn.tell(Notice::Duplicate { conversation, seq });
    }

    fn find_held(&self, conversation: ConversationId, seq: u64) -> Result<usize, usize> {
        self.held.binary_search_by_key(&(conversation, seq), |held| (held.conversation, held.seq))
    }

    /// Keeps a message for later, if there is room.
    fn hold(&mut self, mut held: Held, body: Option<&[u8]>) -> Kept {
        let Err(index) = self.find_held(held.conversation, held.seq) else { return Kept::Before };
        let bytes = body.map_or(0, <[u8]>::len);
        if self.held.len() >= HELD_MESSAGES_MAX || self.held_bytes + bytes > HELD_BYTES_MAX {
            self.counters.held_overflows = self.counters.held_overflows.saturating_add(1);
            return Kept::Not; // The repair's target says that it exists, so it is pulled in its turn.
        }
        held.body = body.map(Box::from);
        self.held_bytes += bytes;
        self.held.insert(index, held);
        Kept::Now
    }

    /// The lowest `seq` held of a conversation.
    pub(crate) fn lowest_held(&self, conversation: ConversationId) -> Option<u64> {
        let index = self.find_held(conversation, 0).unwrap_or_else(|index| index);
        let held = self.held.get(index)?;
        (held.conversation == conversation).then_some(held.seq)
    }

    /// Drops what is held of a conversation up to a `seq`, and the allocation with the last of all.
    fn drop_held(&mut self, conversation: ConversationId, up_to: u64) {
        let first = self.find_held(conversation, 0).unwrap_or_else(|index| index);
        let last = self.find_held(conversation, up_to).map_or_else(|index| index, |at| at + 1);
        self.held_bytes -= self.held[first..last].iter().map(Held::bytes).sum::<usize>();
        self.held.drain(first..last);
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    /// After a cursor has moved: delivers what it has reached, and ends the repair if nothing is missing any more.
    fn release<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        index: usize,
    ) {
        let cursor = self.cursors[index];
        let have = self.deliver_held(turn, cursor);
        self.cursors[index].have = have;
        if !self.repairs.is_empty() {
            self.on_progress(turn, cursor.conversation, have);
        }
    }

    /// Delivers what is held next in line, and returns the cursor behind it.
    fn deliver_held<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        Cursor { conversation, mut have }: Cursor,
    ) -> u64 {
        if self.held.is_empty() {
            return have;
        }
        let first = self.find_held(conversation, 0).unwrap_or_else(|index| index);
        for held in self.held[first..].iter().take_while(|held| held.conversation == conversation) {
            if held.seq <= have {
                continue; // A pull was faster.
            }
            if held.seq - have > 1 {
                break;
            }
            have = held.seq;
            if let Some(body) = &held.body {
                turn.tell(Notice::Text(Text {
                    conversation,
                    seq: Seq(held.seq),
                    message_id: held.message_id,
                    from: held.from,
                    unix_ms: held.unix_ms,
                    body,
                }));
            }
        }
        self.drop_held(conversation, have);
        have
    }

    /// Gives up what is missing up to `last`, and goes on behind it.
    pub(crate) fn skip_to<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        conversation: ConversationId,
        last: u64,
    ) {
        let Ok(index) = self.find(conversation) else { return };
        let have = self.cursors[index].have;
        self.counters.lost = self.counters.lost.saturating_add(last - have);
        turn.tell(Notice::GapLost { conversation, first: Seq(have + 1), last: Seq(last) });
        self.cursors[index].have = last;
        self.release(turn, index);
    }
}

/// Where a conversation starts that is seen for the first time, with this `seq`.
const fn start(follow: Follow, seq: u64) -> u64 {
    match follow {
        Follow::Beginning => 0,
        Follow::Now | Follow::Raw => seq - 1,
    }
}
