//! Services between the core's words and the store's: a frame becomes a question, an answer becomes an outcome.

use std::time::Duration;

use chat::{Hearer, Serve, Served as Answered, StoreFault, Stored};
use store::{Answer, Ask, Audience, Served};
use wire::{Command, FrameView, Message, Reject};

use super::Job;
use crate::limits::REFUSALS_LOGGED_PER_S;

/// Refusals by a rule in the log: whoever tries what is somebody else's is worth a line, and no more lines than people read.
#[derive(Debug, Default)]
pub(super) struct RefusalLog {
    /// The second that is counted.
    second: u64,
    lines: u32,
    left_out: u64,
}

impl RefusalLog {
    /// Notes what became of a service.
    pub(super) fn note(&mut self, serve: &Serve, result: &Result<Stored, StoreFault>) {
        let Err(StoreFault::Rejected(reject @ (Reject::Forbidden | Reject::NotMember))) = result
        else {
            return;
        };
        let second = serve.unix_ms / 1000;
        if second != self.second {
            if self.left_out > 0 {
                tracing::warn!(left_out = self.left_out, "more services were refused");
            }
            *self = Self { second, lines: 0, left_out: 0 };
        }
        if self.lines < REFUSALS_LOGGED_PER_S {
            self.lines += 1;
            tracing::warn!(user = serve.user.0, reject = reject.label(), "a service was refused");
        } else {
            self.left_out += 1;
        }
    }
}

/// The questions of a job that change something, in order: one for each of its changes, since their answers are told apart
/// by their order.
///
/// # Panics
/// On a frame that is no service: the core posts what it has parsed, so that is a bug of this process.
pub(super) fn asks(job: &Job, revoke_window: Duration) -> impl Iterator<Item = Ask<'_>> {
    job.changes().map(move |serve| {
        let ask = ask_of(serve, job.mail.batch.frame(serve), revoke_window);
        ask.expect("the core posts services that it has parsed")
    })
}

/// One question. `None` for a frame that is no service, which the core never posts.
pub(super) fn ask_of<'a>(
    serve: &Serve,
    frame: &'a [u8],
    revoke_window: Duration,
) -> Option<Ask<'a>> {
    let view = FrameView::parse(frame).ok()?;
    let Message::Command(Command::Service(service)) = view.message() else { return None };
    Some(Ask {
        user: serve.user,
        unix_ms: serve.unix_ms,
        correlation: view.correlation(),
        message_ids: serve.message_ids,
        revoke_window_ms: u64::try_from(revoke_window.as_millis()).unwrap_or(u64::MAX),
        service: service.read().ok()?,
    })
}

/// What the core is told.
pub(super) fn served_outcome(served: Served) -> Result<Stored, StoreFault> {
    let Answer { frames, tells, evicted, .. } = served.map_err(StoreFault::Rejected)?;
    let tells = tells
        .into_iter()
        .map(|tell| {
            let hearer = match tell.to {
                Audience::User(user) => Hearer::User(user),
                Audience::Room(room) => Hearer::Room(room),
                Audience::Behind(conversation, user) => Hearer::Behind(conversation, user),
            };
            (hearer, tell.frames)
        })
        .collect();
    Ok(Stored::Served(Answered { frames, tells, evicted }))
}
