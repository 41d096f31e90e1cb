//! Any bytes cut in any way give the same frames and the same refusal as in one piece.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{FrameError, FrameView, split_frame};

/// The first bytes of an input say where the rest is cut.
const CUTS: usize = 8;

/// Frames as a reader sees them that gets `pieces`, one after another, and what stopped it.
fn read<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let mut frames = Vec::new();
    let mut pending: Vec<u8> = Vec::new();
    for piece in pieces {
        pending.extend_from_slice(piece);
        loop {
            match split_frame(&pending) {
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
                Ok(Some((frame, rest))) => {
                    if let Err(error) = FrameView::parse(frame) {
                        return (frames, Some(error));
                    }
                    frames.push(frame.to_vec());
                    pending = rest.to_vec();
                }
            }
        }
    }
    (frames, None)
}

fuzz_target!(|input: &[u8]| {
    let Some((cuts, stream)) = input.split_at_checked(CUTS) else { return };
    let whole = read(core::iter::once(stream));
    assert_eq!(read(stream.chunks(1)), whole);
    let mut rest = stream;
    let sizes = cuts.iter().map(|cut| usize::from(*cut).max(1)).chain(core::iter::repeat(4_096));
    let pieces = sizes.map_while(|size| {
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(read(pieces), whole);
});
