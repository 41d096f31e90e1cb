//! Any bytes from a node, cut in any way: a session tells, answers or breaks, and stays within its bounds.
#![no_main]

use client::{Follow, Notice, Session, limits};
use libfuzzer_sys::fuzz_target;

/// The first bytes of an input say where the rest is cut.
const CUTS: usize = 8;

fuzz_target!(|input: &[u8]| {
    let Some((cuts, stream)) = input.split_at_checked(CUTS) else { return };
    let follow = [Follow::Now, Follow::Beginning, Follow::Raw][usize::from(cuts[0]) % 3];
    let mut session = Session::new(follow);
    let mut out = Vec::new();
    session.login(0, b"token", &mut out).expect("a fresh session may log in");
    let mut places = std::collections::HashMap::new();
    let mut rest = stream;
    let mut now_ms = 0;
    let sizes = cuts.iter().map(|cut| usize::from(*cut).max(1)).chain(core::iter::repeat(4_096));
    for size in sizes {
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        rest = behind;
        if piece.is_empty() {
            break;
        }
        let told = session.receive(now_ms, piece, &mut out, |notice| match notice {
            Notice::Text(text) if follow != Follow::Raw => {
                let place = places.entry(text.conversation).or_insert(0);
                assert!(text.seq.0 > *place, "a conversation went back");
                *place = text.seq.0;
            }
            // A room that was left starts anew.
            Notice::Left { left, .. } => {
                places.remove(&wire::ConversationId::room(left.room));
            }
            _ => {}
        });
        if told.is_err() {
            break;
        }
        now_ms += size as u64 * 7;
        session.handle_timeout(now_ms, &mut out, |_| {});
        assert!(session.heap_bytes() < 64 * stream.len() + limits::HELD_BYTES_MAX + 4_096);
        assert!(out.len() <= 64 * stream.len() + 4_096);
        out.clear();
    }
});
