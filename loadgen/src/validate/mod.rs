//! `loadgen validate`: whether memory, ports and descriptors suffice for a plan, said before anything starts.
//!
//! Owns the checks and their wording; `local` and `run` make the same ones first. Sends nothing and starts nothing.

pub mod estimate;
mod host;

use std::fmt::Write;
use std::net::Ipv4Addr;

pub use host::Host;

use crate::cli::{IoName, LocalArgs};
use crate::engine;
use crate::engines::EngineName;
use crate::exit::{Exit, Refusal};
use crate::offer::{Offer, loopback_sources};
use crate::plan::Receive;
use crate::report::grouped_count;

/// A node on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeAsk {
    /// Its shards.
    pub shards: u16,
    /// Whether its connections are direct descriptors of rings.
    pub has_rings: bool,
}

/// What a plan asks of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Connections to hold.
    pub connections: u32,
    /// The node, if it is on this machine too.
    pub node: Option<NodeAsk>,
    /// The generator's engine.
    pub engine: EngineName,
    /// Its rings.
    pub rings: u32,
    /// How it waits for bytes.
    pub receive: Receive,
    /// Whether sessions say messages and sit in rooms before the load.
    pub is_primed: bool,
    /// Addresses to connect from.
    pub sources: u32,
    /// Ports to connect to.
    pub destinations: u32,
}

impl Ask {
    /// The same for another number of connections, with shards and rings in proportion.
    #[must_use]
    pub fn scaled(&self, connections: u32) -> Self {
        let part = |whole: u32| {
            let part = u64::from(whole) * u64::from(connections);
            u32::try_from(part.div_ceil(u64::from(self.connections.max(1)))).unwrap_or(whole).max(1)
        };
        let node = self.node.map(|node| NodeAsk {
            shards: u16::try_from(part(node.shards.into())).unwrap_or(node.shards),
            ..node
        });
        Self { connections, node, rings: part(self.rings), ..self.clone() }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub name: &'static str,
    /// Whether it suffices.
    pub is_enough: bool,
    /// The figures, and what to do if they do not.
    pub words: String,
}

/// Memory that is left to everything else.
const RESERVE_BYTES: u64 = 512 * 1024 * 1024;

/// Makes every check.
#[must_use]
pub fn check(ask: &Ask, host: &Host) -> Vec<Finding> {
    let mut findings = vec![memory(ask, host), ports(ask, host), descriptors(ask, host)];
    let ends = if ask.node.is_some() { 2 } else { 1 };
    let files = u64::from(ask.connections) * ends;
    if let Some(left) = host.files {
        findings.push(Finding {
            name: "files",
            is_enough: files <= left,
            words: format!(
                "{} needed, {} left{}",
                grouped_count(files),
                grouped_count(left),
                advice(files > left, "raise the sysctl fs.file-max")
            ),
        });
    }
    if let Some(left) = host.tracked {
        let needed = u64::from(ask.connections);
        findings.push(Finding {
            name: "connection tracking",
            is_enough: needed <= left,
            words: format!(
                "{} needed, {} left{}",
                grouped_count(needed),
                grouped_count(left),
                advice(
                    needed > left,
                    "raise the sysctl net.netfilter.nf_conntrack_max, or run in a network namespace without tracking"
                )
            ),
        });
    }
    findings
}

fn advice(is_needed: bool, words: &str) -> String {
    if is_needed { format!(": {words}") } else { String::new() }
}

fn memory(ask: &Ask, host: &Host) -> Finding {
    let name = "memory";
    let needed = estimate::total(ask);
    let limits = [host.available_bytes, host.cgroup_bytes];
    let Some(available) = limits.into_iter().flatten().min() else {
        let words = format!("{} needed; the kernel does not say what there is", mebibytes(needed));
        return Finding { name, is_enough: true, words };
    };
    let usable = available.saturating_sub(RESERVE_BYTES);
    let is_enough = needed <= usable;
    let whose = if host.cgroup_bytes.is_some_and(|left| left == available) {
        "left in the cgroup (memory.max)"
    } else {
        "available"
    };
    let most = estimate::most_connections(ask, usable);
    let polled = match (ask.engine, ask.receive) {
        (EngineName::Uring, Receive::Armed) => "; --receive polled saves 608 bytes of each",
        (EngineName::Uring, Receive::Polled) | (EngineName::Epoll, _) => "",
    };
    let words = format!(
        "{} needed, {} {whose}, of which {} are kept free{}",
        mebibytes(needed),
        mebibytes(available),
        mebibytes(RESERVE_BYTES),
        advice(
            !is_enough,
            &format!("some {} connections would fit{polled}", grouped_count(most.into()))
        )
    );
    Finding { name, is_enough, words }
}

/// The kernel finds a port quickly while less than half of them are taken towards one address and port, and slowly beyond.
fn ports(ask: &Ask, host: &Host) -> Finding {
    let pairs = u64::from(ask.sources.max(1)) * u64::from(ask.destinations.max(1));
    let each = u64::from(ask.connections).div_ceil(pairs);
    let (ports, half) = (u64::from(host.ports), u64::from(host.ports / 2));
    let needed =
        u64::from(ask.connections).div_ceil(half.max(1) * u64::from(ask.destinations.max(1)));
    let is_enough = each <= ports;
    let cure = format!(
        "connect from {needed} addresses with --source, or widen the sysctl net.ipv4.ip_local_port_range"
    );
    let slow = if is_enough && each > half { ", the ramp will be slow" } else { "" };
    let words = format!(
        "{} connections from each of {} addresses to each of {} ports, of {} that the kernel may use{slow}{}",
        grouped_count(each),
        ask.sources.max(1),
        ask.destinations.max(1),
        grouped_count(ports),
        advice(each > half, &cure)
    );
    Finding { name: "ports", is_enough, words }
}

/// Descriptors of either process that are not connections.
const DESCRIPTORS_BESIDE: u64 = 256;

fn descriptors(ask: &Ask, host: &Host) -> Finding {
    let generator = match ask.engine {
        EngineName::Uring => u64::from(ask.rings),
        EngineName::Epoll => u64::from(ask.connections),
    };
    let node = ask.node.map_or(0, |node| {
        // A shard has a ring or an epoll, two listeners and a wake-up.
        let shards = u64::from(node.shards) * 5;
        if node.has_rings { shards } else { shards + u64::from(ask.connections) }
    });
    let needed = generator.max(node) + DESCRIPTORS_BESIDE;
    let is_enough = needed <= host.descriptors;
    let words = format!(
        "{} needed by the larger process, the limit is {}{}",
        grouped_count(needed),
        if host.descriptors == u64::MAX { "none".into() } else { grouped_count(host.descriptors) },
        advice(
            !is_enough,
            "raise it (ulimit -n), or use --engine uring and --io uring, whose connections need none"
        )
    );
    Finding { name: "descriptors", is_enough, words }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", grouped_count(bytes.div_ceil(1024 * 1024)))
}

/// The sum and the findings, to read.
#[must_use]
pub fn text(ask: &Ask, host: &Host) -> String {
    let place = if ask.node.is_some() { "node and generator" } else { "the generator alone" };
    let connections = grouped_count(ask.connections.into());
    let mut out = format!("{connections} connections, {place} on this machine\n");
    for item in estimate::items(ask) {
        let _ = writeln!(out, "  {:<52} {:>12}", item.what, mebibytes(item.bytes)); // to a String
    }
    let _ = writeln!(out, "  {:<52} {:>12}", "together", mebibytes(estimate::total(ask)));
    for Finding { name, is_enough, words } in check(ask, host) {
        let word = if is_enough { "ok" } else { "NO" };
        let _ = writeln!(out, "{word}  {name:<20} {words}");
    }
    out
}

/// Refuses a plan that does not fit, unless it is forced.
///
/// # Errors
/// With every reason and what to do: exit status 2.
pub fn refuse(ask: &Ask, host: &Host, force: bool) -> Result<(), Refusal> {
    let missing: Vec<String> = check(ask, host)
        .into_iter()
        .filter(|finding| !finding.is_enough)
        .map(|finding| format!("{}: {}", finding.name, finding.words))
        .collect();
    if missing.is_empty() || force {
        return Ok(());
    }
    Err(Refusal::usage(format!(
        "this run does not fit here. {}. `loadgen validate` shows the sum; --force tries all the same",
        missing.join(". ")
    )))
}

/// What `loadgen local` asks of this machine.
#[must_use]
pub fn local(args: &LocalArgs, offer: &Offer, shards: u16) -> Ask {
    let node = NodeAsk { shards, has_rings: args.io == IoName::Uring };
    // Logins with tokens go to the shards' own ports.
    Ask { node: Some(node), destinations: shards.into(), ..alone(offer) }
}

/// What `loadgen run` asks of this machine: the generator's part. Towards a system on this machine it chooses its
/// addresses itself; elsewhere it has one, unless `sources` are given.
#[must_use]
pub fn remote(offer: &Offer, sources: &[Ipv4Addr], is_here: bool) -> Ask {
    let ask = alone(offer);
    let given = u32::try_from(sources.len()).unwrap_or(u32::MAX);
    let sources = match given {
        0 if is_here => ask.sources,
        0 => 1,
        given => given,
    };
    Ask { sources, ..ask }
}

fn alone(offer: &Offer) -> Ask {
    let plan = &offer.plan;
    let ports = crate::offer::ephemeral_ports();
    Ask {
        connections: plan.connections,
        node: None,
        engine: offer.engine,
        rings: engine::rings_for(plan.connections),
        receive: plan.options.receive,
        is_primed: plan.options.prime > 0,
        sources: u32::try_from(loopback_sources(plan.connections, ports).len()).unwrap_or(u32::MAX),
        destinations: 1,
    }
}

/// Shows what a plan needs and what there is.
#[must_use]
pub fn show(ask: &Ask) -> Vec<Exit> {
    let host = Host::read();
    print!("{}", text(ask, &host));
    let fits = check(ask, &host).iter().all(|finding| finding.is_enough);
    if fits { Vec::new() } else { vec![Exit::Usage] }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A local run of so many connections, with tables of 20,000 descriptors.
    pub(super) fn ask(connections: u32) -> Ask {
        let shards = connections.div_ceil(18_000).max(1);
        Ask {
            connections,
            node: Some(NodeAsk { shards: shards as u16, has_rings: true }),
            engine: EngineName::Uring,
            rings: connections.div_ceil(19_000),
            receive: Receive::Armed,
            is_primed: false,
            sources: connections.div_ceil(14_116),
            destinations: shards,
        }
    }

    const HOST: Host = Host {
        available_bytes: Some(22 << 30),
        cgroup_bytes: None,
        descriptors: 20_000,
        ports: 28_232,
        files: None,
        tracked: None,
    };

    #[track_caller]
    fn refused(ask: &Ask, host: &Host, because: &[&str]) {
        let refusal = refuse(ask, host, false).expect_err("it does not fit");
        assert_eq!(refusal.exit, Exit::Usage);
        let words = refusal.reason.to_string();
        assert!(because.iter().all(|part| words.contains(part)), "{words}");
        assert!(refuse(ask, host, true).is_ok(), "forced");
    }

    #[test]
    fn a_million_fits_into_22_gib_and_three_million_do_not() {
        assert!(refuse(&ask(1_000_000), &HOST, false).is_ok());
        refused(&ask(3_000_000), &HOST, &["memory", "would fit", "--receive polled"]);
    }

    #[test]
    fn a_cgroup_may_have_less_than_the_machine() {
        let host = Host { cgroup_bytes: Some(2 << 30), ..HOST };
        refused(&ask(1_000_000), &host, &["memory.max", "connections would fit"]);
    }

    #[test]
    fn one_address_has_not_ports_for_everybody() {
        let one = Ask { sources: 1, destinations: 1, ..ask(100_000) };
        refused(&one, &HOST, &["ports", "--source", "8 addresses"]);
        let crowded = Ask { sources: 5, ..one };
        let found = ports(&crowded, &HOST);
        assert!(found.is_enough && found.words.contains("slow"), "{}", found.words);
    }

    #[test]
    fn an_engine_without_rings_needs_a_descriptor_for_each() {
        let ask = Ask { engine: EngineName::Epoll, ..ask(30_000) };
        refused(&ask, &HOST, &["descriptors", "ulimit -n"]);
    }

    #[test]
    fn both_ends_count_as_files_and_once_for_tracking() {
        let host = Host { files: Some(150_000), tracked: Some(120_000), ..HOST };
        refused(&ask(100_000), &host, &["files", "fs.file-max"]);
        assert!(refuse(&ask(70_000), &host, false).is_ok());
        refused(&ask(130_000), &host, &["nf_conntrack_max"]);
    }

    #[test]
    fn the_text_has_every_item_and_every_finding() {
        let text = text(&ask(1_000_000), &HOST);
        for part in ["together", "ok  memory", "ok  ports", "generator's sockets", "56 shards"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
