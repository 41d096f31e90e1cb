//! The core asks the heap for nothing once it is warm, and for little per session: counted, not timed.

use benches::heap::{self, Counting};
use benches::stage::Stage;
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

/// Bytes on the heap of a shard planned for so many connections, after so many sessions have lived on it: each has sent
/// and received 16 messages and sits in a room of 100.
fn live_bytes(planned: u32, sessions: usize) -> i64 {
    let before = heap::of_this_thread().live_bytes;
    let mut stage = Stage::new(1, planned);
    let mut seats = Vec::with_capacity(sessions);
    let own = heap::of_this_thread().live_bytes;
    for index in 0..sessions {
        let seat = stage.login(index as u64 + 1);
        stage.join(seat, index as u64 / 100 + 1);
        seats.push(seat);
    }
    for round in 0..16 {
        for (index, seat) in seats.iter().enumerate() {
            let to = seats[(index + sessions / 2) % sessions].user;
            stage.text(*seat, to, round * sessions as u64 + index as u64 + 1, &[b'a'; 128]);
        }
    }
    stage.rest();
    assert_eq!(stage.total(|counters| counters.delivered), 16 * sessions as u64);
    let bytes = heap::of_this_thread().live_bytes;
    drop(stage);
    let seats_own = i64::try_from(size_of_val(seats.as_slice())).expect("some kilobytes");
    assert!(own > before, "a shard takes memory at its start");
    bytes - before - seats_own
}

/// 90,000, 100,000, 115,000 and 130,000 sessions over the shards that a descriptor limit of 20,000
/// gives a node, each shard planned for a tenth more than its share.
#[test]
fn a_session_that_has_lived_is_small_in_the_core() {
    const BYTES_MAX: i64 = 256;
    let at_start = live_bytes(1, 0);
    for (planned, sessions) in
        [(16_500, 15_000), (18_334, 16_667), (18_072, 16_429), (17_875, 16_250)]
    {
        let each =
            (live_bytes(planned, sessions) - at_start) / i64::try_from(sessions).expect("few");
        println!("{each} bytes for each of {sessions} sessions in a shard for {planned}");
        assert!(
            each <= BYTES_MAX,
            "{each} bytes for each of {sessions} sessions, {BYTES_MAX} at most"
        );
    }
}
