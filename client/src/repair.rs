//! Closing gaps: one pull at a time for each conversation, a few for the session, tried again for a while, then given up.

use wire::limits::PAGE_ITEMS_MAX;
use wire::{ConversationId, Pulled, Reject, Rejected, Seq};

use crate::book::Book;
use crate::limits::{PULL_ATTEMPTS_MAX, PULL_RETRY_MS, PULLS_OUTSTANDING_MAX};
use crate::notice::Notice;
use crate::outbox::Outbox;
use crate::turn::Turn;

/// A conversation with messages missing.
#[derive(Debug)]
pub(crate) struct Repair {
    conversation: ConversationId,
    /// The highest `seq` known to exist: the gap is closed when the cursor reaches it.
    target: u64,
    /// The cursor that the outstanding pull asked with.
    asked_after: u64,
    /// Of the outstanding pull; zero if there is none.
    correlation: u64,
    /// When to pull, if none is outstanding.
    retry_at_ms: u64,
    /// The lowest message that was seen but could not be held; the maximum if there is none.
    lowest_dropped: u64,
    /// Pulls in a row that brought nothing.
    attempts: u8,
}

impl Repair {
    pub(crate) fn reconnect(&mut self) {
        self.correlation = 0;
        self.retry_at_ms = 0;
        self.attempts = 0;
    }
}

impl Book {
    fn find_repair(&self, conversation: ConversationId) -> Result<usize, usize> {
        self.repairs.binary_search_by_key(&conversation, |repair| repair.conversation)
    }

    /// Something exists at `seq`, and what comes right after `have` is missing.
    pub(crate) fn open_or_widen<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        conversation: ConversationId,
        have: u64,
        seq: u64,
    ) {
        match self.find_repair(conversation) {
            Ok(index) => {
                let repair = &mut self.repairs[index];
                repair.target = repair.target.max(seq);
            }
            Err(index) => {
                self.counters.gaps = self.counters.gaps.saturating_add(1);
                let retry_at_ms = turn.now_ms;
                let repair = Repair {
                    conversation,
                    target: seq,
                    asked_after: have,
                    correlation: 0,
                    retry_at_ms,
                    lowest_dropped: u64::MAX,
                    attempts: 0,
                };
                self.repairs.insert(index, repair);
                turn.tell(Notice::GapOpened { conversation, first: Seq(have + 1) });
                self.start_pull(turn, index);
            }
        }
    }

    /// A message of a conversation under repair was seen, but could not be held.
    pub(crate) fn note_dropped(&mut self, conversation: ConversationId, seq: u64) {
        if let Ok(index) = self.find_repair(conversation) {
            let repair = &mut self.repairs[index];
            repair.lowest_dropped = repair.lowest_dropped.min(seq);
        }
    }

    /// Sends a repair's pull, if it is due and the session may have one more outstanding.
    fn start_pull<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        index: usize,
    ) {
        let Repair { conversation, target, correlation, retry_at_ms, .. } = self.repairs[index];
        if !turn.is_open
            || self.pulls_outstanding >= PULLS_OUTSTANDING_MAX
            || correlation != 0
            || retry_at_ms > turn.now_ms
        {
            return;
        }
        let have = self.have(conversation);
        // What is held need not be asked for again.
        let last_missing = self.lowest_held(conversation).map_or(target, |seq| seq - 1);
        let missing = last_missing.saturating_sub(have).max(1);
        let limit = u16::try_from(missing).unwrap_or(u16::MAX).min(PAGE_ITEMS_MAX);
        self.repairs[index].correlation = turn.pull(conversation, have, limit);
        self.repairs[index].asked_after = have;
        self.pulls_outstanding += 1;
    }

    /// Sends every pull that is due, as far as the bound allows.
    pub(crate) fn start_pulls<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
    ) {
        for index in 0..self.repairs.len() {
            if self.pulls_outstanding >= PULLS_OUTSTANDING_MAX {
                break;
            }
            self.start_pull(turn, index);
        }
    }

    /// When the next pull is due; `None` while the bound is reached, since an answer comes first then.
    pub(crate) fn poll_retry(&self) -> Option<u64> {
        if self.pulls_outstanding >= PULLS_OUTSTANDING_MAX {
            return None;
        }
        let waiting = self.repairs.iter().filter(|repair| repair.correlation == 0);
        waiting.map(|repair| repair.retry_at_ms).min()
    }

    /// The cursor moved: a repair that has nothing left to do ends, unless its pull's answer is still to come.
    pub(crate) fn on_progress<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        conversation: ConversationId,
        have: u64,
    ) {
        let Ok(index) = self.find_repair(conversation) else { return };
        let repair = &self.repairs[index];
        if repair.correlation == 0 && have >= repair.target {
            self.close(turn, index, have);
        }
    }

    fn close<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        index: usize,
        have: u64,
    ) {
        let conversation = self.repairs.remove(index).conversation;
        if self.repairs.is_empty() {
            self.repairs = Vec::new();
        }
        turn.tell(Notice::GapClosed { conversation, last: Seq(have) });
    }

    /// Ends a repair without a word; the answer to its pull will find nobody.
    pub(crate) fn forget_repair(&mut self, conversation: ConversationId) {
        if let Ok(index) = self.find_repair(conversation) {
            let repair = self.repairs.remove(index);
            self.pulls_outstanding -= u8::from(repair.correlation != 0);
        }
    }

    /// The end of a page: closed, or the next page, or another try, or given up.
    pub(crate) fn on_pulled<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        correlation: u64,
        pulled: &Pulled,
    ) {
        let Some(index) = self.end_pull(pulled.conversation, correlation) else { return };
        let have = self.have(pulled.conversation);
        let repair = &mut self.repairs[index];
        if have >= repair.target {
            self.close(turn, index, have);
        } else if have > repair.asked_after {
            repair.attempts = 0;
            repair.retry_at_ms = turn.now_ms;
        } else {
            self.on_fruitless(turn, index, have);
        }
        self.start_pulls(turn);
    }

    /// A refused pull: busy nodes are asked again for as long as it takes, others have no such conversation for us.
    pub(crate) fn on_pull_rejected<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        correlation: u64,
        rejected: &Rejected,
    ) {
        let asked = self.repairs.iter().find(|repair| repair.correlation == correlation);
        let Some(conversation) = asked.map(|repair| repair.conversation) else { return };
        let Some(index) = self.end_pull(conversation, correlation) else { return };
        let have = self.have(conversation);
        let repair = &mut self.repairs[index];
        if have >= repair.target {
            self.close(turn, index, have);
        } else if Reject::from_code(rejected.reject).is_none_or(Reject::is_retryable) {
            let delay_ms = u64::from(rejected.retry_after_ms).max(PULL_RETRY_MS);
            repair.retry_at_ms = turn.now_ms.saturating_add(delay_ms);
        } else {
            self.give_up(turn, index, have);
        }
        self.start_pulls(turn);
    }

    /// Marks a pull as answered; `None` if it is not one of ours any more.
    fn end_pull(&mut self, conversation: ConversationId, correlation: u64) -> Option<usize> {
        let index = self.find_repair(conversation).ok()?;
        let repair = &mut self.repairs[index];
        if repair.correlation != correlation {
            return None;
        }
        repair.correlation = 0;
        self.pulls_outstanding -= 1;
        Some(index)
    }

    fn on_fruitless<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        index: usize,
        have: u64,
    ) {
        let repair = &mut self.repairs[index];
        repair.attempts += 1;
        if repair.attempts < PULL_ATTEMPTS_MAX {
            let delay_ms = PULL_RETRY_MS << (repair.attempts - 1);
            repair.retry_at_ms = turn.now_ms.saturating_add(delay_ms);
        } else {
            self.give_up(turn, index, have);
        }
    }

    /// Goes on behind the missing messages: with what was seen first of the later ones, else behind the last heard of.
    fn give_up<O: Outbox, V: FnMut(Notice<'_>)>(
        &mut self,
        turn: &mut Turn<'_, O, V>,
        index: usize,
        have: u64,
    ) {
        let repair = &mut self.repairs[index];
        repair.attempts = 0;
        repair.retry_at_ms = turn.now_ms;
        let (conversation, target) = (repair.conversation, repair.target);
        // One right behind the cursor was seen, but then not found again: it is among the lost.
        let dropped = Some(repair.lowest_dropped).filter(|seq| *seq > have + 1 && *seq <= target);
        repair.lowest_dropped = u64::MAX;
        let seen = self.lowest_held(conversation).into_iter().chain(dropped).min();
        let last = seen.map_or(target, |seq| seq - 1);
        self.skip_to(turn, conversation, last);
    }
}
