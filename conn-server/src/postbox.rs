//! A shard's sending side: puts the turn's mail and store requests on their way, keeps what cannot go yet, and uses
//! emptied batches again. Never blocks, never drops; order per receiver is kept because what is kept goes first.

use std::collections::VecDeque;
use std::mem;

use chat::{Effects, MailBatch, StoreBatch, StoreFault, StoreOutcome, StoreRequest, Ticket};
use crossbeam::channel::TrySendError;
use wire::ShardId;

use crate::limits::{KEPT_BATCH_BYTES_MAX, SPARE_BATCH_BYTES_MAX, SPARE_BATCHES_MAX};
use crate::mesh::{Mesh, Message, PostError, StoreMail, StoreSender};
use crate::stats::IoCounters;

/// One shard's sending side.
#[derive(Debug)]
pub(crate) struct Postbox {
    shard: ShardId,
    /// Per peer, what its full inbox did not take, in order. The core's credit bounds its bytes.
    kept: Vec<VecDeque<MailBatch>>,
    /// Peers with something kept.
    kept_count: usize,
    spares: Vec<MailBatch>,
    /// The fewest spares since the last `tidy`: so many were not needed.
    spares_low: usize,
    /// `None` if the node has no store, or lost it.
    store: Option<StoreSender>,
    kept_store: StoreBatch,
    store_spares: Vec<StoreBatch>,
    /// Answers that this shard has to give itself because there is no store.
    lost: Vec<StoreOutcome>,
}

impl Postbox {
    pub(crate) fn new(shard: ShardId, shards: u16, store: Option<StoreSender>) -> Self {
        Self {
            shard,
            kept: (0..shards).map(|_| VecDeque::new()).collect(),
            kept_count: 0,
            spares: Vec::new(),
            spares_low: 0,
            store,
            kept_store: StoreBatch::default(),
            store_spares: Vec::new(),
            lost: Vec::new(),
        }
    }

    /// Empties the lanes `mail` and `store`.
    pub(crate) fn post(&mut self, mesh: &Mesh, fx: &mut Effects, counters: &mut IoCounters) {
        for (peer, lane) in (0..).map(ShardId).zip(&mut fx.mail) {
            if !lane.is_empty() || (self.kept_count > 0 && self.is_kept(peer)) {
                self.post_mail(mesh, peer, lane, counters);
            }
        }
        if !fx.store.is_empty() || !self.kept_store.is_empty() {
            self.post_store(&mut fx.store, counters);
        }
    }

    /// Whether everything is on its way; else `post` must be called again soon.
    pub(crate) fn is_clear(&self) -> bool {
        self.kept_count == 0 && self.kept_store.is_empty()
    }

    /// Answers for the core that no store will give any more.
    pub(crate) fn take_lost(&mut self) -> Vec<StoreOutcome> {
        mem::take(&mut self.lost)
    }

    pub(crate) const fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Takes the batches in that peers have emptied.
    fn take_back(&mut self, mesh: &Mesh) {
        while self.spares.len() < SPARE_BATCHES_MAX
            && let Some(mut batch) = mesh.returned(self.shard)
        {
            batch.reset(self.shard);
            self.spares.push(batch);
        }
    }

    /// Keeps the memory of a batch that the store has answered.
    pub(crate) fn recycle_store(&mut self, batch: StoreBatch) {
        let is_small = batch.bytes.capacity() <= SPARE_BATCH_BYTES_MAX;
        if self.store_spares.len() < SPARE_BATCHES_MAX && is_small {
            self.store_spares.push(batch);
        }
    }

    /// Gives the memory of batches back that were not needed since the last call; whether there was any.
    pub(crate) fn tidy(&mut self, mesh: &Mesh) -> bool {
        self.take_back(mesh);
        let excess = self.spares_low;
        self.spares.drain(..excess);
        self.spares_low = self.spares.len();
        excess > 0
    }

    /// Whether `tidy` has something to do.
    pub(crate) const fn is_untidy(&self) -> bool {
        self.spares_low > 0
    }

    fn spare(&mut self, mesh: &Mesh) -> MailBatch {
        self.take_back(mesh);
        let spare = self.spares.pop();
        self.spares_low = self.spares_low.min(self.spares.len());
        spare.unwrap_or_else(|| MailBatch::new(self.shard))
    }

    fn is_kept(&self, peer: ShardId) -> bool {
        self.kept.get(usize::from(peer.0)).is_some_and(|kept| !kept.is_empty())
    }

    fn post_mail(
        &mut self,
        mesh: &Mesh,
        peer: ShardId,
        lane: &mut MailBatch,
        counters: &mut IoCounters,
    ) {
        if !self.is_kept(peer) {
            let batch = mem::replace(lane, self.spare(mesh));
            if let Some(batch) = post_batch(mesh, peer, batch, counters) {
                self.kept_count += 1;
                self.keep(peer, batch);
            }
            return;
        }
        self.merge(mesh, peer, lane);
        while let Some(batch) = self.kept.get_mut(usize::from(peer.0)).and_then(VecDeque::pop_front)
        {
            if let Some(batch) = post_batch(mesh, peer, batch, counters) {
                self.keep(peer, batch);
                return;
            }
        }
        self.kept_count -= 1;
    }

    /// Puts a batch back in front of what is kept for a peer.
    fn keep(&mut self, peer: ShardId, batch: MailBatch) {
        if let Some(kept) = self.kept.get_mut(usize::from(peer.0)) {
            kept.push_front(batch);
        }
    }

    /// Puts a lane behind what is kept for a peer.
    fn merge(&mut self, mesh: &Mesh, peer: ShardId, lane: &mut MailBatch) {
        let kept = self.kept.get_mut(usize::from(peer.0));
        let last = kept.and_then(VecDeque::back_mut);
        match last.filter(|last| last.len() + lane.len() <= KEPT_BATCH_BYTES_MAX) {
            Some(last) => last.merge(lane),
            None => {
                let batch = mem::replace(lane, self.spare(mesh));
                if let Some(kept) = self.kept.get_mut(usize::from(peer.0)) {
                    kept.push_back(batch);
                }
            }
        }
    }

    fn post_store(&mut self, lane: &mut StoreBatch, counters: &mut IoCounters) {
        let batch = if self.kept_store.is_empty() {
            mem::replace(lane, self.store_spares.pop().unwrap_or_default())
        } else {
            self.kept_store.merge(lane);
            mem::take(&mut self.kept_store)
        };
        let Some(store) = &self.store else {
            self.lose(&batch, counters);
            return;
        };
        match store.try_send(StoreMail { shard: self.shard, batch }) {
            Ok(()) => counters.store_posts += 1,
            Err(TrySendError::Full(mail)) => {
                counters.store_kept += 1;
                self.kept_store = mail.batch;
            }
            Err(TrySendError::Disconnected(mail)) => {
                tracing::error!(shard = self.shard.0, "the store has ended: answering busy");
                self.store = None;
                self.lose(&mail.batch, counters);
            }
        }
    }

    fn lose(&mut self, batch: &StoreBatch, counters: &mut IoCounters) {
        counters.store_lost += batch.requests.len() as u64;
        let busy =
            |request| StoreOutcome { ticket: ticket(request), result: Err(StoreFault::Busy) };
        self.lost.extend(batch.requests.iter().map(busy));
    }
}

/// Posts one batch; gives it back if the inbox is full.
fn post_batch(
    mesh: &Mesh,
    peer: ShardId,
    batch: MailBatch,
    counters: &mut IoCounters,
) -> Option<MailBatch> {
    match mesh.post(peer, Message::Mail(batch)) {
        Ok(woken) => {
            counters.mail_posts += 1;
            counters.wakes_sent += u64::from(woken);
            counters.wakes_spared += u64::from(!woken);
            None
        }
        Err(PostError::Full(Message::Mail(batch))) => {
            counters.mail_kept += 1;
            Some(batch)
        }
        // The peer has ended, which it does only when the whole node does.
        Err(PostError::Full(_) | PostError::Gone) => None,
    }
}

const fn ticket(request: &StoreRequest) -> Ticket {
    match request {
        StoreRequest::Append(append) => append.ticket,
        StoreRequest::Pull(pull) => pull.ticket,
        StoreRequest::Head(head) => head.ticket,
        StoreRequest::Conversations(page) => page.ticket,
        StoreRequest::Serve(serve) => serve.ticket,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chat::{ConnKey, Durability, HeadOf, Now, Shard};
    use wire::token::{Token, TokenKey};
    use wire::{Command, ConversationId, Epoch, Login, Message as Frame, UserId, home_of_user};

    use super::*;
    use crate::config::ServerConfig;
    use crate::lane::StoreLane;
    use crate::limits::{INBOX_MESSAGES_MAX, STORE_BATCHES_MAX};

    const HERE: ShardId = ShardId(0);
    const PEER: ShardId = ShardId(1);

    /// A shard whose every new login is mail for its peer: only a core can write mail.
    struct Source {
        shard: Shard,
        fx: Effects,
        key: TokenKey,
        user: u64,
    }

    impl Source {
        fn new() -> Self {
            let key = TokenKey::new(&[1; 32]).unwrap();
            let config = ServerConfig::new("postbox", key.clone());
            let config = chat::Config {
                shard: HERE,
                shards: 2,
                node: config.name,
                incarnation: 1,
                token_key: config.token_key,
                shard_ports: vec![1, 2],
                durability: Durability::Commit,
                message_id_base: 0,
                proxy_headers: chat::ProxyHeaders::Refused,
                connections_max: 100,
                body_bytes_max: config.body_bytes_max,
                heartbeat_interval: Duration::from_secs(1),
                heartbeat_timeout: Duration::from_secs(3),
                heartbeats_per_s_max: 1_000,
                login_timeout: Duration::from_secs(1),
                flush_timeout: Duration::from_secs(1),
                linger_timeout: Duration::from_secs(1),
                reconnect_window: Duration::from_secs(1),
                store_stall: Duration::from_secs(1),
                history_bytes_max: 0,
                seed: 1,
            };
            Self { shard: Shard::new(config), fx: Effects::new(HERE, 2), key, user: 0 }
        }

        /// One more login of a user who lives at the peer.
        fn write(&mut self) {
            let next = (self.user + 1..).find(|&user| home_of_user(UserId(user), 2) == PEER);
            self.user = next.unwrap();
            let user = UserId(self.user);
            let token = Token { user, epoch: Epoch(1), incarnation: 1, expires_ms: u64::MAX };
            let token = self.key.mint(&token, "postbox");
            let mut frame = Vec::new();
            assert!(
                Frame::Command(Command::Login(Login { token: &token })).append_to(0, &mut frame)
            );
            let now = Now::default();
            let key: ConnKey = self.shard.handle_accept(now, &mut self.fx).unwrap();
            self.shard.handle_receive(now, key, &mut frame, &mut self.fx);
            assert!(!self.fx.mail[1].is_empty());
        }
    }

    #[test]
    fn mail_for_a_full_inbox_is_kept_and_merged() {
        let mesh = Mesh::new(2).unwrap();
        let inbox = mesh.inbox(PEER).unwrap();
        let (mut source, mut counters) = (Source::new(), IoCounters::default());
        let mut postbox = Postbox::new(HERE, 2, None);
        for _ in 0..INBOX_MESSAGES_MAX {
            mesh.post(PEER, Message::Look).unwrap();
        }
        source.write();
        let first = source.fx.mail[1].len();
        postbox.post(&mesh, &mut source.fx, &mut counters);
        source.write();
        let second = source.fx.mail[1].len();
        postbox.post(&mesh, &mut source.fx, &mut counters);
        assert_eq!((counters.mail_kept, counters.mail_posts), (2, 0));
        assert!(!postbox.is_clear() && source.fx.mail[1].is_empty());
        while inbox.take().is_some() {}
        // Nothing new to say, and yet what was kept goes.
        postbox.post(&mesh, &mut source.fx, &mut counters);
        assert!(postbox.is_clear());
        let Some(Message::Mail(batch)) = inbox.take() else { panic!("the mail arrives") };
        assert_eq!(batch.len(), first + second);
        assert!(inbox.take().is_none(), "once");
    }

    fn ask(fx: &mut Effects, number: u32) {
        fx.store.requests.push(StoreRequest::Head(HeadOf {
            ticket: Ticket::new(number, 0),
            conversation: ConversationId::default(),
            for_user: None,
        }));
    }

    fn numbers<'a>(requests: impl IntoIterator<Item = &'a StoreRequest>) -> Vec<Ticket> {
        requests.into_iter().map(ticket).collect()
    }

    #[test]
    fn requests_for_a_full_store_are_kept_in_order() {
        let mesh = Mesh::new(1).unwrap();
        let (sender, lane) = StoreLane::new(&mesh);
        let (mut fx, mut counters) = (Effects::new(HERE, 1), IoCounters::default());
        let mut postbox = Postbox::new(HERE, 1, Some(sender));
        let count = u32::try_from(STORE_BATCHES_MAX).unwrap() + 3;
        for number in 0..count {
            ask(&mut fx, number);
            postbox.post(&mesh, &mut fx, &mut counters);
        }
        assert_eq!(counters.store_kept, 3);
        assert!(!postbox.is_clear());
        let mut seen = numbers(&lane.recv().unwrap().batch.requests);
        postbox.post(&mesh, &mut fx, &mut counters);
        assert!(postbox.is_clear());
        while let Ok(mail) = lane.try_recv() {
            seen.extend(numbers(&mail.batch.requests));
        }
        assert_eq!(seen, (0..count).map(|number| Ticket::new(number, 0)).collect::<Vec<_>>());
    }

    #[test]
    fn a_store_that_has_gone_is_answered_for_in_order() {
        let mesh = Mesh::new(1).unwrap();
        let (sender, lane) = StoreLane::new(&mesh);
        let (mut fx, mut counters) = (Effects::new(HERE, 1), IoCounters::default());
        let mut postbox = Postbox::new(HERE, 1, Some(sender));
        drop(lane);
        for number in 0..3 {
            ask(&mut fx, number);
            postbox.post(&mesh, &mut fx, &mut counters);
        }
        let lost = postbox.take_lost();
        let tickets: Vec<_> = lost.iter().map(|outcome| outcome.ticket).collect();
        assert_eq!(tickets, (0..3).map(|number| Ticket::new(number, 0)).collect::<Vec<_>>());
        assert!(lost.iter().all(|outcome| outcome.result == Err(StoreFault::Busy)));
        assert!(!postbox.has_lost() && counters.store_lost == 3);
    }
}
