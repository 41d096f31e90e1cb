//! The core asks the heap for nothing once it is warm, and for little per session: counted, not timed.

use benches::heap::{self, Counting};
use benches::work::SUBJECTS;

#[global_allocator]
static HEAP: Counting = Counting;

/// What is done with a heap that is being watched.
fn allocations(run: impl FnOnce()) -> u64 {
    let before = heap::of_this_thread().allocations;
    run();
    heap::of_this_thread().allocations - before
}

#[test]
fn the_counter_sees_an_allocation() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8; 100]))), 1);
}

/// Private messages, bursts, rooms, heartbeats, logins, mail between shards, and each part below them.
#[test]
fn steady_work_allocates_nothing() {
    let mut faults = Vec::new();
    for subject in SUBJECTS {
        let mut work = (subject.make)();
        work.prepare(subject.warm_up);
        work.run();
        let operations = (subject.warm_up / 4).clamp(64, 8192);
        work.prepare(operations);
        let allocations = allocations(|| work.run());
        work.check();
        if allocations > 0 {
            faults.push(format!(
                "{}: {allocations} allocations in {operations} operations ({})",
                subject.name, subject.operation
            ));
        }
    }
    assert!(
        faults.is_empty(),
        "steady work asks the heap for memory: take it from a pool, or keep a buffer's capacity\n{}",
        faults.join("\n")
    );
}
