//! Node to client: answers of the services, and what others did that concerns the session's user.

use crate::error::FrameError;
use crate::header::Kind;
use crate::ids::{ConversationId, RoomId, Seq, UserId};
use crate::limits::{
    ALIAS_BYTES_MAX, AVATAR_BYTES_MAX, DESCRIPTION_BYTES_MAX, NAME_BYTES_MAX, NOTE_BYTES_MAX,
    SIGNAL_BYTES_MAX,
};
use crate::payload::payloads;

payloads! {
    /// The end of a service's answer.
    Done, ArchivedDone {
        /// The cursor for the next page, of a service that has pages: a user's is in `first`.
        next: id ConversationId,
        /// 1 if there is nothing after this page, else 0.
        is_complete: u8 u8,
    }

    /// Who somebody is.
    Profile, ArchivedProfile {
        /// Whose it is.
        user: id UserId,
        /// As the user says.
        sex: u8 u8,
    } [
        /// The name to log in with.
        username <= NAME_BYTES_MAX,
        /// The name shown.
        nickname <= NAME_BYTES_MAX,
        /// Some words about oneself.
        description <= DESCRIPTION_BYTES_MAX,
        /// Where the picture is.
        avatar <= AVATAR_BYTES_MAX,
    ]

    /// A friend, with the profile.
    Friend, ArchivedFriend {
        /// Who.
        user: id UserId,
        /// As the friend says.
        sex: u8 u8,
    } [
        /// The name to log in with.
        username <= NAME_BYTES_MAX,
        /// The name shown.
        nickname <= NAME_BYTES_MAX,
        /// Some words about oneself.
        description <= DESCRIPTION_BYTES_MAX,
        /// Where the picture is.
        avatar <= AVATAR_BYTES_MAX,
        /// What the session's user calls the friend; may be empty.
        alias <= ALIAS_BYTES_MAX,
    ]

    /// Somebody asks to be a friend: of a list, or pushed (correlation id zero) as it happens.
    FriendRequested, ArchivedFriendRequested {
        /// Who asks.
        from: id UserId,
        /// When, in milliseconds since 1970.
        unix_ms: le u64,
        /// As the asker says.
        sex: u8 u8,
    } [
        /// The asker's name to log in with.
        username <= NAME_BYTES_MAX,
        /// The asker's name shown.
        nickname <= NAME_BYTES_MAX,
        /// Some words about the asker.
        description <= DESCRIPTION_BYTES_MAX,
        /// Where the asker's picture is.
        avatar <= AVATAR_BYTES_MAX,
        /// The word with it.
        note <= NOTE_BYTES_MAX,
    ]

    /// The session's user and somebody are friends now: pushed to both. The greetings follow as texts.
    Befriended, ArchivedBefriended {
        /// The friend.
        user: id UserId,
        /// Their conversation.
        conversation: id ConversationId,
        /// As the friend says.
        sex: u8 u8,
    } [
        /// The name to log in with.
        username <= NAME_BYTES_MAX,
        /// The name shown.
        nickname <= NAME_BYTES_MAX,
        /// Some words about oneself.
        description <= DESCRIPTION_BYTES_MAX,
        /// Where the picture is.
        avatar <= AVATAR_BYTES_MAX,
        /// What the session's user calls the friend; may be empty.
        alias <= ALIAS_BYTES_MAX,
    ]

    /// A friendship was ended by the other: pushed.
    Unfriended, ArchivedUnfriended {
        /// The former friend.
        user: id UserId,
    }

    /// One conversation of the session's user.
    InboxItem, ArchivedInboxItem {
        /// Which.
        conversation: id ConversationId,
        /// Its last `seq`.
        head: id Seq,
        /// Up to where the user has read.
        read: id Seq,
        /// Up to where the other has read, in a private conversation; else zero.
        peer_read: id Seq,
        /// Messages of others beyond `read`, counted up to [`crate::limits::UNREAD_MAX`].
        unread: le u16,
        /// In a group: the user's [`crate::Role`] code; else zero.
        role: u8 u8,
    } [
        /// The group's name, or the other's username.
        name <= NAME_BYTES_MAX,
    ]

    /// Somebody has read up to a place: pushed.
    ReadUpTo, ArchivedReadUpTo {
        /// Where.
        conversation: id ConversationId,
        /// Who.
        user: id UserId,
        /// Up to there.
        seq: id Seq,
    }

    /// A message was taken back: pushed. In pages it has an empty text from now on.
    Revoked, ArchivedRevoked {
        /// Where.
        conversation: id ConversationId,
        /// Its place.
        seq: id Seq,
        /// By whom.
        by: id UserId,
    }

    /// A group of the session's user.
    Group, ArchivedGroup {
        /// Which: to be entered like a room.
        group: id RoomId,
        /// Its last `seq`.
        head: id Seq,
        /// The user's [`crate::Role`] code.
        role: u8 u8,
    } [
        /// Its name.
        name <= NAME_BYTES_MAX,
    ]

    /// One member of a group.
    Member, ArchivedMember {
        /// Who.
        user: id UserId,
        /// The member's [`crate::Role`] code.
        role: u8 u8,
    } [
        /// The name to log in with.
        username <= NAME_BYTES_MAX,
    ]

    /// A group's members have changed: pushed to whoever has entered it, and to whom it is about.
    MemberChanged, ArchivedMemberChanged {
        /// Which group.
        group: id RoomId,
        /// Who was added, removed or given a role.
        user: id UserId,
        /// By whom.
        by: id UserId,
        /// The [`crate::Role`] code from now on.
        role: u8 u8,
        /// 1 if the user is a member from now on, else 0.
        is_member: u8 u8,
    } [
        /// The group's name.
        name <= NAME_BYTES_MAX,
    ]

    /// A sign about a call: pushed.
    CallSignal, ArchivedCallSignal {
        /// Of whom.
        from: id UserId,
        /// Which call.
        call: le u64,
        /// What it says.
        signal: u8 u8,
    } [
        /// What belongs to it.
        body <= SIGNAL_BYTES_MAX,
    ]
}

macro_rules! news {
    ($($variant:ident $(<$life:lifetime>)?,)+) => {
        /// Any of these events, borrowed from the bytes it came in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each variant is documented at its type")]
        pub enum News<'a> { $($variant($variant $(<$life>)?)),+ }

        impl<'a> News<'a> {
            /// The kind of frame that carries it.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant),+ }
            }

            #[allow(clippy::wildcard_enum_match_arm, reason = "services and their news know their own kinds")]
            pub(crate) fn parse(kind: Kind, payload: &'a [u8]) -> Result<Option<Self>, FrameError> {
                Ok(Some(match kind {
                    $(Kind::$variant => Self::$variant(crate::encode::read::<$variant $(<$life>)?>(payload)?),)+
                    _ => return Ok(None),
                }))
            }

            #[allow(clippy::wildcard_enum_match_arm, reason = "services and their news know their own kinds")]
            pub(crate) fn root_len(kind: Kind) -> Option<usize> {
                Some(match kind {
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
            pub fn encode<'o>(&self, out: &'o mut alloc::vec::Vec<u8>) -> Option<NewsFrame<'o>> {
                let payload = crate::payload::encode(self, out)?;
                Some(NewsFrame { kind: self.kind(), payload })
            }
        }

        impl crate::payload::Whole for News<'_> {
            fn kind(&self) -> Kind {
                News::kind(self)
            }

            fn payload_len(&self) -> usize {
                let body = match self {
                    $(Self::$variant(payload) => crate::encode::Payload::tail(payload)),+
                };
                body + Self::root_len(self.kind()).unwrap_or(0)
            }

            fn write_payload(&self, out: &mut [u8]) -> Option<usize> {
                match self {
                    $(Self::$variant(payload) => crate::encode::write(payload, out)),+
                }
            }
        }

        $(
            impl<'a> From<$variant $(<$life>)?> for News<'a> {
                fn from(payload: $variant $(<$life>)?) -> Self {
                    Self::$variant(payload)
                }
            }
        )+
    };
}

news! {
    Done,
    Profile<'a>,
    Friend<'a>,
    FriendRequested<'a>,
    Befriended<'a>,
    Unfriended,
    InboxItem<'a>,
    ReadUpTo,
    Revoked,
    Group<'a>,
    Member<'a>,
    MemberChanged<'a>,
    CallSignal<'a>,
}

/// A checked event of this file, borrowed from the bytes it came in and not taken apart: so that the events of the message path,
/// which are moved about with it, stay small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewsFrame<'a> {
    kind: Kind,
    payload: &'a [u8],
}

impl<'a> NewsFrame<'a> {
    /// `Ok(None)` for a kind that is none.
    pub(crate) fn parse(kind: Kind, payload: &'a [u8]) -> Result<Option<Self>, FrameError> {
        let checked = News::parse(kind, payload)?;
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
    /// None for what came from a frame or from [`News::encode`]: both have been checked.
    pub fn read(&self) -> Result<News<'a>, FrameError> {
        News::parse(self.kind, self.payload)?.ok_or(FrameError::Kind)
    }
}
