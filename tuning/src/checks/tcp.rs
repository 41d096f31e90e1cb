//! TCP: local ports, listen queues, connection tracking.

use super::{Unreadable, form, grouped, number, number_if_any, read, read_if_any};
use crate::finding::{Outcome, Plan, Status};
use crate::host::Host;
use crate::limits::{BACKLOG_FAIL_DIVISOR, BACKLOG_MAX, BACKLOG_MIN, CONNTRACK_PERCENT};

pub(super) fn port_range(host: &dyn Host, plan: &Plan) -> Result<Outcome, Unreadable> {
    let path = "/proc/sys/net/ipv4/ip_local_port_range";
    let text = read(host, path)?;
    let ports: Vec<u64> = text.split_whitespace().flat_map(str::parse).collect();
    let [low, high] = ports[..] else { return Err(form(path, &text)) };
    if low > high || high > u64::from(u16::MAX) {
        return Err(form(path, &text));
    }
    let reserved_path = "/proc/sys/net/ipv4/ip_local_reserved_ports";
    let reserved_text = read_if_any(host, reserved_path)?.unwrap_or_default();
    let reserved = reserved_in(&reserved_text, low, high)
        .ok_or_else(|| form(reserved_path, &reserved_text))?;
    let ports = high - low + 1 - reserved;
    let cliff = (ports / 2).max(1);
    let addresses = plan.connections.div_ceil(cliff).max(1);
    let (status, note) = if plan.connections <= cliff {
        let note = format!("below the cliff, expected near {} per destination", grouped(cliff));
        (Status::Ok, note)
    } else if plan.connections <= ports {
        let cliff = grouped(cliff);
        (
            Status::Warn,
            format!("past the cliff, expected near {cliff} per destination: connects get slow"),
        )
    } else {
        let ports = grouped(ports);
        (Status::Warn, format!("one address can open only {ports} connections to one destination"))
    };
    Ok(Outcome {
        status,
        current: format!("{low}-{high} ({} ports)", grouped(ports)),
        wanted: match addresses {
            1 => "one address pair will do".to_owned(),
            _ => format!("{} address pairs", grouped(addresses)),
        },
        note,
        value: grouped(addresses),
    })
}

/// How many ports of the range a list like `8080,9000-9010` takes away; `None` if it is no such list.
fn reserved_in(list: &str, low: u64, high: u64) -> Option<u64> {
    let mut count = 0;
    for part in list.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let (first, last) = (first.max(low), last.min(high));
        count += (last + 1).saturating_sub(first);
    }
    Some(count.min(high - low))
}

pub(super) fn backlog(host: &dyn Host, plan: &Plan) -> Result<Outcome, Unreadable> {
    let somaxconn = number(host, "/proc/sys/net/core/somaxconn")?;
    let syn = number(host, "/proc/sys/net/ipv4/tcp_max_syn_backlog")?;
    let burst = plan.connections.min(BACKLOG_MAX).next_power_of_two();
    let wanted = burst.max(BACKLOG_MIN);
    let shorter = somaxconn.min(syn);
    let (status, note) = if shorter >= wanted {
        (Status::Ok, "a burst of logins fits")
    } else if shorter >= wanted / BACKLOG_FAIL_DIVISOR {
        (Status::Warn, "a burst of logins may wait for a second and more")
    } else {
        (Status::Fail, "a ramp will stand still for seconds at a time")
    };
    Ok(Outcome {
        status,
        current: format!("somaxconn {}, syn backlog {}", grouped(somaxconn), grouped(syn)),
        wanted: format!("{} each", grouped(wanted)),
        note: note.to_owned(),
        value: wanted.to_string(),
    })
}

pub(super) fn conntrack(host: &dyn Host, plan: &Plan) -> Result<Outcome, Unreadable> {
    let Some(max) = number_if_any(host, "/proc/sys/net/netfilter/nf_conntrack_max")? else {
        return Ok(Outcome::unsupported("connection tracking is not loaded"));
    };
    let count = number_if_any(host, "/proc/sys/net/netfilter/nf_conntrack_count")?;
    let wanted = plan.connections.saturating_mul(CONNTRACK_PERCENT).div_ceil(100);
    let is_idle = count == Some(0);
    let (status, note) = if max >= wanted {
        (Status::Ok, "the table is large enough")
    } else if is_idle {
        (Status::Warn, "the table is too small, but nothing is tracked at present")
    } else if max >= plan.connections {
        (Status::Warn, "the table is large enough, but closed connections stay in it for a while")
    } else {
        (
            Status::Fail,
            "the table is too small, and connections are tracked: packets will be dropped",
        )
    };
    let count = count.map_or_else(|| "?".to_owned(), grouped);
    Ok(Outcome {
        status,
        current: format!("{} entries, {count} in use", grouped(max)),
        wanted: grouped(wanted),
        note: note.to_owned(),
        value: wanted.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::reserved_in;

    #[test]
    fn reserved_ports_count_only_inside_the_range() {
        assert_eq!(reserved_in("\n", 1_000, 2_000), Some(0));
        assert_eq!(reserved_in("80,1500,1990-2010\n", 1_000, 2_000), Some(12));
        assert_eq!(reserved_in("0-65535", 1_000, 2_000), Some(1_000));
        assert_eq!(reserved_in("nonsense", 1_000, 2_000), None);
    }
}
