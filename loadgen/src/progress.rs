//! What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere, nothing with `--quiet`. All of it
//! goes to standard error; standard output is the report's.

use std::io::IsTerminal;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::plan::{Phase, Plan, Watch};

/// Where there is no terminal, a line at most so often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The display of one run.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
    connections: u32,
    idle: Duration,
    warmup: Duration,
    duration: Duration,
    phase: Phase,
    since: Instant,
    last: (Instant, u64, u64),
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Lines(Instant),
    Bar(ProgressBar),
}

impl Progress {
    /// A display for `plan`.
    #[must_use]
    pub fn new(plan: &Plan, quiet: bool) -> Self {
        let now = Instant::now();
        let shown = if quiet {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() {
            Shown::Bar(ProgressBar::new(0).with_style(style("{msg}")))
        } else {
            Shown::Lines(now)
        };
        Self {
            shown,
            connections: plan.connections,
            idle: plan.options.idle,
            warmup: plan.warmup,
            duration: plan.duration,
            phase: Phase::Start,
            since: now,
            last: (now, 0, 0),
        }
    }

    /// Says something beside the display.
    pub fn say(&self, line: &str) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines(_) => eprintln!("{line}"),
            Shown::Bar(bar) => bar.println(line),
        }
    }

    /// Shows that another phase has begun.
    pub fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
        if let Shown::Lines(last) = &mut self.shown {
            // The phase's own first line comes with the next look.
            *last = self.since.checked_sub(LINE_EVERY).unwrap_or(self.since);
        }
        if let Shown::Bar(bar) = &self.shown {
            let template = match phase {
                Phase::Ramp | Phase::Idle | Phase::Warmup | Phase::Measured => "{msg:60} {bar:30}",
                Phase::Start | Phase::Prime | Phase::Drain | Phase::Close | Phase::Done => "{msg}",
            };
            bar.set_style(style(template));
            bar.set_length(self.whole());
        }
    }

    /// Shows how far it is.
    pub fn tick(&mut self, watch: &Watch) {
        let established = watch.established.load(Ordering::Relaxed);
        let totals = (watch.acked.load(Ordering::Relaxed), watch.delivered.load(Ordering::Relaxed));
        let now = Instant::now();
        if let Shown::Lines(last) = &mut self.shown {
            if now.duration_since(*last) < LINE_EVERY {
                return;
            }
            *last = now;
        }
        let message = self.message(established, totals);
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines(_) => eprintln!("{message}"),
            Shown::Bar(bar) => {
                let done = match self.phase {
                    Phase::Ramp => u64::from(established),
                    Phase::Start
                    | Phase::Prime
                    | Phase::Idle
                    | Phase::Warmup
                    | Phase::Measured
                    | Phase::Drain
                    | Phase::Close
                    | Phase::Done => self.since.elapsed().as_millis() as u64,
                };
                bar.set_position(done.min(self.whole()));
                bar.set_message(message);
            }
        }
    }

    /// Takes the display away.
    pub fn finish(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    fn whole(&self) -> u64 {
        match self.phase {
            Phase::Ramp => u64::from(self.connections),
            Phase::Idle => self.idle.as_millis() as u64,
            Phase::Warmup => self.warmup.as_millis() as u64,
            Phase::Measured => self.duration.as_millis() as u64,
            Phase::Start | Phase::Prime | Phase::Drain | Phase::Close | Phase::Done => 0,
        }
    }

    fn message(&mut self, established: u32, (acked, delivered): (u64, u64)) -> String {
        let (at, acked_then, delivered_then) = self.last;
        let apart = at.elapsed().as_secs_f64().max(1e-3);
        self.last = (Instant::now(), acked, delivered);
        let rate = |now: u64, then: u64| (now.saturating_sub(then) as f64 / apart).round();
        let load = |name: &str, whole: Duration| {
            let seconds = self.since.elapsed().as_secs_f64().min(whole.as_secs_f64());
            format!(
                "{name} {seconds:.0}/{} s: {} acked/s, {} delivered/s",
                whole.as_secs_f64(),
                rate(acked, acked_then),
                rate(delivered, delivered_then)
            )
        };
        match self.phase {
            Phase::Start => "starting".into(),
            Phase::Ramp => format!("ramp: {established} of {} logged in", self.connections),
            Phase::Prime => format!(
                "first messages: {delivered} arrived, {}/s",
                rate(delivered, delivered_then)
            ),
            Phase::Idle => format!(
                "silence: {:.0}/{} s, {established} connections held",
                self.since.elapsed().as_secs_f64(),
                self.idle.as_secs_f64()
            ),
            Phase::Warmup => load("warm-up", self.warmup),
            Phase::Measured => load("measuring", self.duration),
            Phase::Drain => "waiting for the last deliveries".into(),
            Phase::Close => format!("logging out: {established} left"),
            Phase::Done => "done".into(),
        }
    }
}

/// The style of a template; one that cannot be read gives the library's own.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
