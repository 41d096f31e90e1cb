//! The pieces of work that are measured: each is timed by criterion, counted in instructions and watched for heap
//! allocations, and is the same each time.

mod cores;
mod frames;
mod parts;

/// A piece of work. Its inputs are made apart from it, since a node does not make its own inputs either.
pub trait Work {
    /// Makes the inputs of so many operations, using the memory of the last ones again.
    fn prepare(&mut self, operations: usize);

    /// Does the operations that were prepared.
    fn run(&mut self);

    /// Looks whether all that was done so far was done right.
    ///
    /// # Panics
    /// If it was not.
    fn check(&self);
}

/// A piece of work by its name.
#[derive(Clone, Copy)]
pub struct Subject {
    /// The question, then what it is asked about: `private/1000`.
    pub name: &'static str,
    /// What one operation is.
    pub operation: &'static str,
    /// Operations after which nothing is new to it any more: histories are full, tables have their size.
    pub warm_up: usize,
    /// Makes it.
    pub make: fn() -> Box<dyn Work>,
}

impl Subject {
    /// Members of the room that an operation goes to: callgrind takes fifty times as long, so it gets fewer operations.
    fn weight(&self) -> usize {
        self.name.strip_prefix("room/").and_then(|members| members.parse().ok()).unwrap_or(1)
    }

    /// Operations before those that are counted.
    #[must_use]
    pub fn counted_warm_up(&self) -> usize {
        (self.warm_up / self.weight()).max(64)
    }

    /// Operations that are counted.
    #[must_use]
    pub fn counted_operations(&self) -> usize {
        (8000 / self.weight()).max(64)
    }
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Operations after which a core that only keeps what is recent has forgotten the first ones.
const HISTORY: usize = chat::limits::RECENT_MAX + 8192;

/// A subject of the list below.
const fn subject(
    name: &'static str,
    operation: &'static str,
    warm_up: usize,
    make: fn() -> Box<dyn Work>,
) -> Subject {
    Subject { name, operation, warm_up, make }
}

/// Every piece of work.
pub const SUBJECTS: &[Subject] = &[
    subject("parse/send_text/128", "frame cut and checked", 1, frames::parse_text),
    subject("parse/heartbeat", "frame cut and checked", 1, frames::parse_heartbeat),
    subject("build/text/128", "frame built", 1, frames::build_text),
    subject("build/acked", "frame built", 1, frames::build_acked),
    subject("queue/1", "frame encoded, queued, sent", 64, || parts::queue(1)),
    subject("queue/16", "frame encoded, queued, sent by sixteens", 64, || parts::queue(16)),
    subject("queue/shared", "handle of a shared frame queued, sent", 4096, || parts::shared()),
    subject("wheel/rearm", "timer armed anew among 10,000", 10_000, parts::rearm),
    subject("wheel/fire", "timer armed and fired among 10,000", 20_000, parts::fire),
    subject("mesh/1", "message posted and taken", 64, || parts::mesh(1)),
    subject("mesh/16", "message posted and taken by sixteens", 64, || parts::mesh(16)),
    subject("token/verify", "token checked", 1, parts::verify),
    subject("home/user", "user's home found", 1, parts::home),
    subject("private/10", "message acknowledged, delivered", HISTORY, || cores::private(10, 1)),
    subject("private/1000", "message acknowledged, delivered", HISTORY, || cores::private(1000, 1)),
    subject("private/10000", "message acknowledged, delivered", HISTORY, || {
        cores::private(10_000, 1)
    }),
    subject("burst/1000", "message of a burst of 16", HISTORY, || cores::private(1000, 16)),
    subject("room/10", "message to a room of 10", HISTORY, || cores::room(10)),
    subject("room/100", "message to a room of 100", HISTORY, || cores::room(100)),
    subject("room/1000", "message to a room of 1,000", HISTORY, || cores::room(1000)),
    subject("heartbeat/10000", "heartbeat answered", 10_000, || cores::heartbeats(10_000)),
    subject("login/1000", "connection, login, reset", 4000, || cores::logins(1000)),
    subject("cross/1000", "message between two shards", 2 * HISTORY, || cores::cross(1000, 1)),
    subject("cross-burst/1000", "message of 16 between two shards", 2 * HISTORY, || {
        cores::cross(1000, 16)
    }),
];

/// The subject of this name.
#[must_use]
pub fn subject_of(name: &str) -> Option<&'static Subject> {
    SUBJECTS.iter().find(|subject| subject.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_of_work_is_done_right() {
        for subject in SUBJECTS {
            let mut work = (subject.make)();
            for operations in [1, 7, 300] {
                work.prepare(operations);
                work.run();
                work.check();
            }
        }
    }
}
