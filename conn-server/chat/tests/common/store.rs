//! A store in memory with the store's contract: places in order, retries known, and faults on demand.

use std::collections::{BTreeMap, HashMap, VecDeque};

use chat::{
    Append, Serve, Served, StoreBatch, StoreFault, StoreOutcome, StoreRequest, Stored,
    StoredMessage,
};
use wire::{Command, ConversationId, FrameView, Message, MessageId, Reject, Seq, ShardId, UserId};

/// What a service was asked: by whom, when its ids, and the kind of it.
pub type Asked = (Serve, wire::Kind);

/// What a stranger to a group is told.
const NOT_MEMBER: StoreFault = StoreFault::Rejected(Reject::NotMember);

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Answers.
    Well,
    /// Takes requests and answers nothing.
    Stalled,
    /// Answers every append with busy.
    Full,
}

#[derive(Debug)]
pub struct FakeStore {
    pub mood: Mood,
    queue: VecDeque<(ShardId, StoreBatch)>,
    pub messages: HashMap<ConversationId, BTreeMap<u64, StoredMessage>>,
    retries: HashMap<(u64, u64), (ConversationId, Seq, MessageId, u64, Vec<u8>)>,
    /// What services were asked, in order.
    pub asked: Vec<Asked>,
    /// What the next services answer; a bare `Done` behind these.
    pub answers: VecDeque<Result<Served, Reject>>,
    /// Whoever is in no group may enter none.
    pub strangers: Vec<UserId>,
}

impl Default for FakeStore {
    fn default() -> Self {
        Self {
            mood: Mood::Well,
            queue: VecDeque::new(),
            messages: HashMap::new(),
            retries: HashMap::new(),
            asked: Vec::new(),
            answers: VecDeque::new(),
            strangers: Vec::new(),
        }
    }
}

/// One piece of news as a frame.
pub fn news<'a>(correlation: u64, news: impl Into<wire::News<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(news.into().append_to(correlation, &mut bytes));
    bytes
}

/// The end of an answer.
pub fn done(correlation: u64) -> Vec<u8> {
    let done = wire::Done { next: ConversationId::default(), is_complete: 1 };
    news(correlation, done)
}

impl FakeStore {
    pub fn post(&mut self, shard: ShardId, batch: StoreBatch) {
        self.queue.push_back((shard, batch));
    }

    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Answers the oldest batch, unless it stalls.
    pub fn run_one(&mut self) -> Vec<(ShardId, StoreOutcome)> {
        if self.mood == Mood::Stalled {
            return Vec::new();
        }
        let Some((shard, batch)) = self.queue.pop_front() else { return Vec::new() };
        batch.requests.iter().map(|request| (shard, self.answer(request, &batch))).collect()
    }

    fn answer(&mut self, request: &StoreRequest, batch: &StoreBatch) -> StoreOutcome {
        match request {
            StoreRequest::Append(append) => {
                let result = if self.mood == Mood::Full {
                    Err(StoreFault::Busy)
                } else {
                    self.append(append, batch.body(append))
                };
                StoreOutcome { ticket: append.ticket, result }
            }
            StoreRequest::Pull(page) => {
                if self.is_stranger(page.conversation, page.user) {
                    return StoreOutcome { ticket: page.ticket, result: Err(NOT_MEMBER) };
                }
                let mut found: Vec<StoredMessage> = self
                    .messages
                    .get(&page.conversation)
                    .into_iter()
                    .flat_map(|messages| messages.range(page.after.0 + 1..))
                    .take(usize::from(page.limit) + 1)
                    .map(|(_, message)| message.clone())
                    .collect();
                let is_complete = found.len() <= usize::from(page.limit);
                found.truncate(page.limit.into());
                let stored = Stored::Page { messages: found, is_complete };
                StoreOutcome { ticket: page.ticket, result: Ok(stored) }
            }
            StoreRequest::Head(head) => {
                let seq = self.head(head.conversation);
                let is_stranger =
                    head.for_user.is_some_and(|user| self.is_stranger(head.conversation, user));
                let result = if is_stranger { Err(NOT_MEMBER) } else { Ok(Stored::Head(seq)) };
                StoreOutcome { ticket: head.ticket, result }
            }
            StoreRequest::Serve(serve) => {
                let view = FrameView::parse(batch.frame(serve)).expect("a frame that was checked");
                let Message::Command(Command::Service(service)) = view.message() else {
                    panic!("a service, not {:?}", view.message())
                };
                assert_eq!(serve.is_write, service.kind().is_change());
                self.asked.push((serve.clone(), service.kind()));
                let bare = Served { frames: done(view.correlation()), ..Served::default() };
                let answer = self.answers.pop_front().unwrap_or(Ok(bare));
                let result = answer.map(Stored::Served).map_err(StoreFault::Rejected);
                StoreOutcome { ticket: serve.ticket, result }
            }
            StoreRequest::Conversations(page) => {
                let mut heads: Vec<(ConversationId, Seq)> = self
                    .messages
                    .keys()
                    .filter(|id| id.peer_of(page.user).is_some() && **id > page.after)
                    .map(|id| (*id, self.head(*id)))
                    .collect();
                heads.sort_unstable();
                let is_complete = heads.len() <= usize::from(page.limit);
                heads.truncate(page.limit.into());
                let stored = Stored::Conversations { heads, is_complete };
                StoreOutcome { ticket: page.ticket, result: Ok(stored) }
            }
        }
    }

    fn is_stranger(&self, conversation: ConversationId, user: UserId) -> bool {
        let is_group = conversation.as_room().is_some_and(wire::RoomId::is_group);
        is_group && self.strangers.contains(&user)
    }

    fn head(&self, conversation: ConversationId) -> Seq {
        let messages = self.messages.get(&conversation);
        Seq(messages.and_then(|messages| messages.keys().next_back().copied()).unwrap_or(0))
    }

    /// What taking a message back does.
    pub fn blank(&mut self, conversation: ConversationId, seq: Seq) {
        let messages = self.messages.get_mut(&conversation).expect("a conversation");
        messages.get_mut(&seq.0).expect("a message").body.clear();
    }

    fn append(&mut self, append: &Append, body: &[u8]) -> Result<Stored, StoreFault> {
        if append.seq.is_none() && self.is_stranger(append.conversation, append.from) {
            return Err(NOT_MEMBER);
        }
        let key = (append.from.0, append.client_message_id.0);
        if let Some((conversation, seq, message_id, unix_ms, text)) = self.retries.get(&key) {
            if *conversation != append.conversation || text != body {
                return Err(StoreFault::Conflict);
            }
            let (seq, message_id, unix_ms) = (*seq, *message_id, *unix_ms);
            if self.messages[conversation][&seq.0].body.is_empty() {
                return Ok(Stored::Revoked { seq, message_id });
            }
            return Ok(Stored::Appended { seq, message_id, unix_ms });
        }
        let seq = append.seq.unwrap_or_else(|| Seq(self.head(append.conversation).0 + 1));
        let Append { conversation, message_id, from, unix_ms, .. } = *append;
        let message = StoredMessage { seq, message_id, from, unix_ms, body: body.to_vec() };
        self.messages.entry(conversation).or_default().insert(seq.0, message);
        self.retries.insert(key, (conversation, seq, message_id, unix_ms, body.to_vec()));
        Ok(Stored::Appended { seq, message_id, unix_ms })
    }
}
