//! The checks: each reads one setting and judges it by the plan. Never writes.

mod cgroup;
mod cpu;
mod ethtool;
mod limits;
mod memory;
mod network_card;
mod path;
mod rule;
mod scene;
mod tcp;
mod uring;

use std::io;

use crate::catalogue::{self, Setting};
use crate::finding::{Finding, Outcome, Plan};
use crate::limits::SAMPLE;
use crate::root::Root;

pub(crate) use cgroup::{groups, row};
pub(crate) use cpu::time_in;
pub(crate) use limits::{limit_in, shown_limit};
pub(crate) use path::{netstat, softnet};
pub(crate) use scene::Scene;
pub(crate) use tcp::ports;

/// Why a setting has no verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// The file system says so.
    #[error("{path}: {}", why(error))]
    Io {
        /// The file.
        path: String,
        /// What it said.
        error: io::Error,
    },
    /// What is there is not understood.
    #[error("{path}: not in the form that is known ({text:?})")]
    Form {
        /// The file.
        path: String,
        /// Its beginning.
        text: String,
    },
}

fn why(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied {
        format!("{error}; ask again as root")
    } else {
        error.to_string()
    }
}

type Judge = fn(&Scene<'_>) -> Result<Outcome, Unreadable>;

/// The judges, by the names that the catalogue has for them.
const JUDGES: [(&str, Judge); 40] = [
    ("nofile", limits::nofile),
    ("file_max", limits::file_max),
    ("memlock", limits::memlock),
    ("cgroup_memory", cgroup::memory),
    ("cgroup_cpu", cgroup::cpu),
    ("cgroup_pids", cgroup::pids),
    ("uring_permission", uring::permission),
    ("uring_group", uring::group),
    ("uring_direct_table", uring::direct_table),
    ("port_range", tcp::port_range),
    ("reserved_ports", tcp::reserved_ports),
    ("tcp_mem", tcp::mem),
    ("notsent_lowat", tcp::notsent_lowat),
    ("keepalive", tcp::keepalive),
    ("retries2", tcp::retries2),
    ("congestion_control", tcp::congestion_control),
    ("conntrack", tcp::conntrack),
    ("netdev_backlog", path::netdev_backlog),
    ("netdev_budget", path::netdev_budget),
    ("qdisc", path::qdisc),
    ("listen_overflows", path::listen_overflows),
    ("rps", network_card::rps),
    ("rfs", network_card::rfs),
    ("xps", network_card::xps),
    ("irq_affinity", network_card::irq_affinity),
    ("nic_rings", ethtool::rings),
    ("nic_coalesce", ethtool::coalesce),
    ("nic_offloads", ethtool::offloads),
    ("nic_channels", ethtool::channels),
    ("boost", cpu::boost),
    ("idle_states", cpu::idle_states),
    ("smt", cpu::smt),
    ("isolation", cpu::isolation),
    ("clocksource", cpu::clocksource),
    ("mitigations", cpu::mitigations),
    ("audit", cpu::audit),
    ("steal", cpu::steal),
    ("connections", memory::connections),
    ("swap", memory::swap),
    ("numa_nodes", memory::numa_nodes),
];

/// Checks every setting of the catalogue. What cannot be read is a finding too; nothing here fails.
#[must_use]
pub fn check(root: &dyn Root, plan: &Plan) -> Vec<Finding> {
    let scene = Scene::sampled(root, plan, SAMPLE);
    catalogue::all().iter().map(|setting| judge(&scene, setting)).collect()
}

/// Checks one setting.
#[must_use]
pub fn check_one(root: &dyn Root, plan: &Plan, setting: &'static Setting) -> Finding {
    judge(&Scene::sampled(root, plan, SAMPLE), setting)
}

pub(crate) fn judge(scene: &Scene<'_>, setting: &'static Setting) -> Finding {
    let outcome = match &setting.judge {
        Some(name) => match JUDGES.iter().find(|(known, _)| known == name) {
            Some((_, judge)) => judge(scene),
            None => Ok(Outcome::unknown(format!("there is no judge {name:?}"))),
        },
        None => rule::judge(scene, setting),
    };
    outcome.unwrap_or_else(|error| Outcome::unknown(error.to_string())).explain(setting)
}

pub(crate) fn form(path: &str, text: &str) -> Unreadable {
    let text = text.chars().take(80).collect();
    Unreadable::Form { path: path.to_owned(), text }
}

#[cfg(test)]
mod tests {
    use super::JUDGES;
    use crate::catalogue;

    #[test]
    fn the_catalogue_and_the_judges_name_each_other() {
        let named: Vec<&str> =
            catalogue::all().iter().filter_map(|setting| setting.judge.as_deref()).collect();
        for (name, _) in JUDGES {
            assert_eq!(named.iter().filter(|known| **known == name).count(), 1, "{name}");
        }
        assert_eq!(named.len(), JUDGES.len());
    }
}
