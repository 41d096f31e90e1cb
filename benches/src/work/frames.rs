//! Frames: cut off a stream and checked, and built.

use std::hint::black_box;

use wire::{FrameView, Message, split_frame};

use super::Work;
use crate::frames::{body, frame, subjects};

/// The frame of this name.
fn frame_of(name: &str) -> Vec<u8> {
    let body = body();
    let subjects = subjects(&body);
    let found = subjects.iter().find(|subject| subject.name == name);
    frame(found.expect("the list of frames has it"))
}

struct Parse {
    bytes: Vec<u8>,
    operations: usize,
    read: u64,
}

pub(super) fn parse_text() -> Box<dyn Work> {
    Box::new(Parse { bytes: frame_of("send_text/128"), operations: 0, read: 0 })
}

pub(super) fn parse_heartbeat() -> Box<dyn Work> {
    Box::new(Parse { bytes: frame_of("heartbeat"), operations: 0, read: 0 })
}

impl Work for Parse {
    fn prepare(&mut self, operations: usize) {
        self.operations = operations;
    }

    fn run(&mut self) {
        for _ in 0..self.operations {
            let Ok(Some((frame, _))) = split_frame(black_box(&self.bytes)) else { return };
            if let Ok(view) = FrameView::parse(frame) {
                self.read += view.correlation();
            }
        }
    }

    fn check(&self) {
        assert!(self.read >= self.operations as u64, "every frame has correlation id 1");
    }
}

struct Build {
    frame: Vec<u8>,
    out: Vec<u8>,
    operations: usize,
}

pub(super) fn build_text() -> Box<dyn Work> {
    build("text/128")
}

pub(super) fn build_acked() -> Box<dyn Work> {
    build("acked")
}

fn build(name: &str) -> Box<dyn Work> {
    let frame = frame_of(name);
    let out = vec![0; frame.len()];
    Box::new(Build { frame, out, operations: 0 })
}

impl Work for Build {
    fn prepare(&mut self, operations: usize) {
        self.operations = operations;
    }

    fn run(&mut self) {
        let view = FrameView::parse(&self.frame).expect("it was built whole");
        let message: Message<'_> = view.message();
        for _ in 0..self.operations {
            // A frame that does not fit shows in `check`.
            let _ = black_box(&message).encode(black_box(1), black_box(&mut self.out));
        }
    }

    fn check(&self) {
        assert_eq!(self.out, self.frame);
    }
}
