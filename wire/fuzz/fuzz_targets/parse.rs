//! Any payload of any kind: refused, or understood in one way only. The header is put right, so that every input gets past it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{FrameView, Header, Kind, limits};

fuzz_target!(|input: (u8, u64, &[u8])| {
    let (kind, correlation, payload) = input;
    let payload = &payload[..payload.len().min(limits::PAYLOAD_BYTES_MAX)];
    let kind = Kind::ALL[usize::from(kind) % Kind::ALL.len()];
    let header = Header { kind, payload_len: payload.len() as u32, correlation };
    let frame = [&header.encode(), payload].concat();
    if let Ok(view) = FrameView::parse(&frame) {
        assert_eq!(view.correlation(), correlation);
        assert_eq!(view.message().kind(), kind);
        let mut again = Vec::new();
        assert!(view.message().append_to(correlation, &mut again));
        assert_eq!(again, frame);
    }
});
