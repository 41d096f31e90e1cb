//! How long does each piece of work take? The same pieces that `counts` counts, and the mesh between two threads.
//!
//! `cargo bench -p benches --bench work -- room` times those whose name contains `room`.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use benches::work::SUBJECTS;
use chat::MailBatch;
use conn_server::mesh::{Mesh, Message};
use criterion::{Criterion, criterion_group, criterion_main};
use wire::ShardId;

/// Operations that inputs are made for at once: some megabytes.
const OPERATIONS_AT_ONCE: u64 = 4096;

/// Every piece of work, warm, without the making of its inputs.
fn pieces(criterion: &mut Criterion) {
    for subject in SUBJECTS {
        let mut warm = None;
        criterion.bench_function(subject.name, |bencher| {
            let work = warm.get_or_insert_with(|| {
                let mut work = (subject.make)();
                work.prepare(subject.counted_warm_up());
                work.run();
                work
            });
            bencher.iter_custom(|operations| {
                let mut spent = Duration::ZERO;
                let mut left = operations;
                while left > 0 {
                    let now = left.min(OPERATIONS_AT_ONCE);
                    work.prepare(now as usize);
                    let start = Instant::now();
                    work.run();
                    spent += start.elapsed();
                    left -= now;
                }
                work.check();
                spent
            });
        });
    }
}

/// Mail batches from one thread to another and back, a window of them under way.
fn mesh_between_threads(criterion: &mut Criterion) {
    const HERE: ShardId = ShardId(0);
    const THERE: ShardId = ShardId(1);
    let mesh = Mesh::new(2).expect("wake-ups can be made");
    let (inbox, peer) = (mesh.inbox(HERE).expect("shard 0"), mesh.inbox(THERE).expect("shard 1"));
    let echo = thread::spawn({
        let mesh = Arc::clone(&mesh);
        move || {
            loop {
                match peer.take() {
                    Some(mail @ Message::Mail(_)) => {
                        if !mesh.post_waiting(HERE, mail) {
                            return;
                        }
                    }
                    Some(_) => return,
                    None => thread::yield_now(),
                }
            }
        }
    });
    for window in [1usize, 16] {
        criterion.bench_function(&format!("mesh-threads/{window}"), |bencher| {
            let mut spares: Vec<MailBatch> = (0..window).map(|_| MailBatch::new(HERE)).collect();
            bencher.iter(|| {
                for batch in spares.drain(..) {
                    mesh.post_waiting(THERE, Message::Mail(batch));
                }
                while spares.len() < window {
                    match inbox.take() {
                        Some(Message::Mail(batch)) => spares.push(batch),
                        Some(_) | None => thread::yield_now(),
                    }
                }
            });
        });
    }
    mesh.post_waiting(THERE, Message::Look);
    echo.join().expect("the echo ends when it is told to");
}

criterion_group!(benches, pieces, mesh_between_threads);
criterion_main!(benches);
