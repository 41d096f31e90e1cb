//! Services between the core's words and the store's: a frame becomes a question, an answer becomes an outcome.

use std::time::Duration;

use chat::{Hearer, Serve, Served as Answered, StoreFault, Stored};
use store::{Answer, Ask, Audience, Served};
use wire::{Command, FrameView, Message};

use super::Job;

/// The questions of a job that change something, in order.
pub(super) fn asks(job: &Job, revoke_window: Duration) -> impl Iterator<Item = Ask<'_>> {
    job.changes().filter_map(move |serve| ask_of(serve, job.mail.batch.frame(serve), revoke_window))
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
            };
            (hearer, tell.frames)
        })
        .collect();
    Ok(Stored::Served(Answered { frames, tells, evicted }))
}
