//! Client to node: services beside the messages. What people know of each other, groups, cursors, calls.
//!
//! Each is answered by events with its correlation id, the last of which is `Done`, or by one `Rejected`. None of them says
//! who asks: that is the session's user.

use crate::error::FrameError;
use crate::header::Kind;
use crate::ids::{ClientMessageId, ConversationId, RoomId, Seq, UserId};
use crate::limits::{
    ALIAS_BYTES_MAX, AVATAR_BYTES_MAX, BODY_BYTES_MAX, DESCRIPTION_BYTES_MAX, NAME_BYTES_MAX,
    NOTE_BYTES_MAX, SIGNAL_BYTES_MAX, TEXTS_BYTES_MAX, TEXTS_MAX,
};
use crate::payload::payloads;

payloads! {
    /// A user's profile; zero for one's own.
    GetProfile, ArchivedGetProfile {
        /// Whose.
        user: id UserId,
    }

    /// Write one's own profile.
    SetProfile, ArchivedSetProfile {
        /// As the user says: 0 unsaid, else as clients agree.
        sex: u8 u8,
    } [
        /// The name shown.
        nickname <= NAME_BYTES_MAX,
        /// Some words about oneself.
        description <= DESCRIPTION_BYTES_MAX,
        /// Where the picture is: a name or an address that clients understand.
        avatar <= AVATAR_BYTES_MAX,
    ]

    /// Users whose username begins with these letters (ASCII letters of either case are the same), by page, in the order of
    /// their names. Each arrives as a `Profile`. No letters: all users.
    FindUsers, ArchivedFindUsers {
        /// The last user of the page before; zero for the first page.
        after: id UserId,
        /// Users wanted, 1 to [`crate::limits::PAGE_ITEMS_MAX`]; more is served as that.
        limit: le u16,
        /// 1: the username is exactly this.
        is_exact: u8 u8,
    } [
        /// The letters.
        username <= NAME_BYTES_MAX,
    ]

    /// One's friends, by page, in the order of their ids. Each arrives as a `Friend`.
    Friends, ArchivedFriends {
        /// The last friend of the page before; zero for the first page.
        after: id UserId,
        /// Friends wanted.
        limit: le u16,
    }

    /// The friend requests that wait for one's answer, by page, in the order of their askers. Each arrives as a
    /// `FriendRequested`.
    FriendRequests, ArchivedFriendRequests {
        /// The last asker of the page before; zero for the first page.
        after: id UserId,
        /// Requests wanted.
        limit: le u16,
    }

    /// Ask somebody to be a friend. The request is kept until it is answered, and told at once if its target is online.
    RequestFriend, ArchivedRequestFriend {
        /// Whom.
        to: some UserId,
    } [
        /// What the asker will call the friend.
        alias <= ALIAS_BYTES_MAX,
        /// A word with it.
        note <= NOTE_BYTES_MAX,
    ]

    /// Accept a request: both are friends, each has two greetings in their conversation, and both are told.
    ConfirmFriend, ArchivedConfirmFriend {
        /// Who asked.
        from: some UserId,
    } [
        /// What the friend will be called here.
        alias <= ALIAS_BYTES_MAX,
    ]

    /// Refuse a request: it is gone, and nobody is told.
    DeclineFriend, ArchivedDeclineFriend {
        /// Who asked.
        from: some UserId,
    }

    /// End a friendship, for both.
    RemoveFriend, ArchivedRemoveFriend {
        /// Which friend.
        user: some UserId,
    }

    /// The private conversation with somebody: made if it is new, the same for the same pair for ever. Answered by an
    /// `InboxItem`.
    OpenPrivate, ArchivedOpenPrivate {
        /// With whom.
        with: some UserId,
    }

    /// The conversations of one's own, private ones and groups, with what is unread, by page, in the order of their ids.
    /// Each arrives as an `InboxItem`.
    Inbox, ArchivedInbox {
        /// The last conversation of the page before; the zero pair for the first page.
        after: id ConversationId,
        /// Conversations wanted.
        limit: le u16,
    }

    /// All up to a place is read. The other members who are online are told, in private conversations.
    MarkRead, ArchivedMarkRead {
        /// One of one's own.
        conversation: pair ConversationId,
        /// Up to there; a lower place than before changes nothing.
        seq: some Seq,
    }

    /// Take back a message of one's own, within the time that the node allows. Its text is gone for everybody.
    Revoke, ArchivedRevoke {
        /// Where it was said.
        conversation: pair ConversationId,
        /// Its place.
        seq: some Seq,
    }

    /// Make a group, with oneself as its creator. Answered by a `Group`.
    CreateGroup, ArchivedCreateGroup {} [
        /// Its name.
        name <= NAME_BYTES_MAX,
    ]

    /// Take somebody into a group: an admin's or the creator's right.
    AddMember, ArchivedAddMember {
        /// Which group.
        group: some RoomId,
        /// Whom.
        user: some UserId,
        /// A [`Role`] code; an admin adds members only.
        role: u8 u8,
    }

    /// Take somebody out of a group who is of a lower role, or leave it oneself. A creator leaves last.
    RemoveMember, ArchivedRemoveMember {
        /// Which group.
        group: some RoomId,
        /// Whom.
        user: some UserId,
    }

    /// Give a member another role: the creator's right. Making somebody else the creator makes oneself an admin.
    SetRole, ArchivedSetRole {
        /// Which group.
        group: some RoomId,
        /// Whose.
        user: some UserId,
        /// A [`Role`] code.
        role: u8 u8,
    }

    /// A group's members, by page, in the order of their ids. Each arrives as a `Member`.
    Members, ArchivedMembers {
        /// A group of one's own.
        group: some RoomId,
        /// The last member of the page before; zero for the first page.
        after: id UserId,
        /// Members wanted.
        limit: le u16,
    }

    /// A sign about a call, for somebody who is online: handed on as a `CallSignal`, and never kept.
    SignalCall, ArchivedSignalCall {
        /// For whom.
        to: some UserId,
        /// Which call: chosen by its caller.
        call: le u64,
        /// What it says: 1 offer, 2 answer, 3 candidate, 4 refuse, 5 hang up, or as clients agree.
        signal: u8 u8,
    } [
        /// A session description, or what else belongs to it.
        body <= SIGNAL_BYTES_MAX,
    ]
}

/// Several texts to one user in one frame. Each is a message of its own, answered by an `Acked` or a `Rejected` of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize)]
pub struct SendTexts<'a> {
    /// The recipient.
    pub to: UserId,
    /// One behind the other: the client message id (8 bytes), the text's length (4 bytes), the text. See [`Texts`].
    #[rkyv(with = rkyv::with::InlineAsBox)]
    pub texts: &'a [u8],
}

impl<'a> crate::encode::Payload<'a> for SendTexts<'a> {
    type Root = ArchivedSendTexts<'a>;
    fn view(root: &'a Self::Root) -> Result<Self, FrameError> {
        let texts = root.texts.get();
        if texts.len() > TEXTS_BYTES_MAX {
            return Err(FrameError::Oversized);
        }
        let mut count = 0;
        for text in Texts::new(texts) {
            let (_, body) = text?;
            crate::payload::text(body, BODY_BYTES_MAX)?;
            count += 1;
        }
        if !(1..=TEXTS_MAX).contains(&count) {
            return Err(FrameError::Oversized);
        }
        Ok(Self { to: crate::payload::some((&root.to).into())?, texts })
    }
    fn tail(&self) -> usize {
        self.texts.len()
    }
}

/// The texts of a [`SendTexts`], in order. Ends after an error.
#[derive(Clone, Debug)]
pub struct Texts<'a>(&'a [u8]);

impl<'a> Texts<'a> {
    /// Of [`SendTexts::texts`].
    #[must_use]
    pub const fn new(texts: &'a [u8]) -> Self {
        Self(texts)
    }

    /// Appends a text to what will be [`SendTexts::texts`].
    pub fn push(texts: &mut alloc::vec::Vec<u8>, id: ClientMessageId, body: &[u8]) {
        texts.extend_from_slice(&id.0.to_le_bytes());
        texts.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
        texts.extend_from_slice(body);
    }

    fn cut(bytes: &'a [u8]) -> Option<(ClientMessageId, &'a [u8], &'a [u8])> {
        let (id, rest) = bytes.split_first_chunk::<8>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        Some((ClientMessageId(u64::from_le_bytes(*id)), body, rest))
    }
}

impl<'a> Iterator for Texts<'a> {
    type Item = Result<(ClientMessageId, &'a [u8]), FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let cut = Self::cut(self.0);
        self.0 = cut.map(|(_, _, rest)| rest).unwrap_or_default();
        Some(cut.map(|(id, body, _)| (id, body)).ok_or(FrameError::Payload))
    }
}

/// What a member of a group may do. The codes are those on the wire and in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Read, write, leave.
    User = 0,
    /// Also take in and take out users.
    Admin = 1,
    /// Also give roles, and take out admins. There is always exactly one.
    Creator = 2,
}

impl Role {
    /// The role of a number from the wire.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::User),
            1 => Some(Self::Admin),
            2 => Some(Self::Creator),
            _ => None,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

macro_rules! services {
    ($($variant:ident $(<$life:lifetime>)?,)+) => {
        /// Any service, borrowed from the bytes it came in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each variant is documented at its type")]
        pub enum Service<'a> { Me, $($variant($variant $(<$life>)?)),+ }

        impl<'a> Service<'a> {
            /// The kind of frame that carries it.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self { Self::Me => Kind::Me, $(Self::$variant(_) => Kind::$variant),+ }
            }

            /// Whether it changes anything.
            #[must_use]
            pub const fn is_write(&self) -> bool {
                self.kind().is_change()
            }

            #[allow(clippy::wildcard_enum_match_arm, reason = "services and their news know their own kinds")]
            pub(crate) fn parse(kind: Kind, payload: &'a [u8]) -> Result<Option<Self>, FrameError> {
                Ok(Some(match kind {
                    Kind::Me if payload.is_empty() => Self::Me,
                    Kind::Me => return Err(FrameError::Payload),
                    $(Kind::$variant => Self::$variant(crate::encode::read::<$variant $(<$life>)?>(payload)?),)+
                    _ => return Ok(None),
                }))
            }

            #[allow(clippy::wildcard_enum_match_arm, reason = "services and their news know their own kinds")]
            pub(crate) fn root_len(kind: Kind) -> Option<usize> {
                Some(match kind {
                    Kind::Me => 0,
                    $(Kind::$variant => crate::encode::root_bytes::<$variant $(<$life>)?>(),)+
                    _ => return None,
                })
            }

            /// Appends the whole frame to `out`; `false`, with `out` unchanged, if a text is longer than a frame can carry.
            #[must_use]
            pub fn append_to(&self, correlation: u64, out: &mut alloc::vec::Vec<u8>) -> bool {
                crate::payload::append_to(self, correlation, out)
            }

            /// Writes the payload into `out`, and gives it as what a [`crate::Message`] carries. `None` if a text is longer than
            /// a frame can carry.
            #[must_use]
            pub fn encode<'o>(&self, out: &'o mut alloc::vec::Vec<u8>) -> Option<ServiceFrame<'o>> {
                let payload = crate::payload::encode(self, out)?;
                Some(ServiceFrame { kind: self.kind(), payload })
            }
        }

        impl crate::payload::Whole for Service<'_> {
            fn kind(&self) -> Kind {
                Service::kind(self)
            }

            fn payload_len(&self) -> usize {
                let body = match self {
                    Self::Me => 0,
                    $(Self::$variant(payload) => crate::encode::Payload::tail(payload)),+
                };
                body + Self::root_len(self.kind()).unwrap_or(0)
            }

            fn write_payload(&self, out: &mut [u8]) -> Option<usize> {
                match self {
                    Self::Me => Some(0),
                    $(Self::$variant(payload) => crate::encode::write(payload, out)),+
                }
            }
        }
    };
}

services! {
    GetProfile,
    SetProfile<'a>,
    FindUsers<'a>,
    Friends,
    FriendRequests,
    RequestFriend<'a>,
    ConfirmFriend<'a>,
    DeclineFriend,
    RemoveFriend,
    OpenPrivate,
    Inbox,
    MarkRead,
    Revoke,
    CreateGroup<'a>,
    AddMember,
    RemoveMember,
    SetRole,
    Members,
}

/// A checked service, borrowed from the bytes it came in and not taken apart: so that the commands of the message path, which
/// are moved about with it, stay small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceFrame<'a> {
    kind: Kind,
    payload: &'a [u8],
}

impl<'a> ServiceFrame<'a> {
    /// `Ok(None)` for a kind that is none.
    pub(crate) fn parse(kind: Kind, payload: &'a [u8]) -> Result<Option<Self>, FrameError> {
        let checked = Service::parse(kind, payload)?;
        Ok(checked.map(|_| Self { kind, payload }))
    }

    /// The kind of frame that carries it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Takes it apart.
    ///
    /// # Errors
    /// None for what came from a frame or from [`Service::encode`]: both have been checked.
    pub fn read(&self) -> Result<Service<'a>, FrameError> {
        Service::parse(self.kind, self.payload)?.ok_or(FrameError::Kind)
    }
}
