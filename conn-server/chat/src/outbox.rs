//! Credit for mail: how much each peer shard has not handled yet, and what is owed to it.

use alloc::vec;
use alloc::vec::Vec;

use wire::ShardId;

use crate::counters::Counters;
use crate::effects::Effects;
use crate::limits::MAIL_CREDIT_BYTES;
use crate::mail::{self, CLASSES, COMMAND, Mail, MailBatch};

/// Credit accounts with every shard, by its index.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Bytes posted that the peer has not given credit for.
    posted: Vec<[u64; CLASSES]>,
    /// Bytes handled for which the peer has not been given credit.
    owed: Vec<[u64; CLASSES]>,
    /// Peers over the bound, per class.
    full: [u32; CLASSES],
}

impl Outbox {
    pub(crate) fn new(shards: u16) -> Self {
        let zero = vec![[0; CLASSES]; usize::from(shards)];
        Self { posted: zero.clone(), owed: zero, full: [0; CLASSES] }
    }

    /// Whether commands that cause mail must wait.
    pub(crate) fn is_choked(&self) -> bool {
        self.full != [0; CLASSES]
    }

    /// Posts a piece of mail. Never refuses: whoever causes it has asked `is_choked` before.
    pub(crate) fn post(
        &mut self,
        to: ShardId,
        mail: &Mail<'_>,
        counters: &mut Counters,
        fx: &mut Effects,
    ) {
        let (Some(batch), Some(posted)) =
            (fx.mail.get_mut(usize::from(to.0)), self.posted.get_mut(usize::from(to.0)))
        else {
            return;
        };
        let len = mail::write(mail, &mut batch.bytes);
        counters.mail_bytes += u64::from(len);
        let class = mail.class();
        let (Some(posted), Some(full)) = (posted.get_mut(class), self.full.get_mut(class)) else {
            return;
        };
        let was_full = *posted > u64::from(MAIL_CREDIT_BYTES);
        *posted += u64::from(len);
        if !was_full && *posted > u64::from(MAIL_CREDIT_BYTES) {
            *full += 1;
            counters.mail_credit_hits += 1;
        }
    }

    /// Takes the credit that came with a batch.
    pub(crate) fn take_credit(&mut self, batch: &MailBatch) {
        let Some(posted) = self.posted.get_mut(usize::from(batch.from.0)) else { return };
        for ((posted, credit), full) in posted.iter_mut().zip(batch.credit).zip(&mut self.full) {
            let was_full = *posted > u64::from(MAIL_CREDIT_BYTES);
            *posted = posted.saturating_sub(credit);
            if was_full && *posted <= u64::from(MAIL_CREDIT_BYTES) {
                *full -= 1;
            }
        }
    }

    /// Notes mail of a peer as handled.
    pub(crate) fn owe(&mut self, from: ShardId, class: usize, len: u32) {
        let owed = self.owed.get_mut(usize::from(from.0)).and_then(|owed| owed.get_mut(class));
        if let Some(owed) = owed {
            *owed += u64::from(len);
        }
    }

    /// Gives back what may be given back: a class's credit while the classes that it causes have room.
    pub(crate) fn settle(&mut self, fx: &mut Effects) {
        for (owed, batch) in self.owed.iter_mut().zip(&mut fx.mail) {
            let mut has_room = true;
            for class in (COMMAND..CLASSES).rev() {
                if let (Some(owed), Some(credit)) =
                    (owed.get_mut(class), batch.credit.get_mut(class))
                    && has_room
                {
                    *credit += core::mem::take(owed);
                }
                has_room &= self.full.get(class) == Some(&0);
            }
        }
    }
}
