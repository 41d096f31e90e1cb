//! The self-test: each engine against a server that does scripted wrongs, each of which must be reported exactly.
//!
//! In the *raw* cases the ledger sees every push as it comes, so that each fault shows as itself. In the others it sees
//! what an application sees, as in every usual run: the client half has dropped repeats and pulled what was missing.

mod case;
mod chat;
mod fault;
mod push;
mod server;

use std::fmt;
use std::io;
use std::time::Duration;

pub use case::Check;
pub use fault::{Done, Fault, Script};
pub use server::ReferenceServer;

use crate::engines::EngineName;
use crate::exit::Exit;
use crate::plan::{EngineOptions, Load, Preset};
use case::Case;

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A second per case and no check that a busy machine could fail: for automated tests.
    Short,
    /// Several seconds per case, and the closed forms of the stall within 5 %.
    Full,
}

/// Tries of the one case whose figures are times: another process may take the processor at the wrong moment.
const TIMING_ATTEMPTS: u32 = 3;

/// How long the reference server stalls.
const STALL: Duration = Duration::from_millis(200);

/// What came out of one case.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// The engine that it ran with.
    pub engine: EngineName,
    /// The case.
    pub name: &'static str,
    /// Messages that were acknowledged.
    pub messages: u64,
    /// Faults that struck.
    pub struck: u64,
    /// Everything compared.
    pub checks: Vec<Check>,
}

impl CaseReport {
    /// Whether everything agreed.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.checks.iter().all(|check| check.pass)
    }
}

/// What came out of all cases.
#[derive(Clone, Debug)]
pub struct SelftestReport {
    /// In the order in which they ran.
    pub cases: Vec<CaseReport>,
}

impl SelftestReport {
    /// Whether every case passed.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.cases.iter().all(CaseReport::is_passed)
    }

    /// What the process should end with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if self.is_passed() { Exit::Pass } else { Exit::Delivery }
    }
}

/// Runs every case with every engine.
///
/// # Errors
/// When an engine or the reference server cannot run at all.
pub fn selftest(scale: Scale) -> io::Result<SelftestReport> {
    let cases = cases(scale);
    let (timed, untimed): (Vec<&Case>, _) = cases.iter().partition(|case| case.is_timed(scale));
    let run_all = |engine, cases: &[&Case]| {
        cases.iter().map(|case| run(engine, case, scale)).collect::<io::Result<Vec<_>>>()
    };
    // Side by side, but for what is timed: there each engine has the machine for itself.
    let found = std::thread::scope(|scope| {
        let threads = EngineName::ALL.map(|engine| {
            scope.spawn({
                let (run_all, untimed) = (&run_all, &untimed);
                move || run_all(engine, untimed)
            })
        });
        threads.map(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a case panicked")))
        })
    });
    let mut reports = Vec::new();
    for (engine, found) in EngineName::ALL.into_iter().zip(found) {
        reports.extend(found?);
        reports.extend(run_all(engine, &timed)?);
    }
    Ok(SelftestReport { cases: reports })
}

fn run(engine: EngineName, case: &Case, scale: Scale) -> io::Result<CaseReport> {
    let is_timed = case.is_timed(scale);
    let attempts = if is_timed { TIMING_ATTEMPTS } else { 1 };
    let mut attempt = 0;
    loop {
        attempt += 1;
        let (outcome, done) = case.run(engine)?;
        let mut checks = case.judge(&outcome, &done);
        if is_timed {
            checks.extend(case.judge_closed_form(&outcome, &done));
        }
        let (messages, struck) = (done.messages, done.struck);
        let report = CaseReport { engine, name: case.name, messages, struck, checks };
        if report.is_passed() || attempt >= attempts {
            return Ok(report);
        }
    }
}

fn cases(scale: Scale) -> Vec<Case> {
    let (rate_per_s, duration, every) = match scale {
        Scale::Short => (2_000.0, Duration::from_secs(1), 37),
        Scale::Full => (5_000.0, Duration::from_secs(4), 1_000),
    };
    let raw = EngineOptions { raw: true, ..EngineOptions::default() };
    let pairs = |name, fault, options| Case {
        name,
        script: Script { fault, every },
        preset: Preset::Pairs,
        connections: 8,
        load: Load::Open { rate_per_s },
        duration,
        options,
    };
    let rooms = |name, fault, options| Case {
        preset: Preset::Rooms { room_size: 5 },
        connections: 15,
        load: Load::Open { rate_per_s: rate_per_s / 5.0 },
        ..pairs(name, fault, options)
    };
    let usual = EngineOptions::default();
    let returning = EngineOptions { reconnect: true, ..usual };
    let stall = Case {
        script: Script { fault: Fault::Stall(STALL), every: 300 },
        connections: 2,
        load: Load::Open { rate_per_s: 1_000.0 },
        options: EngineOptions { serial: true, one_way: true, ..usual },
        ..pairs("stall, one request at a time", Fault::None, usual)
    };
    vec![
        pairs("no fault", Fault::None, raw),
        pairs("drop", Fault::Drop, raw),
        pairs("duplicate", Fault::Duplicate, raw),
        pairs("swap neighbours", Fault::Swap, raw),
        pairs("flip a bit", Fault::Flip, raw),
        pairs("wrong user", Fault::Misroute, raw),
        pairs("refuse as busy", Fault::Refuse, raw),
        rooms("rooms: no fault", Fault::None, raw),
        rooms("rooms: drop", Fault::Drop, raw),
        rooms("rooms: wrong user", Fault::Misroute, raw),
        stall,
        pairs("drop, repaired by the client", Fault::Drop, usual),
        pairs("duplicate, dropped by the client", Fault::Duplicate, usual),
        rooms("rooms: swap, repaired by the client", Fault::Swap, usual),
        Case {
            load: Load::Closed { window: 16 },
            ..pairs("closed loop: duplicate", Fault::Duplicate, raw)
        },
        Case {
            script: Script { fault: Fault::Cut, every: every * 4 },
            ..pairs("connections cut, clients return", Fault::Cut, returning)
        },
    ]
}

impl fmt::Display for SelftestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<8}{:<38}{:>10}{:>8}  verdict", "engine", "case", "messages", "faults")?;
        for case in &self.cases {
            let verdict = if case.is_passed() { "exact" } else { "WRONG" };
            let (engine, CaseReport { name, messages, struck, .. }) = (case.engine.label(), case);
            writeln!(f, "{engine:<8}{name:<38}{messages:>10}{struck:>8}  {verdict}")?;
            let timed = ["longest response, ms", "slow responses", "response p99, ms"];
            for check in &case.checks {
                if !check.pass || timed.contains(&check.what) {
                    let mark = if check.pass { ' ' } else { '!' };
                    let (what, expected, found) = (check.what, &check.expected, &check.found);
                    writeln!(f, "  {mark} {what}: expected {expected}, reported {found}")?;
                }
            }
        }
        let passed = self.cases.iter().filter(|case| case.is_passed()).count();
        writeln!(f, "{passed} of {} cases reported exactly", self.cases.len())
    }
}
