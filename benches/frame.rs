//! What does one frame cost? Cutting it off a stream and checking it; building it; and what bounds both from below.

use std::hint::black_box;

use benches::frames::{BODY_BYTES, body, frame, result_hash, subjects};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wire::{FrameView, split_frame};

/// From received bytes to a checked view.
fn parse(criterion: &mut Criterion) {
    let body = body();
    let mut group = criterion.benchmark_group("parse");
    for subject in subjects(&body) {
        let bytes = frame(&subject);
        group.throughput(Throughput::Elements(1));
        group.bench_function(subject.name, |bencher| {
            bencher.iter(|| {
                let cut = split_frame(black_box(&bytes));
                let (frame, _) = cut.ok().flatten().expect("a whole frame was built above");
                black_box(FrameView::parse(frame)).map(|view| view.correlation())
            });
        });
    }
    group.finish();
}

/// From a message to the bytes of its frame, in a buffer that is large enough already.
fn build(criterion: &mut Criterion) {
    let body = body();
    let mut group = criterion.benchmark_group("build");
    for subject in subjects(&body) {
        let mut out = vec![0; subject.message.encoded_len()];
        group.throughput(Throughput::Elements(1));
        group.bench_function(subject.name, |bencher| {
            bencher.iter(|| black_box(&subject.message).encode(black_box(1), black_box(&mut out)));
        });
    }
    group.finish();
}

/// The same, appended to a growing buffer, as a client does.
fn append(criterion: &mut Criterion) {
    let body = body();
    let mut group = criterion.benchmark_group("append");
    for subject in subjects(&body) {
        let mut out = Vec::with_capacity(subject.message.encoded_len());
        group.throughput(Throughput::Elements(1));
        group.bench_function(subject.name, |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(&subject.message).append_to(black_box(1), black_box(&mut out))
            });
        });
    }
    group.finish();
}

/// What nothing can be faster than: cutting without checking, checking the text alone, copying a frame that is built already.
fn floor(criterion: &mut Criterion) {
    let body = body();
    let mut group = criterion.benchmark_group("floor");
    for subject in subjects(&body) {
        let bytes = frame(&subject);
        let mut out = vec![0; bytes.len()];
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("cut/{}", subject.name), |bencher| {
            bencher.iter(|| split_frame(black_box(&bytes)).is_ok());
        });
        group.bench_function(format!("copy/{}", subject.name), |bencher| {
            bencher.iter(|| black_box(&mut out).copy_from_slice(black_box(&bytes)));
        });
    }
    for len in BODY_BYTES {
        group.bench_function(format!("utf8/{len}"), |bencher| {
            bencher.iter(|| core::str::from_utf8(black_box(&body[..len])).is_ok());
        });
    }
    group.finish();
}

fn print_hash(_: &mut Criterion) {
    println!("result hash {:08x}", result_hash());
}

criterion_group!(benches, print_hash, parse, build, append, floor);
criterion_main!(benches);
