//! Credit for mail: how much each peer shard has not handled yet, and what is owed to it.
//!
//! Every peer has accounts of its own, so that one that is slow or stands still holds up only what goes to it.

use alloc::vec::Vec;

use wire::ShardId;

use crate::counters::Counters;
use crate::effects::Effects;
use crate::limits::{
    MAIL_CREDIT_BYTES, MAIL_CREDIT_BYTES_LOW, MAIL_OWED_BYTES_MAX, MAIL_RESERVE_BYTES,
};
use crate::mail::{CLASSES, COMMAND, Mail, MailBatch, REPLY};

/// What is between this shard and one peer, by class.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// Bytes posted that the peer has not given credit for.
    posted: [u64; CLASSES],
    /// Bytes handled for which the peer has not been given credit.
    owed: [u64; CLASSES],
    /// More was posted than the credit, and it has not come down to the low mark since.
    is_full: [bool; CLASSES],
}

/// Credit accounts with every shard, by its index.
#[derive(Debug)]
pub(crate) struct Outbox {
    accounts: Vec<Account>,
    /// Full accounts of all peers and classes.
    full: u32,
}

impl Outbox {
    pub(crate) fn new(shards: u16) -> Self {
        Self { accounts: (0..shards).map(|_| Account::default()).collect(), full: 0 }
    }

    /// Whether any peer has used up its credit in any class: only then is there more to ask.
    pub(crate) const fn is_choked(&self) -> bool {
        self.full > 0
    }

    /// Whether mail of this class for a peer has to wait at its source.
    pub(crate) fn is_full(&self, peer: ShardId, class: usize) -> bool {
        let account = self.accounts.get(usize::from(peer.0));
        account.and_then(|account| account.is_full.get(class)) == Some(&true)
    }

    /// Whether so many replies wait for a peer that the reserve for what cannot be held back is used up as well.
    pub(crate) fn is_reserve_used(&self, peer: ShardId) -> bool {
        let account = self.accounts.get(usize::from(peer.0));
        account.is_some_and(|account| account.posted[REPLY] > u64::from(MAIL_RESERVE_BYTES))
    }

    /// Posts a piece of mail. Never refuses: whoever causes it has asked `is_full` before.
    pub(crate) fn post(
        &mut self,
        to: ShardId,
        mail: &Mail<'_>,
        counters: &mut Counters,
        fx: &mut Effects,
    ) {
        let (Some(batch), Some(account)) =
            (fx.mail.get_mut(usize::from(to.0)), self.accounts.get_mut(usize::from(to.0)))
        else {
            return;
        };
        if batch.bytes.is_empty() {
            account.give_back(batch);
        }
        let len = batch.push(mail);
        counters.mails += 1;
        counters.mail_bytes += u64::from(len);
        if account.count_posted(mail.class(), len) {
            self.full += 1;
            counters.mail_credit_hits += 1;
        }
    }

    /// Takes the credit that came with a batch. `true` if a class has room again.
    pub(crate) fn take_credit(&mut self, batch: &MailBatch) -> bool {
        let Some(account) = self.accounts.get_mut(usize::from(batch.from.0)) else { return false };
        let relieved = account.count_credit(batch.credit);
        self.full -= relieved;
        relieved > 0
    }

    /// Notes mail of a peer as handled.
    pub(crate) fn owe(&mut self, from: ShardId, class: usize, len: u32) {
        let account = self.accounts.get_mut(usize::from(from.0));
        if let Some(owed) = account.and_then(|account| account.owed.get_mut(class)) {
            *owed += u64::from(len);
        }
    }

    /// Gives credit back to a peer whose mail was handled: with the mail that goes there anyway, or alone when it has
    /// become much. A batch for credit alone would wake the peer for nothing.
    pub(crate) fn settle(&mut self, peer: ShardId, fx: &mut Effects) {
        let index = usize::from(peer.0);
        let (Some(account), Some(batch)) = (self.accounts.get_mut(index), fx.mail.get_mut(index))
        else {
            return;
        };
        let owed = account.owed.iter().sum::<u64>();
        if !batch.bytes.is_empty() || owed > u64::from(MAIL_OWED_BYTES_MAX) {
            account.give_back(batch);
        }
    }
}

impl Account {
    /// `true` if that was more than the credit.
    fn count_posted(&mut self, class: usize, len: u32) -> bool {
        let (Some(posted), Some(is_full)) =
            (self.posted.get_mut(class), self.is_full.get_mut(class))
        else {
            return false;
        };
        *posted += u64::from(len);
        let is_over = *posted > u64::from(MAIL_CREDIT_BYTES);
        is_over && !core::mem::replace(is_full, true)
    }

    /// How many classes have room again.
    fn count_credit(&mut self, credit: [u64; CLASSES]) -> u32 {
        let mut relieved = 0;
        for ((posted, credit), is_full) in self.posted.iter_mut().zip(credit).zip(&mut self.is_full)
        {
            *posted = posted.saturating_sub(credit);
            if *is_full && *posted <= u64::from(MAIL_CREDIT_BYTES_LOW) {
                *is_full = false;
                relieved += 1;
            }
        }
        relieved
    }

    /// Moves what is owed into a batch; for commands only while there is room for the replies that they cause.
    fn give_back(&mut self, batch: &mut MailBatch) {
        let may_cause_replies = !self.is_full[REPLY];
        for (class, (owed, credit)) in self.owed.iter_mut().zip(&mut batch.credit).enumerate() {
            if class != COMMAND || may_cause_replies {
                *credit += core::mem::take(owed);
            }
        }
    }
}
