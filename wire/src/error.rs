//! What a peer can be told: errors by blame, each with a number that is never reused.

use core::fmt;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $code,)+ }

        impl $name {
            /// Every variant, in the order of the codes.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stable number on the wire.
            #[must_use]
            pub const fn code(self) -> u8 { self as u8 }

            /// The variant of a number from the wire, or `None` for one that this version does not know.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            /// A label for logs and metrics: lower case, words joined by underscores.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.label()) }
        }
    };
}

codes! {
    /// Why bytes are not a frame. The connection that sent them cannot be understood any further and is closed.
    FrameError {
        /// The first byte is not the magic.
        Magic = 1 "magic",
        /// A version that this node does not speak.
        Version = 2 "version",
        /// A flag bit that this version does not define.
        Flags = 3 "flags",
        /// A kind that this version does not define.
        Kind = 4 "kind",
        /// The length field says more than a frame may hold, or more than this kind may.
        Oversized = 5 "oversized",
        /// The payload is not a valid archive of its kind, or not the canonical one.
        Payload = 6 "payload",
        /// Text that is not UTF-8.
        Text = 7 "text",
        /// An id that names nothing: zero, or a private pair out of order.
        Id = 8 "id",
    }
}
impl core::error::Error for FrameError {}

codes! {
    /// A polite no: the command did nothing, the connection goes on.
    Reject {
        /// Too much is outstanding; the same command may be sent again, with the same client message id.
        Busy = 1 "busy",
        /// Log in first.
        NotLoggedIn = 2 "not_logged_in",
        /// The session's user is not in that conversation.
        NotMember = 3 "not_member",
        /// The text is empty or longer than the node allows.
        BodySize = 4 "body_size",
        /// The session is in as many rooms as it may be, or the node has as many as it can hold.
        TooManyRooms = 5 "too_many_rooms",
        /// This client message id was used before for another message.
        Conflict = 6 "conflict",
        /// The session is logged in already.
        AlreadyLoggedIn = 7 "already_logged_in",
        /// The node is draining; reconnect elsewhere.
        Draining = 8 "draining",
        /// The store refused for good: this record can never be written.
        Refused = 9 "refused",
        /// Nobody and nothing of that number or name.
        NotFound = 10 "not_found",
        /// The session's user may not do that: the role is too low, or it is somebody else's.
        Forbidden = 11 "forbidden",
        /// It is so already.
        Exists = 12 "exists",
        /// A number or a text breaks its rule.
        Invalid = 13 "invalid",
        /// A list is as long as it may be.
        TooMany = 14 "too_many",
        /// The time for it is over.
        TooLate = 15 "too_late",
        /// The recipient is not online.
        Offline = 16 "offline",
        /// This node has no store for it.
        Unavailable = 17 "unavailable",
    }
}

codes! {
    /// Why a connection ends, told in its goodbye.
    CloseReason {
        /// The user logged out.
        Logout = 1 "logout",
        /// The same account logged in elsewhere, later.
        Replaced = 2 "replaced",
        /// Nothing was heard from the peer for too long.
        Expired = 3 "expired",
        /// The peer read too slowly and its queue reached its bound; what was dropped is found by cursor.
        Slow = 4 "slow",
        /// The node is shutting down.
        Shutdown = 5 "shutdown",
        /// The peer broke the protocol.
        Violation = 6 "violation",
        /// The token was forged, expired, used before, or meant for another node or incarnation.
        BadToken = 7 "bad_token",
        /// The peer finished sending.
        PeerClosed = 8 "peer_closed",
        /// No login arrived in time.
        LoginTimeout = 9 "login_timeout",
        /// The node holds as many connections as it may.
        Full = 10 "full",
        /// The account's password was reset: log in with the new one.
        Revoked = 11 "revoked",
    }
}

impl Reject {
    /// Whether sending the same command again later can succeed.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Busy | Self::Draining)
    }
}
