//! The way of a packet: the input queue of each core, what it dropped, and what the listen queue refused.

use super::{Scene, Unreadable, form};
use crate::finding::{Outcome, Status};
use crate::limits::{
    NETDEV_BACKLOG, NETDEV_BACKLOG_CONNECTIONS, NETDEV_BACKLOG_RATE, NETDEV_BUDGET,
};
use crate::value::grouped;

pub(crate) const SOFTNET: &str = "/proc/net/softnet_stat";
pub(crate) const NETSTAT: &str = "/proc/net/netstat";

/// Packets dropped and turns cut short, of all cores.
pub(crate) fn softnet(text: &str) -> Option<(u64, u64)> {
    let (mut dropped, mut squeezed) = (0_u64, 0_u64);
    for line in text.lines() {
        let mut columns =
            line.split_whitespace().skip(1).map(|column| u64::from_str_radix(column, 16));
        dropped = dropped.saturating_add(columns.next()?.ok()?);
        squeezed = squeezed.saturating_add(columns.next()?.ok()?);
    }
    Some((dropped, squeezed))
}

/// A counter of `/proc/net/netstat` or `/proc/net/snmp`: pairs of lines, names and numbers.
pub(crate) fn netstat(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group)?.strip_prefix(':'));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|known| known == name)?;
    // A count may go below zero in a file that shows it signed; it is none then.
    numbers.split_whitespace().nth(at)?.parse().ok()
}

fn softnet_twice(scene: &Scene<'_>) -> Result<[(u64, u64); 2], Unreadable> {
    let text = scene.read(SOFTNET)?;
    let after = softnet(&text).ok_or_else(|| form(SOFTNET, &text))?;
    let before = softnet(scene.earlier(SOFTNET)).unwrap_or(after);
    Ok([before, after])
}

pub(super) fn netdev_backlog(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let [(before, _), (after, _)] = softnet_twice(scene)?;
    let now = after.saturating_sub(before);
    let path = "/proc/sys/net/core/netdev_max_backlog";
    let Some(text) = scene.read_if_any(path)? else {
        return Ok(Outcome::unsupported(
            "only the machine's own network namespace shows it; ask its operator",
        ));
    };
    let backlog: u64 = text.trim().parse().map_err(|_| form(path, &text))?;
    let is_short = backlog < NETDEV_BACKLOG;
    let (status, note) = if now > 0 {
        (Status::Warn, format!("{} packets dropped just now", grouped(now)))
    } else if is_short && after > 0 {
        (Status::Warn, format!("{} packets dropped since the boot", grouped(after)))
    } else if is_short && scene.plan.rate >= NETDEV_BACKLOG_RATE {
        (
            Status::Warn,
            "nothing was dropped yet, but a pause of ten milliseconds at this rate fills it"
                .to_owned(),
        )
    } else if is_short && scene.plan.connections >= NETDEV_BACKLOG_CONNECTIONS {
        (Status::Warn, "nothing was dropped yet, but a burst of this plan does not fit".to_owned())
    } else {
        (Status::Ok, format!("{} packets dropped since the boot, none just now", grouped(after)))
    };
    let value = if is_short { NETDEV_BACKLOG } else { backlog.saturating_mul(2).min(1 << 20) };
    let current = format!("{}, {} dropped", grouped(backlog), grouped(after));
    let outcome = Outcome::new(status, current, note).value(value);
    Ok(match status {
        Status::Warn if value > backlog => outcome.wanted(grouped(value)).write(path, &text, value),
        Status::Ok
        | Status::Note
        | Status::Warn
        | Status::Fail
        | Status::Unsupported
        | Status::Unknown => outcome.wanted("no drops"),
    })
}

pub(super) fn netdev_budget(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let [(_, before), (_, after)] = softnet_twice(scene)?;
    let path = "/proc/sys/net/core/netdev_budget";
    let Some(text) = scene.read_if_any(path)? else {
        return Ok(Outcome::unsupported(
            "only the machine's own network namespace shows it; ask its operator",
        ));
    };
    let budget: u64 = text.trim().parse().map_err(|_| form(path, &text))?;
    let now = after.saturating_sub(before);
    let current = format!("{}, {} turns cut short", grouped(budget), grouped(after));
    if now > 0 && budget < NETDEV_BUDGET {
        let note = format!("{} turns cut short just now, with packets left", grouped(now));
        return Ok(Outcome::new(Status::Warn, current, note).wanted(grouped(NETDEV_BUDGET)).write(
            path,
            &text,
            NETDEV_BUDGET,
        ));
    }
    Ok(Outcome::new(Status::Ok, current, "no turn was cut short just now")
        .wanted("no turns cut short"))
}

pub(super) fn qdisc(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let Some(text) = scene.read_if_any("/proc/sys/net/core/default_qdisc")? else {
        return Ok(Outcome::unsupported("only the machine's own network namespace shows it"));
    };
    let is_fair = ["fq", "fq_codel", "cake"].contains(&text.trim());
    let note = if is_fair {
        "one flow does not hold up the others"
    } else {
        "on a slow uplink a large transfer holds up messages; of no meaning on loopback"
    };
    let status = if is_fair { Status::Ok } else { Status::Note };
    Ok(Outcome::new(status, text.trim(), note).wanted("fq_codel or fq, with a real network card"))
}

pub(super) fn listen_overflows(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let text = scene.read(NETSTAT)?;
    let count = |text: &str| netstat(text, "TcpExt", "ListenDrops");
    let after = count(&text).ok_or_else(|| form(NETSTAT, &text))?;
    let now = after.saturating_sub(count(scene.earlier(NETSTAT)).unwrap_or(after));
    let (status, note) = match (now, after) {
        (1.., _) => (Status::Fail, format!("{} connections dropped just now", grouped(now))),
        (0, 1..) => (
            Status::Note,
            "since this namespace began, none just now; tuning doctor watches for longer"
                .to_owned(),
        ),
        (0, 0) => (Status::Ok, "no connection was ever dropped".to_owned()),
    };
    Ok(Outcome::new(status, format!("{} dropped", grouped(after)), note).wanted("none"))
}
