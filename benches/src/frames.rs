//! The frames that benchmarks measure with: fixed inputs, and a hash of the results. Never random, so that two runs do the
//! same work.

use wire::{
    Acked, ClientMessageId, Command, ConversationId, Event, FrameView, Message, MessageId,
    SendText, Seq, Text, UserId,
};

/// Body sizes that are measured, in bytes: a line, a paragraph, a page.
pub const BODY_BYTES: [usize; 3] = [64, 128, 1024];

/// One frame to measure with.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// As benchmarks are named: the kind, and the bytes of its body if it has one.
    pub name: &'static str,
    /// What it says.
    pub message: Message<'a>,
}

/// Text of ASCII letters, as long as the longest body.
#[must_use]
pub fn body() -> Vec<u8> {
    (b'a'..=b'z').cycle().take(BODY_BYTES[2]).collect()
}

/// The frames of the hot path: a text in, its acknowledgement and its delivery out, and a heartbeat.
#[must_use]
pub fn subjects(body: &[u8]) -> Vec<Subject<'_>> {
    let names = [
        ("send_text/64", "text/64"),
        ("send_text/128", "text/128"),
        ("send_text/1024", "text/1024"),
    ];
    let conversation = ConversationId::private(UserId(7), UserId(9));
    let (client_message_id, message_id) = (ClientMessageId(42), MessageId(1 << 40));
    let (seq, from) = (Seq(301), UserId(7));
    let mut subjects = Vec::new();
    for ((send, text), len) in names.into_iter().zip(BODY_BYTES) {
        let body = body.get(..len).unwrap_or(body);
        let command = Command::SendText(SendText { to: UserId(9), client_message_id, body });
        subjects.push(Subject { name: send, message: command.into() });
        let unix_ms = 1_700_000_000_000;
        let event = Event::Text(Text { conversation, seq, message_id, from, unix_ms, body });
        subjects.push(Subject { name: text, message: event.into() });
    }
    let acked = Acked { conversation, seq, message_id, client_message_id };
    subjects.push(Subject { name: "acked", message: Event::Acked(acked).into() });
    subjects.push(Subject { name: "heartbeat", message: Command::Heartbeat.into() });
    subjects
}

/// The subject's frame.
#[must_use]
pub fn frame(subject: &Subject<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let is_written = subject.message.append_to(1, &mut bytes);
    assert!(is_written, "every subject fits a frame");
    bytes
}

/// A hash of every frame as it is built, and of every frame as it is read: what is measured does what it did before.
#[must_use]
pub fn result_hash() -> u32 {
    let body = body();
    let mut hash = 0;
    for subject in subjects(&body) {
        let bytes = frame(&subject);
        hash = crc32c::crc32c_append(hash, &bytes);
        let read = FrameView::parse(&bytes).map(|view| format!("{:?}", view.message()));
        hash = crc32c::crc32c_append(hash, format!("{read:?}").as_bytes());
    }
    hash
}

#[cfg(test)]
mod tests {
    use wire::FrameView;

    #[test]
    fn every_subject_is_read_as_it_was_built() {
        let body = super::body();
        for subject in super::subjects(&body) {
            let bytes = super::frame(&subject);
            assert_eq!(FrameView::parse(&bytes).unwrap().message(), subject.message);
        }
    }
}
