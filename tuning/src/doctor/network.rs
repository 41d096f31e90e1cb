//! The network's part: listen queues, input queues, ports, buffers, tracking.

use std::collections::BTreeMap;

use super::{Diagnosis, Severity, Sight};
use crate::checks::{Scene, netstat, ports, softnet};
use crate::finding::{Plan, Profile};
use crate::limits::{NEAR_PERCENT, PAGE_BYTES, SOCKETS_MAX};
use crate::value::{grouped, numbers, sized};

pub(super) fn diagnose(sight: &Sight<'_>) -> Vec<Diagnosis> {
    vec![
        accept(sight),
        handshakes(sight),
        input_queue(sight),
        local_ports(sight),
        buffers(sight),
        retransmits(sight),
        tracking(sight),
    ]
}

fn accept(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "accept queue";
    let (overflows, overflows_all) = sight.tcp("ListenOverflows");
    let (drops, drops_all) = sight.tcp("ListenDrops");
    if overflows.max(drops) > 0 {
        let says = format!(
            "{} times in {:.1} s a listen queue was full ({} connections dropped): clients wait one second, then two, then four",
            grouped(overflows),
            sight.seconds,
            grouped(drops)
        );
        return Diagnosis::new(ABOUT, Severity::Limit, says)
            .todo("find which: ss -ltn shows queues whose Recv-Q is near Send-Q")
            .todo("tuning explain tcp.somaxconn; a queue that stays full means a server that accepts too slowly");
    }
    if drops_all > 0 {
        let says = format!(
            "{} overflows and {} drops earlier, none while watched",
            grouped(overflows_all),
            grouped(drops_all)
        );
        return Diagnosis::new(ABOUT, Severity::Risk, says)
            .todo("watch during a ramp: tuning doctor --window 60s");
    }
    Diagnosis::ok(ABOUT, "no connection was ever dropped in front of accept")
}

fn handshakes(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "handshakes";
    let (dropped, _) = sight.tcp("TCPReqQFullDrop");
    let (cookies, cookies_all) = sight.tcp("TCPReqQFullDoCookies");
    if dropped + cookies > 0 {
        let says = format!(
            "the queue of unfinished handshakes was full: {} answered with cookies, {} dropped",
            grouped(cookies),
            grouped(dropped)
        );
        return Diagnosis::new(ABOUT, Severity::Limit, says).todo("tuning explain tcp.syn_backlog");
    }
    if cookies_all > 0 {
        let says = format!(
            "{} were answered with cookies earlier, none while watched",
            grouped(cookies_all)
        );
        return Diagnosis::new(ABOUT, Severity::Note, says);
    }
    Diagnosis::ok(ABOUT, "the queue of unfinished handshakes was never full")
}

fn input_queue(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "packet input queue";
    let path = "/proc/net/softnet_stat";
    let Some((all, _)) = softnet(sight.text(path)).filter(|_| !sight.text(path).is_empty()) else {
        return Diagnosis::new(ABOUT, Severity::Unknown, format!("{path} cannot be read"));
    };
    let dropped = sight.grown(path, |text| softnet(text).map(|(dropped, _)| dropped)).unwrap_or(0);
    let squeezed =
        sight.grown(path, |text| softnet(text).map(|(_, squeezed)| squeezed)).unwrap_or(0);
    if dropped > 0 {
        let says = format!(
            "{} packets dropped in {:.1} s before anything looked at them: each comes back after 200 ms",
            grouped(dropped),
            sight.seconds
        );
        return Diagnosis::new(ABOUT, Severity::Limit, says)
            .todo("tuning apply --only path.netdev_backlog --for 10m, and see whether it stops");
    }
    if all > 0 {
        let says = format!("{} packets dropped since the boot, none while watched", grouped(all));
        return Diagnosis::new(ABOUT, Severity::Risk, says)
            .todo("tuning explain path.netdev_backlog");
    }
    if squeezed > 0 {
        let says =
            format!("{} turns of the network were cut short with packets left", grouped(squeezed));
        return Diagnosis::new(ABOUT, Severity::Note, says)
            .todo("tuning explain path.netdev_budget");
    }
    Diagnosis::ok(ABOUT, "nothing was dropped")
}

fn sockstat(text: &str, row: &str, name: &str) -> Option<u64> {
    let row = text.lines().find_map(|line| line.strip_prefix(row)?.strip_prefix(':'))?;
    row.split_whitespace().skip_while(|word| *word != name).nth(1)?.parse().ok()
}

fn local_ports(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "local ports";
    let plan =
        Plan { connections: 0, rate: 0, profile: Profile::Capacity, direct_descriptors: false };
    let scene = Scene::still(sight.root, &plan);
    let ports = match ports(&scene) {
        Ok(ports) => ports,
        Err(error) => return Diagnosis::new(ABOUT, Severity::Unknown, error.to_string()),
    };
    let text = sight.text("/proc/net/sockstat");
    let count = |name: &str| sockstat(text, "TCP", name).unwrap_or(0);
    let sockets = count("inuse") + count("tw");
    if sockets > SOCKETS_MAX {
        let says = format!(
            "{} sockets are too many to list: where their ports went was not looked at",
            grouped(sockets)
        );
        return Diagnosis::new(ABOUT, Severity::Note, says)
            .todo("ss -tn 'dst ADDRESS:PORT' | wc -l for a destination you suspect");
    }
    let mut fullest: BTreeMap<(String, String), u64> = BTreeMap::new();
    let table = sight.root.read("/proc/net/tcp").unwrap_or_default();
    let listening = listening(&table);
    for (local, remote) in connections(&table) {
        let Some((address, port)) = local.split_once(':') else { continue };
        let port = u64::from_str_radix(port, 16).unwrap_or(0);
        // What was accepted has the listener's port.
        if (ports.low..=ports.high).contains(&port) && !listening.contains(&port) {
            *fullest.entry((address.to_owned(), remote.to_owned())).or_default() += 1;
        }
    }
    let fullest = fullest.into_iter().max_by_key(|(_, count)| *count);
    let (most, remote) = fullest.map_or((0, String::new()), |((_, remote), count)| (count, remote));
    let cliff = ports.cliff();
    let port = remote
        .rsplit_once(':')
        .and_then(|(_, port)| u16::from_str_radix(port, 16).ok())
        .unwrap_or(0);
    let says = format!(
        "{} of the {} ports ({}-{}) are taken towards the busiest destination (port {port}); the cliff is near {}",
        grouped(most),
        grouped(ports.count),
        ports.low,
        ports.high,
        grouped(cliff)
    );
    let severity = if most > cliff {
        Severity::Limit
    } else if most.saturating_mul(100) > cliff.saturating_mul(NEAR_PERCENT) {
        Severity::Risk
    } else {
        return Diagnosis::ok(ABOUT, says);
    };
    Diagnosis::new(ABOUT, severity, says)
        .todo("connect from several addresses (loadgen --source), or tuning apply --only tcp.port_range --for 10m")
        .todo("tuning explain tcp.port_range")
}

fn rows(table: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    table.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        Some((words.next()?, words.next()?, words.next()?))
    })
}

fn connections(table: &str) -> impl Iterator<Item = (&str, &str)> {
    rows(table).filter(|(_, _, state)| *state != "0A").map(|(local, remote, _)| (local, remote))
}

fn listening(table: &str) -> Vec<u64> {
    let port = |local: &str| u64::from_str_radix(local.rsplit_once(':')?.1, 16).ok();
    rows(table)
        .filter(|(_, _, state)| *state == "0A")
        .filter_map(|(local, ..)| port(local))
        .collect()
}

fn buffers(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "TCP memory";
    let (pressure, _) = sight.tcp("TCPMemoryPressures");
    let (aborted, aborted_all) = sight.tcp("TCPAbortOnMemory");
    let (pruned, _) = sight.tcp("PruneCalled");
    let used = sockstat(sight.text("/proc/net/sockstat"), "TCP", "mem");
    let bounds = sight.root.read("/proc/sys/net/ipv4/tcp_mem").ok().and_then(|text| numbers(&text));
    let high = bounds.and_then(|bounds| u64::try_from(*bounds.get(2)?).ok());
    let shown = |pages: u64| sized(pages.saturating_mul(PAGE_BYTES));
    let state = match (used, high) {
        (Some(used), Some(high)) => format!("{} of {} in use", shown(used), shown(high)),
        (Some(used), None) => {
            format!("{} in use, the bound is not shown in this namespace", shown(used))
        }
        (None, _) => "how much is in use cannot be read".to_owned(),
    };
    let is_near = used
        .zip(high)
        .is_some_and(|(used, high)| used.saturating_mul(100) > high.saturating_mul(NEAR_PERCENT));
    if aborted > 0 || pressure > 0 {
        let says = format!(
            "{state}; {} connections aborted for want of it, under pressure {} times",
            grouped(aborted),
            grouped(pressure)
        );
        return Diagnosis::new(ABOUT, Severity::Limit, says).todo("tuning explain tcp.mem");
    }
    if is_near {
        return Diagnosis::new(ABOUT, Severity::Risk, state).todo("tuning explain tcp.mem");
    }
    if pruned > 0 {
        let says = format!(
            "{state}; {} times a receive buffer was full: its program reads too slowly",
            grouped(pruned)
        );
        return Diagnosis::new(ABOUT, Severity::Risk, says)
            .todo("look at the node's turns and processors; tuning explain tcp.rmem");
    }
    let earlier = if aborted_all > 0 {
        format!("; {} connections aborted earlier", grouped(aborted_all))
    } else {
        String::new()
    };
    Diagnosis::ok(ABOUT, format!("{state}{earlier}"))
}

fn retransmits(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "retransmits";
    let path = "/proc/net/snmp";
    let sent = sight.grown(path, |text| netstat(text, "Tcp", "OutSegs")).unwrap_or(0);
    let again = sight.grown(path, |text| netstat(text, "Tcp", "RetransSegs")).unwrap_or(0);
    let (handshakes, _) = sight.tcp("TCPSynRetrans");
    let (timeouts, _) = sight.tcp("TCPTimeouts");
    let says = format!(
        "{} of {} segments sent again, {} of them handshakes, {} after a timeout",
        grouped(again),
        grouped(sent),
        grouped(handshakes),
        grouped(timeouts)
    );
    if again.saturating_mul(100) > sent && again > 10 {
        return Diagnosis::new(ABOUT, Severity::Limit, says)
            .todo("on loopback: look for drops above; with a card: ethtool -S DEVICE | grep -i drop, and the path behind it");
    }
    if handshakes > 0 {
        return Diagnosis::new(ABOUT, Severity::Risk, says)
            .todo("a SYN went unanswered: a full queue, a filter, or nobody there");
    }
    Diagnosis::ok(ABOUT, says)
}

fn tracking(sight: &Sight<'_>) -> Diagnosis {
    const ABOUT: &str = "connection tracking";
    let Ok(max) = sight.root.read("/proc/sys/net/netfilter/nf_conntrack_max") else {
        return Diagnosis::new(
            ABOUT,
            Severity::Unsupported,
            "not loaded, or not shown in this namespace",
        );
    };
    let max: u64 = max.trim().parse().unwrap_or(0);
    let count: u64 =
        sight.text("/proc/sys/net/netfilter/nf_conntrack_count").trim().parse().unwrap_or(0);
    let path = "/proc/net/stat/nf_conntrack";
    let lost = ["drop", "early_drop", "insert_failed"];
    let lost: u64 =
        lost.iter().filter_map(|name| sight.grown(path, |text| conntrack_column(text, name))).sum();
    let says = format!(
        "{} of {} entries, {} lost while watched",
        grouped(count),
        grouped(max),
        grouped(lost)
    );
    if lost > 0 {
        return Diagnosis::new(ABOUT, Severity::Limit, says).todo("tuning explain tcp.conntrack");
    }
    if count.saturating_mul(100) > max.saturating_mul(NEAR_PERCENT) {
        return Diagnosis::new(ABOUT, Severity::Risk, says).todo("tuning explain tcp.conntrack");
    }
    Diagnosis::ok(ABOUT, says)
}

/// A column of `/proc/net/stat/nf_conntrack`, hexadecimal, a row for each processor.
fn conntrack_column(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    let at = lines.next()?.split_whitespace().position(|known| known == name)?;
    let of = |line: &str| u64::from_str_radix(line.split_whitespace().nth(at)?, 16).ok();
    Some(lines.filter_map(of).fold(0, u64::saturating_add))
}
