//! Damaged frames, many and always the same: refused or understood, never a panic, and never understood in two ways.

use wire::{FrameView, HEADER_BYTES, limits, split_frame};

use crate::cases::all;

const FRAMES: usize = 200_000;

/// One to four changes of any sort.
fn damage(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(..=bytes.len());
        match random.u8(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(0..8),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 => bytes.insert(at, random.u8(..)),
            3 if at < bytes.len() => {
                bytes.remove(at);
            }
            4 => bytes.truncate(at),
            5 if at + 4 <= bytes.len() => {
                let extreme = [0, 1, u32::MAX, i32::MAX as u32, 16, 0x8000_0000];
                bytes[at..at + 4].copy_from_slice(&extreme[random.usize(0..6)].to_le_bytes());
            }
            _ => {
                let from = random.usize(..=at);
                bytes.extend_from_within(from..at);
            }
        }
    }
}

#[test]
fn damaged_frames_are_refused_or_have_one_meaning() {
    let originals: Vec<Vec<u8>> = all().iter().map(|golden| golden.bytes()).collect();
    let mut random = fastrand::Rng::with_seed(1);
    let (mut understood, mut refused, mut incomplete) = (0, 0, 0);
    for _ in 0..FRAMES {
        let mut bytes = originals[random.usize(..originals.len())].clone();
        damage(&mut random, &mut bytes);
        // Most damage makes the length wrong, and so hides the payload: half the frames have it put right.
        if bytes.len() >= HEADER_BYTES && random.bool() {
            let len = (bytes.len() - HEADER_BYTES) as u32;
            bytes[4..8].copy_from_slice(&len.to_le_bytes());
        }
        match split_frame(&bytes) {
            Ok(None) => incomplete += 1,
            Err(_) => refused += 1,
            Ok(Some((frame, rest))) => {
                assert_eq!(frame.len() + rest.len(), bytes.len());
                assert!(frame.len() <= limits::FRAME_BYTES_MAX);
                let Ok(view) = FrameView::parse(frame) else {
                    refused += 1;
                    continue;
                };
                understood += 1;
                let mut again = Vec::new();
                assert!(view.message().append_to(view.correlation(), &mut again));
                assert_eq!(again, frame, "two encodings of {:?}", view.message());
            }
        }
    }
    for count in [understood, refused, incomplete] {
        assert!(
            count > FRAMES / 20,
            "{understood} understood, {refused} refused, {incomplete} incomplete"
        );
    }
}
