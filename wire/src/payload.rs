//! How a payload of numbers and texts is written down once: the struct, its archive and the reading of it.

use alloc::vec::Vec;

use crate::error::FrameError;
use crate::header::{Header, Kind};
use crate::limits::PAYLOAD_BYTES_MAX;

/// Declares payloads: numbers first, then texts, each with its longest length in bytes.
///
/// A number is `id` (any), `some` (an id that must not be zero), `pair` (a valid conversation), `le` (a little-endian number)
/// or `u8`. Texts are UTF-8, checked where they enter; they lie before the root in the order of the fields, so that one
/// payload has one encoding.
macro_rules! payloads {
    ($(
        $(#[$doc:meta])*
        $name:ident, $archived:ident {
            $($(#[$ndoc:meta])* $number:ident: $read:ident $type:ty,)*
        } $([ $($(#[$tdoc:meta])* $text:ident <= $max:expr,)+ ])?
    )+) => {
        $(payloads!(@one
            $(#[$doc])*
            $name, $archived {
                $($(#[$ndoc])* $number: $read $type,)*
            } $([ $($(#[$tdoc])* $text <= $max,)+ ])?
        );)+
    };
    (@one
        $(#[$doc:meta])*
        $name:ident, $archived:ident {
            $($(#[$ndoc:meta])* $number:ident: $read:ident $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize)]
        pub struct $name { $($(#[$ndoc])* pub $number: $type,)* }

        impl<'a> $crate::encode::Payload<'a> for $name {
            type Root = $archived;
            fn view(root: &'a Self::Root) -> Result<Self, $crate::error::FrameError> {
                Ok(Self { $($number: payloads!(@$read root.$number),)* })
            }
        }
    };
    (@one
        $(#[$doc:meta])*
        $name:ident, $archived:ident {
            $($(#[$ndoc:meta])* $number:ident: $read:ident $type:ty,)*
        } [ $($(#[$tdoc:meta])* $text:ident <= $max:expr,)+ ]
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize)]
        pub struct $name<'a> {
            $($(#[$ndoc])* pub $number: $type,)*
            $($(#[$tdoc])* #[rkyv(with = rkyv::with::InlineAsBox)] pub $text: &'a [u8],)+
        }

        impl<'a> $crate::encode::Payload<'a> for $name<'a> {
            type Root = $archived<'a>;
            fn view(root: &'a Self::Root) -> Result<Self, $crate::error::FrameError> {
                let view = Self {
                    $($number: payloads!(@$read root.$number),)*
                    $($text: $crate::payload::text(root.$text.get(), $max)?,)+
                };
                let root = core::ptr::from_ref(root).addr();
                $crate::payload::lie_in_order(root, &[$(view.$text),+])?;
                Ok(view)
            }
            fn tail(&self) -> usize {
                0 $(+ self.$text.len())+
            }
        }
    };
    (@id $place:expr) => { (&$place).into() };
    (@some $place:expr) => { $crate::payload::some((&$place).into())? };
    (@pair $place:expr) => { $crate::payload::pair((&$place).into())? };
    (@le $place:expr) => { $place.to_native() };
    (@u8 $place:expr) => { $place };
}
pub(crate) use payloads;

/// Checks a text where it enters.
pub(crate) fn text(bytes: &[u8], max: usize) -> Result<&[u8], FrameError> {
    if bytes.len() > max {
        return Err(FrameError::Oversized);
    }
    core::str::from_utf8(bytes).map(|_| bytes).map_err(|_| FrameError::Text)
}

/// Texts lie one behind the other, the last one right before the root: any other order would be a second encoding.
pub(crate) fn lie_in_order(root: usize, texts: &[&[u8]]) -> Result<(), FrameError> {
    let mut end = root;
    for text in texts.iter().rev() {
        if text.as_ptr().addr() + text.len() != end {
            return Err(FrameError::Payload);
        }
        end -= text.len();
    }
    Ok(())
}

/// An id that names somebody.
pub(crate) fn some<T: Default + PartialEq>(id: T) -> Result<T, FrameError> {
    if id == T::default() { Err(FrameError::Id) } else { Ok(id) }
}

/// A conversation that can be.
pub(crate) const fn pair(
    conversation: crate::ConversationId,
) -> Result<crate::ConversationId, FrameError> {
    if conversation.is_valid() { Ok(conversation) } else { Err(FrameError::Id) }
}

/// What is encoded by itself and carried whole.
pub(crate) trait Whole {
    /// The kind of frame that carries it.
    fn kind(&self) -> Kind;
    /// Bytes of its payload.
    fn payload_len(&self) -> usize;
    /// Writes its payload; `None` if it does not fit.
    fn write_payload(&self, out: &mut [u8]) -> Option<usize>;
}

/// Writes a payload into `out`, whose earlier content goes. `None` if it is longer than a frame can carry.
pub(crate) fn encode<'o>(whole: &impl Whole, out: &'o mut Vec<u8>) -> Option<&'o [u8]> {
    out.clear();
    out.resize(whole.payload_len(), 0);
    let len = whole.write_payload(out)?;
    out.get(..len).filter(|_| len <= PAYLOAD_BYTES_MAX)
}

/// Appends a whole frame to `out`; `false`, with `out` unchanged, if its payload is too long.
pub(crate) fn append_to(whole: &impl Whole, correlation: u64, out: &mut Vec<u8>) -> bool {
    let mut payload = Vec::new();
    let Some(payload) = encode(whole, &mut payload) else { return false };
    let Ok(payload_len) = u32::try_from(payload.len()) else { return false };
    out.extend_from_slice(&Header { kind: whole.kind(), payload_len, correlation }.encode());
    out.extend_from_slice(payload);
    true
}

/// Copies a payload that is encoded already to the start of `out`: not of the message path, and kept out of its way.
#[cold]
#[inline(never)]
pub(crate) fn copy(payload: &[u8], out: &mut [u8]) -> Option<usize> {
    out.get_mut(..payload.len())?.copy_from_slice(payload);
    Some(payload.len())
}
