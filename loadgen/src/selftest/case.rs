//! One case of the self-test: a script, a run against it, and what must come out.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wire::token::TokenKey;

use super::Scale;
use super::chat::{INCARNATION, NAME};
use super::fault::{Done, Fault, Script};
use super::server::ReferenceServer;
use crate::engines::EngineName;
use crate::grants_direct::{DirectGrants, DirectNode};
use crate::outcome::Outcome;
use crate::plan::{EngineOptions, Load, Plan, Preset, Watch};
use crate::recorder::ClassKind;

/// What a case runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) script: Script,
    pub(super) preset: Preset,
    pub(super) connections: u32,
    pub(super) load: Load,
    pub(super) duration: Duration,
    pub(super) options: EngineOptions,
}

/// One thing that a case compares.
#[derive(Clone, Debug)]
pub struct Check {
    /// What is compared.
    pub what: &'static str,
    /// What the server's account says it must be.
    pub expected: String,
    /// What the engine reported.
    pub found: String,
    /// Whether they agree.
    pub pass: bool,
}

/// Runs of one process must not share their number.
static RUNS: AtomicU64 = AtomicU64::new(1);

impl Case {
    /// Runs it once.
    pub(super) fn run(&self, engine: EngineName) -> io::Result<(Outcome, Done)> {
        let key = TokenKey::new(&[0x5e; 32]).expect("32 bytes are a key");
        let server = ReferenceServer::start(key.clone(), self.script)?;
        let node = DirectNode {
            name: NAME.to_owned(),
            incarnation: INCARNATION,
            chat: server.address(),
            shard_ports: Vec::new(),
            mono_ms: 0,
            read_at: server.started(),
        };
        let mut grants = DirectGrants::new(key, node);
        let outcome = engine.engine()(&self.plan(), &mut grants, &Watch::default());
        let done = server.finish();
        Ok((outcome?, done?))
    }

    /// Whether it compares times, which another run at the same moment would spoil.
    pub(super) fn is_timed(&self, scale: Scale) -> bool {
        scale == Scale::Full && matches!(self.script.fault, Fault::Stall(_))
    }

    fn plan(&self) -> Plan {
        Plan {
            seed: 11,
            run_id: RUNS.fetch_add(1, Ordering::Relaxed),
            connections: self.connections,
            ramp_per_s: 2_000.0,
            preset: self.preset,
            load: self.load,
            body_bytes: 96,
            warmup: Duration::ZERO,
            duration: self.duration,
            // What is under way after this still comes before the goodbyes.
            drain_max: Duration::from_millis(500),
            ramp_stall_max: Duration::from_secs(60),
            sources: Vec::new(),
            cpu: None,
            logout: true,
            options: self.options,
        }
    }

    /// Compares the engine's figures with the server's account.
    pub(super) fn judge(&self, outcome: &Outcome, done: &Done) -> Vec<Check> {
        let (ledger, fault) = (&outcome.ledger, self.script.fault);
        let count_if = |is_it: bool| if is_it { done.struck } else { 0 };
        let raw = self.options.raw;
        let lost = match fault {
            Fault::Drop if raw => done.struck,
            Fault::Drop => done.unnoticeable,
            Fault::Misroute => done.struck,
            Fault::None
            | Fault::Duplicate
            | Fault::Swap
            | Fault::Flip
            | Fault::Refuse
            | Fault::Cut
            | Fault::Stall(_) => 0,
        };
        let disconnects = outcome.disconnects.values().sum();
        let mut checks = vec![
            exact("acknowledged", done.messages, ledger.acked),
            exact("unanswered", 0, ledger.sent - ledger.acked),
            exact("lost", lost, ledger.lost),
            exact("duplicate", count_if(raw && fault == Fault::Duplicate), ledger.duplicate),
            exact("reordered", count_if(raw && fault == Fault::Swap), ledger.reordered),
            exact("corrupt", count_if(fault == Fault::Flip), ledger.corrupt),
            exact("misrouted", count_if(fault == Fault::Misroute), ledger.misrouted),
            exact("refused", count_if(fault == Fault::Refuse), ledger.refused),
            exact("foreign", 0, ledger.foreign),
            exact("indeterminate", 0, ledger.indeterminate),
            exact("disconnects", count_if(fault == Fault::Cut), disconnects),
            exact("login failures", 0, outcome.login_failures.values().sum()),
        ];
        if fault != Fault::None {
            checks.push(at_least("faults", 1, done.struck));
        }
        if !raw && matches!(fault, Fault::Drop | Fault::Swap) {
            checks.push(at_least("gaps pulled", 1, outcome.gaps_pulled));
        }
        if let Fault::Stall(_) = fault {
            checks.extend(self.judge_stall(outcome, done));
        }
        checks
    }

    /// What must hold of a stall however slow the machine is: nobody can be answered before the stall ends, so each
    /// message that was due in it waits at least until then; but one request at a time shows it once.
    fn judge_stall(&self, outcome: &Outcome, done: &Done) -> Vec<Check> {
        let (Load::Open { rate_per_s }, Some(class)) =
            (self.load, outcome.classes.get(ClassKind::Private.label()))
        else {
            return Vec::new();
        };
        let stall_ms = done.stalled.as_secs_f64() * 1e3;
        let between_ms = 1e3 / rate_per_s;
        let longest_ms = class.response.max() as f64 / 1e6;
        let half_ns = (stall_ms / 2.0 * 1e6) as u64;
        let slow = |histogram: &hdrhistogram::Histogram<u64>| {
            histogram.count_between(half_ns, histogram.high())
        };
        let due_in_half = (stall_ms / 2.0 / between_ms) as u64;
        vec![
            Check {
                what: "longest response, ms",
                expected: format!("at least {:.1}", stall_ms - between_ms),
                found: format!("{longest_ms:.1}"),
                // The histogram keeps three digits.
                pass: longest_ms * 1.002 >= stall_ms - between_ms,
            },
            at_least("slow responses", due_in_half.saturating_sub(2), slow(&class.response)),
            Check {
                what: "slow services",
                expected: "1, or few beside many slow responses".to_owned(),
                found: slow(&class.service).to_string(),
                pass: (1..=(due_in_half / 10).max(1)).contains(&slow(&class.service)),
            },
        ]
    }

    /// The closed form of a stall: a message due `t` after its beginning waits for what is left of it. Holds within 5 %
    /// on a machine that lets both threads run.
    pub(super) fn judge_closed_form(&self, outcome: &Outcome, done: &Done) -> Vec<Check> {
        let (Load::Open { rate_per_s }, Some(class)) =
            (self.load, outcome.classes.get(ClassKind::Private.label()))
        else {
            return Vec::new();
        };
        let stall_ms = done.stalled.as_secs_f64() * 1e3;
        let between_ms = 1e3 / rate_per_s;
        let beyond_p99 = class.response.len() as f64 * 0.01;
        let half_ns = (stall_ms / 2.0 * 1e6) as u64;
        vec![
            near("response max, ms", stall_ms, class.response.max() as f64 / 1e6),
            near(
                "response p99, ms",
                stall_ms - beyond_p99 * between_ms,
                class.response.value_at_quantile(0.99) as f64 / 1e6,
            ),
            exact("slow services", 1, class.service.count_between(half_ns, class.service.high())),
        ]
    }
}

fn exact(what: &'static str, expected: u64, found: u64) -> Check {
    Check {
        what,
        expected: expected.to_string(),
        found: found.to_string(),
        pass: expected == found,
    }
}

fn at_least(what: &'static str, least: u64, found: u64) -> Check {
    let expected = format!("at least {least}");
    Check { what, expected, found: found.to_string(), pass: found >= least }
}

fn near(what: &'static str, expected: f64, found: f64) -> Check {
    let pass = (found - expected).abs() <= expected * 0.05;
    let expected = format!("{expected:.1} within 5 %");
    Check { what, expected, found: format!("{found:.1}"), pass }
}
