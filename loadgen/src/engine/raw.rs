//! The client half of the raw protocol, which `floor` speaks: frames of fixed sizes and no meaning beyond their first byte.
//!
//! A login is what the grant says, answered by 16 bytes `R…`; a message is `M` and a body of 128 bytes, acknowledged by 16
//! bytes `A…`, in order. Never does I/O, never reads a clock.

use client::{Broken, SendError};
use wire::FrameError;

use super::send_pool::Writer;

/// Bytes of a raw message's body: no other are possible.
pub(crate) const BODY_BYTES: usize = 128;
const MESSAGE_BYTES: usize = 1 + BODY_BYTES;
const ANSWER_BYTES: usize = 16;

/// What a raw session hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RawNotice<'a> {
    /// The login is taken.
    LoggedIn,
    /// The message with this number, counted from zero on this connection, is acknowledged.
    Acked(u32),
    /// Somebody's message.
    Message(&'a [u8]),
}

/// One login of the raw protocol.
#[derive(Debug, Default)]
pub(super) struct RawSession {
    /// A torn frame; without capacity while there is none.
    tail: Vec<u8>,
    /// Acknowledgements heard.
    acks: u32,
}

impl RawSession {
    /// Writes the login.
    pub(super) fn login(&mut self, login: &[u8], writer: &mut Writer<'_>) -> Result<(), SendError> {
        self.tail = Vec::new();
        Self::write(login, &[], writer)
    }

    /// Writes a message.
    pub(super) fn send(body: &[u8], writer: &mut Writer<'_>) -> Result<(), SendError> {
        Self::write(b"M", body, writer)
    }

    fn write(head: &[u8], body: &[u8], writer: &mut Writer<'_>) -> Result<(), SendError> {
        let is_written = writer.append_with(head.len() + body.len(), |space| {
            let (first, second) = space.split_at_mut(head.len());
            first.copy_from_slice(head);
            second.copy_from_slice(body);
        });
        if is_written { Ok(()) } else { Err(SendError::TooLong(MESSAGE_BYTES as u32)) }
    }

    /// Takes bytes as they came, cut anywhere, and tells what they say.
    ///
    /// # Errors
    /// At the first byte that begins no frame.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        mut visit: impl FnMut(RawNotice<'_>),
    ) -> Result<(), Broken> {
        let mut rest = bytes;
        if let Some(&first) = self.tail.first() {
            let missing = length(first)? - self.tail.len();
            let (more, behind) = rest.split_at(missing.min(rest.len()));
            self.tail.extend_from_slice(more);
            if more.len() < missing {
                return Ok(());
            }
            let frame = std::mem::take(&mut self.tail);
            self.tell(&frame, &mut visit);
            rest = behind;
        }
        while let Some(&first) = rest.first() {
            let Some((frame, behind)) = rest.split_at_checked(length(first)?) else {
                self.tail = rest.to_vec();
                break;
            };
            self.tell(frame, &mut visit);
            rest = behind;
        }
        Ok(())
    }

    /// Tells what a whole frame says.
    fn tell(&mut self, frame: &[u8], visit: &mut impl FnMut(RawNotice<'_>)) {
        match frame {
            [b'M', body @ ..] => visit(RawNotice::Message(body)),
            [b'A', ..] => {
                let number = self.acks;
                self.acks = number.wrapping_add(1);
                visit(RawNotice::Acked(number));
            }
            _ => visit(RawNotice::LoggedIn),
        }
    }
}

/// How long the frame is that begins with this byte.
fn length(first: u8) -> Result<usize, Broken> {
    match first {
        b'M' => Ok(MESSAGE_BYTES),
        b'A' | b'R' => Ok(ANSWER_BYTES),
        _ => Err(Broken::Frame(FrameError::Magic)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let answer = |first| [&[first][..], &[b'.'; 15]].concat();
        let message = [&b"M"[..], &[b'x'; 128]].concat();
        [answer(b'R'), answer(b'A'), message.clone(), message, answer(b'A')].concat()
    }

    fn heard(pieces: &[&[u8]]) -> Vec<String> {
        let mut session = RawSession::default();
        let mut heard = Vec::new();
        for piece in pieces {
            session
                .receive(piece, |notice| {
                    heard.push(match notice {
                        RawNotice::Message(body) => format!("message of {}", body.len()),
                        RawNotice::LoggedIn | RawNotice::Acked(_) => format!("{notice:?}"),
                    });
                })
                .unwrap();
        }
        heard
    }

    #[test]
    fn frames_are_heard_wherever_the_stream_is_cut() {
        let stream = stream();
        let whole = ["LoggedIn", "Acked(0)", "message of 128", "message of 128", "Acked(1)"];
        assert_eq!(heard(&[&stream]), whole);
        for cut in 0..stream.len() {
            assert_eq!(heard(&[&stream[..cut], &stream[cut..]]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(heard(&bytes), whole);
    }

    #[test]
    fn what_begins_no_frame_breaks_the_session() {
        let mut session = RawSession::default();
        assert!(session.receive(b"Mx", |_| panic!("nothing is whole")).is_ok());
        assert!(RawSession::default().receive(b"x", |_| panic!("no frame")).is_err());
    }
}
