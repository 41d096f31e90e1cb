//! Servers that fail while they are loaded: how that is written, and the making of it.
//!
//! An outage begins and ends at times of the measured phase. What it did is in the ledger, in the objectives, and in the
//! acknowledgements before, during and after it.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::cli::parse_duration;
use crate::trial::{Disturbance, Disturbed};

use super::system::System;

/// How to write one.
const GRAMMAR: &str = "write an outage as SERVER:kill@5s+2s or SERVER:freeze@5s+2s: when it begins, and how long it \
                       lasts; SERVER is gateway, balancer, node, mysql or redis";

/// For how long a server that does not start again is started once more.
const RETRIED_FOR: Duration = Duration::from_secs(20);
/// The pause before that.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// A server of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The gateway.
    Gateway,
    /// The balancer.
    Balancer,
    /// The node.
    Node,
    /// The database.
    Mysql,
    /// What the gateway and the balancer keep their state in. It comes back empty.
    Redis,
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// SIGKILL, and a new start at the same address when the outage ends.
    Kill,
    /// SIGSTOP, and SIGCONT when the outage ends: it keeps its connections and says nothing.
    Freeze,
}

/// A server that fails for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Which.
    pub server: Server,
    /// How.
    pub how: How,
    /// When it begins, after the start of the measured phase.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "gateway",
            Self::Balancer => "balancer",
            Self::Node => "node",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
        })
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Kill => "kill",
            How::Freeze => "freeze",
        };
        write!(f, "{}:{how}", self.server)
    }
}

impl FromStr for Outage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = || {
            let (server, rest) = text.split_once(':')?;
            let (how, times) = rest.split_once('@')?;
            let (at, lasts) = times.split_once('+')?;
            Some((server, how, at, lasts))
        };
        let (server, how, at, lasts) = parts().ok_or(GRAMMAR)?;
        let server = match server {
            "gateway" => Server::Gateway,
            "balancer" => Server::Balancer,
            "node" => Server::Node,
            "mysql" => Server::Mysql,
            "redis" => Server::Redis,
            _ => return Err(GRAMMAR.into()),
        };
        let how = match how {
            "kill" => How::Kill,
            "freeze" => How::Freeze,
            _ => return Err(GRAMMAR.into()),
        };
        Ok(Self { server, how, at: parse_duration(at)?, lasts: parse_duration(lasts)? })
    }
}

/// Refuses what cannot be: an outage that outlasts the measured phase, one server in two outages at a time.
///
/// # Errors
/// What to change.
pub(super) fn refuse(outages: &[Outage], measured: Duration) -> Result<(), String> {
    for (at, outage) in outages.iter().enumerate() {
        let end = outage.at + outage.lasts;
        if end > measured {
            return Err(format!(
                "the outage {outage} ends {end:?} after the start of a measured phase of {measured:?}: give it a longer \
                 --duration"
            ));
        }
        let overlaps = |other: &&Outage| {
            other.server == outage.server && other.at <= end && outage.at <= other.at + other.lasts
        };
        if let Some(other) = outages.get(at + 1..).and_then(|rest| rest.iter().find(overlaps)) {
            return Err(format!(
                "the outages {outage} and {other} are at the same time: one server fails once at a time"
            ));
        }
    }
    Ok(())
}

/// The outages of a run under way. One thing is done at a time: what falls due while a server starts is done after that.
pub(super) struct Outages<'s> {
    system: &'s mut System,
    stop: &'s AtomicBool,
    /// What is to begin or to end, the next one last.
    due: Vec<(Duration, Outage, Edge)>,
    disturbed: Vec<Disturbed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Begin,
    End,
}

impl<'s> Outages<'s> {
    pub(super) fn new(system: &'s mut System, outages: &[Outage], stop: &'s AtomicBool) -> Self {
        let edges = |outage: &Outage| {
            [(outage.at, *outage, Edge::Begin), (outage.at + outage.lasts, *outage, Edge::End)]
        };
        let mut due: Vec<_> = outages.iter().flat_map(edges).collect();
        due.reverse(); // So that of two at one time the first that was said is the first.
        due.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        Self { system, stop, due, disturbed: Vec::new() }
    }

    /// The outage's end is tried again then.
    fn put_off(&mut self, at: Duration, outage: Outage) {
        let place = self.due.partition_point(|(other, ..)| *other > at);
        self.due.insert(place, (at, outage, Edge::End));
    }

    /// Does one thing, at `now`. Gives the process that belongs to the run from now on, if there is a new one.
    fn turn(&mut self, now: Duration, outage: Outage, edge: Edge) -> anyhow::Result<Option<u32>> {
        if edge == Edge::Begin {
            self.system.fail(outage.server, outage.how)?;
            let what = outage.to_string();
            self.disturbed.push(Disturbed { what, from: now, until: None });
            return Ok(None);
        }
        let started = self.system.recover(outage.server, outage.how, self.stop)?;
        let what = outage.to_string();
        let open = |disturbed: &&mut Disturbed| disturbed.what == what && disturbed.until.is_none();
        if let Some(disturbed) = self.disturbed.iter_mut().find(open) {
            disturbed.until = Some(now);
        }
        Ok(started)
    }
}

impl Disturbance for Outages<'_> {
    fn tick(&mut self, since: Duration) -> anyhow::Result<Vec<u32>> {
        let mut started = Vec::new();
        while let Some((at, outage, edge)) = self.due.pop_if(|(at, ..)| *at <= since) {
            match self.turn(since, outage, edge) {
                Ok(process) => started.extend(process),
                // As whatever supervises a server does: what it needs may be away itself, and come back.
                Err(_) if edge == Edge::End && since < outage.at + outage.lasts + RETRIED_FOR => {
                    self.put_off(since.max(at) + RETRY_PAUSE, outage);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(started)
    }

    fn end(&mut self, since: Duration) -> anyhow::Result<Vec<Disturbed>> {
        // What has not begun does not begin; what has begun ends: a frozen server could not be stopped with care.
        while let Some((_, outage, edge)) = self.due.pop() {
            let what = outage.to_string();
            if edge == Edge::End
                && self.disturbed.iter().any(|d| d.what == what && d.until.is_none())
            {
                self.turn(since, outage, edge)?;
            }
        }
        Ok(std::mem::take(&mut self.disturbed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage(text: &str) -> Outage {
        text.parse().unwrap()
    }

    #[test]
    fn an_outage_says_who_fails_how_when_and_for_how_long() {
        let seconds = Duration::from_secs;
        assert_eq!(
            outage("mysql:freeze@5s+2s"),
            Outage { server: Server::Mysql, how: How::Freeze, at: seconds(5), lasts: seconds(2) }
        );
        assert_eq!(outage("gateway:kill@0s+500ms").lasts, Duration::from_millis(500));
        for wrong in
            ["", "mysql", "mysql:stop@5s+2s", "disk:kill@1s+1s", "node:kill@1s", "node:kill@1+1s"]
        {
            assert!(wrong.parse::<Outage>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn outages_end_within_the_measured_phase_and_do_not_overlap() {
        let refused = |outages: &[&str]| {
            let outages: Vec<_> = outages.iter().map(|text| outage(text)).collect();
            refuse(&outages, Duration::from_secs(10)).is_err()
        };
        assert!(!refused(&["mysql:freeze@1s+2s", "mysql:kill@4s+2s", "gateway:kill@1s+9s"]));
        assert!(refused(&["mysql:freeze@8s+3s"]));
        assert!(refused(&["mysql:freeze@1s+2s", "mysql:kill@2s+2s"]));
        assert!(refused(&["node:kill@5s+1s", "node:kill@1s+6s"]));
    }
}
