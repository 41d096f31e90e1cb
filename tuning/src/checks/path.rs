//! The way of a packet: the input queue of each core, and what it dropped.

use super::{Unreadable, form, grouped, number_if_any, read};
use crate::finding::{Outcome, Plan, Status};
use crate::host::Host;
use crate::limits::{NETDEV_BACKLOG, NETDEV_BACKLOG_CONNECTIONS};

const SOFTNET: &str = "/proc/net/softnet_stat";

pub(super) fn netdev_backlog(host: &dyn Host, plan: &Plan) -> Result<Outcome, Unreadable> {
    let before = dropped(&read(host, SOFTNET)?)?;
    let again = host
        .read_again(SOFTNET)
        .map_err(|error| Unreadable::Io { path: SOFTNET.to_owned(), error })?;
    let after = dropped(&again)?;
    let now = after.saturating_sub(before);
    let Some(backlog) = number_if_any(host, "/proc/sys/net/core/netdev_max_backlog")? else {
        return Ok(Outcome::unsupported(
            "only the machine's own network namespace shows it; ask its operator",
        ));
    };
    let is_short = backlog < NETDEV_BACKLOG;
    let (status, note) = if now > 0 {
        (Status::Warn, format!("{} packets dropped just now", grouped(now)))
    } else if is_short && after > 0 {
        (Status::Warn, format!("{} packets dropped since the boot", grouped(after)))
    } else if is_short && plan.connections >= NETDEV_BACKLOG_CONNECTIONS {
        (Status::Warn, "nothing was dropped yet, but a burst of this plan does not fit".to_owned())
    } else {
        (Status::Ok, format!("{} packets dropped since the boot, none just now", grouped(after)))
    };
    Ok(Outcome {
        status,
        current: format!("{}, {} dropped", grouped(backlog), grouped(after)),
        wanted: if status == Status::Ok { "no drops".to_owned() } else { grouped(NETDEV_BACKLOG) },
        note,
        value: NETDEV_BACKLOG.max(backlog.saturating_mul(u64::from(!is_short) + 1)).to_string(),
    })
}

/// The second column, in hex, of each core's line.
fn dropped(text: &str) -> Result<u64, Unreadable> {
    let mut sum = 0_u64;
    for line in text.lines() {
        let column = line.split_whitespace().nth(1);
        let count = column.and_then(|column| u64::from_str_radix(column, 16).ok());
        sum = sum.saturating_add(count.ok_or_else(|| form(SOFTNET, line))?);
    }
    Ok(sum)
}
