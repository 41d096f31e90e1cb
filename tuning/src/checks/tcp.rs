//! TCP: local ports, buffers, connection tracking, and numbers that need no change.

use super::{Scene, Unreadable, form};
use crate::finding::{Outcome, Status};
use crate::limits::{CONNTRACK_PERCENT, PAGE_BYTES, PORTS_WIDE, QUEUED_BYTES, QUEUED_DIVISOR};
use crate::value::{grouped, numbers, sized};

const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// The ports that connects may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    /// The first.
    pub(crate) low: u64,
    /// The last.
    pub(crate) high: u64,
    /// How many, without the reserved ones.
    pub(crate) count: u64,
    text: String,
}

impl Ports {
    /// Connections to one destination from which on connects get slow: the kernel looks through ports of one parity first.
    pub(crate) fn cliff(&self) -> u64 {
        (self.count / 2).max(1)
    }
}

pub(crate) fn ports(scene: &Scene<'_>) -> Result<Ports, Unreadable> {
    let text = scene.read(RANGE)?;
    let ports: Vec<u64> = text.split_whitespace().flat_map(str::parse).collect();
    let [low, high] = ports[..] else { return Err(form(RANGE, &text)) };
    if low > high || high > u64::from(u16::MAX) {
        return Err(form(RANGE, &text));
    }
    let reserved_text = scene.read_if_any(RESERVED)?.unwrap_or_default();
    let reserved = ranges_in(&reserved_text).ok_or_else(|| form(RESERVED, &reserved_text))?;
    let taken: u64 = reserved.iter().map(|(first, last)| overlap(*first, *last, low, high)).sum();
    Ok(Ports { low, high, count: high - low + 1 - taken.min(high - low), text })
}

pub(super) fn port_range(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let ports = ports(scene)?;
    let Ports { low, high, count, .. } = ports;
    let connections = scene.plan.connections;
    let cliff = ports.cliff();
    let addresses = connections.div_ceil(cliff).max(1);
    let (status, note) = if connections <= cliff {
        (Status::Ok, format!("below the cliff, expected near {} per destination", grouped(cliff)))
    } else if connections <= count {
        let cliff = grouped(cliff);
        (
            Status::Warn,
            format!("past the cliff, expected near {cliff} per destination: connects get slow"),
        )
    } else {
        let count = grouped(count);
        (Status::Warn, format!("one address can open only {count} connections to one destination"))
    };
    let outcome = Outcome::new(status, format!("{low}-{high} ({} ports)", grouped(count)), note)
        .wanted(match addresses {
            1 => "one address pair will do".to_owned(),
            _ => format!("{} address pairs", grouped(addresses)),
        })
        .value(grouped(addresses));
    let (wide_low, wide_high) = (low.min(PORTS_WIDE.0), high.max(PORTS_WIDE.1));
    let is_wide = (wide_low, wide_high) == (low, high);
    Ok(if is_wide {
        outcome
    } else {
        outcome.write(RANGE, &ports.text, format!("{wide_low} {wide_high}"))
    })
}

/// A list like `8080,9000-9010`; `None` if it is no such list.
fn ranges_in(list: &str) -> Option<Vec<(u64, u64)>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    list.trim().split(',').filter(|part| !part.is_empty()).map(range).collect()
}

fn overlap(first: u64, last: u64, low: u64, high: u64) -> u64 {
    (last.min(high) + 1).saturating_sub(first.max(low))
}

/// Listening ports of a `/proc/net/tcp`: rows whose state is 0A.
fn listening(text: &str) -> impl Iterator<Item = u64> + '_ {
    text.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next()?;
        let state = words.nth(1)?;
        let (_, port) = local.rsplit_once(':')?;
        (state == "0A").then(|| u64::from_str_radix(port, 16).ok())?
    })
}

pub(super) fn reserved_ports(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let ports = ports(scene)?;
    let reserved = scene.read_if_any(RESERVED)?.unwrap_or_default();
    let ranges = ranges_in(&reserved).ok_or_else(|| form(RESERVED, &reserved))?;
    let is_reserved =
        |port: &u64| ranges.iter().any(|(first, last)| (first..=last).contains(&port));
    let mut open: Vec<u64> = Vec::new();
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = scene.read_if_any(path)?.unwrap_or_default();
        open.extend(
            listening(&text)
                .filter(|port| (ports.low..=ports.high).contains(port) && !is_reserved(port)),
        );
    }
    open.sort_unstable();
    open.dedup();
    let current =
        if reserved.trim().is_empty() { "none".to_owned() } else { reserved.trim().to_owned() };
    if open.is_empty() {
        return Ok(Outcome::new(
            Status::Ok,
            current,
            "no listener is inside the range of local ports",
        ));
    }
    let list = open.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let note = format!(
        "listeners inside the range: {list}. After a restart a connect may have taken their port"
    );
    let whole =
        if reserved.trim().is_empty() { list } else { format!("{},{list}", reserved.trim()) };
    Ok(Outcome::new(Status::Note, current, note)
        .wanted("the ports of fixed listeners")
        .value(whole))
}

pub(super) fn mem(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let path = "/proc/sys/net/ipv4/tcp_mem";
    let Some(text) = scene.read_if_any(path)? else {
        return Ok(Outcome::unsupported("only the machine's own network namespace shows it"));
    };
    let is: Vec<u64> = numbers(&text)
        .unwrap_or_default()
        .iter()
        .flat_map(|number| u64::try_from(*number))
        .collect();
    let [low, pressure, high] = is[..] else { return Err(form(path, &text)) };
    let Some(memory) = scene.memory() else {
        return Ok(Outcome::unknown("/proc/meminfo has no MemTotal"));
    };
    let pages = memory / PAGE_BYTES;
    // What has something queued at once, both ends of it, but never more than a quarter of the machine.
    let busy = (scene.plan.connections / QUEUED_DIVISOR).max(1_024);
    let wanted = (busy.saturating_mul(2).saturating_mul(QUEUED_BYTES) / PAGE_BYTES).min(pages / 4);
    let shown = |pages: u64| sized(pages.saturating_mul(PAGE_BYTES));
    let used = scene.read_if_any("/proc/net/sockstat")?.unwrap_or_default();
    let used = used.lines().find_map(|line| line.strip_prefix("TCP:")).and_then(|row| {
        row.split_whitespace().skip_while(|word| *word != "mem").nth(1)?.parse::<u64>().ok()
    });
    let in_use = used.map_or_else(String::new, |used| format!(", {} in use", shown(used)));
    let current = format!("{} {} {}{in_use}", shown(low), shown(pressure), shown(high));
    if high > pages / 2 {
        let note = "sockets may take more than half of the memory, which cannot be swapped";
        return Ok(Outcome::new(Status::Warn, current, note)
            .wanted(format!("between {} and {}", shown(wanted), shown(pages / 2)))
            .write(path, &text, triple(wanted.max(pages / 8))));
    }
    if high >= wanted {
        return Ok(Outcome::new(Status::Ok, current, "what this plan may queue at once fits")
            .wanted(format!("{} or more", shown(wanted))));
    }
    let note = "buffers shrink, and connections are aborted, when one in ten has something queued";
    Ok(Outcome::new(Status::Warn, current, note)
        .wanted(format!("{} or more", shown(wanted)))
        .write(path, &text, triple(wanted)))
}

/// The kernel's own proportions: three quarters, the whole, and half as much again, so that the last is `high`.
fn triple(high: u64) -> String {
    format!("{} {} {high}", high / 2, high / 3 * 2)
}

pub(super) fn notsent_lowat(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    told(scene, "/proc/sys/net/ipv4/tcp_notsent_lowat", |is| {
        if is >= u64::from(u32::MAX) { "no bound".to_owned() } else { sized(is) }
    })
}

pub(super) fn retries2(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    told(scene, "/proc/sys/net/ipv4/tcp_retries2", |is| format!("{is} tries"))
}

fn told(scene: &Scene<'_>, path: &str, show: fn(u64) -> String) -> Result<Outcome, Unreadable> {
    Ok(match scene.number_if_any(path)? {
        Some(is) => Outcome::new(
            Status::Ok,
            show(is),
            "of no effect on this node; told because lists of advice have it",
        ),
        None => Outcome::unsupported("this kernel has no such number"),
    })
}

pub(super) fn keepalive(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let number =
        |name: &str| scene.number_if_any(&format!("/proc/sys/net/ipv4/tcp_keepalive_{name}"));
    let (Some(time), Some(interval), Some(probes)) =
        (number("time")?, number("intvl")?, number("probes")?)
    else {
        return Ok(Outcome::unsupported("this kernel has no such numbers"));
    };
    let current = format!("{probes} probes every {interval} s after {time} s");
    Ok(Outcome::new(
        Status::Ok,
        current,
        "of no effect on this node, which has heartbeats; told because lists of advice have it",
    ))
}

pub(super) fn congestion_control(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let Some(text) = scene.read_if_any("/proc/sys/net/ipv4/tcp_congestion_control")? else {
        return Ok(Outcome::unsupported("this kernel does not show it"));
    };
    let note = "decides about large transfers only; part of every measurement's report";
    Ok(Outcome::new(Status::Note, text.trim(), note).wanted("the operator's choice"))
}

pub(super) fn conntrack(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let path = "/proc/sys/net/netfilter/nf_conntrack_max";
    let Some(text) = scene.read_if_any(path)? else {
        return Ok(Outcome::unsupported("connection tracking is not loaded"));
    };
    let max: u64 = text.trim().parse().map_err(|_| form(path, &text))?;
    let count = scene.number_if_any("/proc/sys/net/netfilter/nf_conntrack_count")?;
    let wanted = scene.plan.connections.saturating_mul(CONNTRACK_PERCENT).div_ceil(100);
    let is_idle = count == Some(0);
    let (status, note) = if max >= wanted {
        (Status::Ok, "the table is large enough")
    } else if is_idle {
        (Status::Warn, "the table is too small, but nothing is tracked at present")
    } else if max >= scene.plan.connections {
        (Status::Warn, "the table is large enough, but closed connections stay in it for a while")
    } else {
        (
            Status::Fail,
            "the table is too small, and connections are tracked: packets will be dropped",
        )
    };
    let count = count.map_or_else(|| "?".to_owned(), grouped);
    let outcome = Outcome::new(status, format!("{} entries, {count} in use", grouped(max)), note)
        .wanted(grouped(wanted))
        .value(wanted);
    // The kernel's own bound is a signed number of 32 bits.
    let to = wanted.min(u64::from(u32::MAX / 2));
    Ok(if max < to { outcome.write(path, &text, to) } else { outcome })
}

#[cfg(test)]
mod tests {
    use super::{listening, overlap, ranges_in};

    #[test]
    fn reserved_ports_count_only_inside_the_range() {
        let taken = |list: &str| {
            let ranges = ranges_in(list)?;
            Some(
                ranges
                    .iter()
                    .map(|(first, last)| overlap(*first, *last, 1_000, 2_000))
                    .sum::<u64>(),
            )
        };
        assert_eq!(taken("\n"), Some(0));
        assert_eq!(taken("80,1500,1990-2010\n"), Some(12));
        assert_eq!(taken("0-65535"), Some(1_001));
        assert_eq!(taken("nonsense"), None);
    }

    #[test]
    fn listeners_are_told_from_connections() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue\n\
                       0: 0100007F:9A80 00000000:0000 0A 00000000:00000000\n\
                       1: 0100007F:9A81 0100007F:1F90 01 00000000:00000000\n torn";
        assert_eq!(listening(text).collect::<Vec<_>>(), [0x9A80]);
    }
}
