//! Do the planned connections fit the memory that is left, here and in this process's memory cgroup?

use super::cgroup::memory_left;
use super::{Scene, Unreadable, form};
use crate::finding::{Outcome, Status};
use crate::limits::{BASE_BYTES, MEMORY_WARN_PERCENT, PAIR_BYTES};
use crate::value::{grouped, sized};

pub(super) fn connections(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let available = match scene.meminfo("MemAvailable")? {
        Some(available) => Some(available),
        None => scene.meminfo("MemFree")?, // before Linux 3.14
    };
    let machine = available.ok_or_else(|| form("/proc/meminfo", "no MemAvailable"))?;
    let (available, whose) = match memory_left(scene)? {
        Some(left) if left < machine => (left, "in this memory cgroup"),
        Some(_) | None => (machine, "on this machine"),
    };
    let needed = scene.plan.connections.saturating_mul(PAIR_BYTES).saturating_add(BASE_BYTES);
    let comfortable = available / 100 * MEMORY_WARN_PERCENT;
    let status = if needed <= comfortable {
        Status::Ok
    } else if needed <= available {
        Status::Warn
    } else {
        Status::Fail
    };
    let fitting = comfortable.saturating_sub(BASE_BYTES) / PAIR_BYTES;
    let note = format!("about {} connections fit with both ends here", grouped(fitting));
    Ok(Outcome::new(status, format!("{} available {whose}", sized(available)), note)
        .wanted(format!("{} for both ends", sized(needed)))
        .value(grouped(fitting)))
}

pub(super) fn swap(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let total = scene.meminfo("SwapTotal")?.unwrap_or(0);
    let used = total.saturating_sub(scene.meminfo("SwapFree")?.unwrap_or(total));
    let (status, current, note) = if total == 0 {
        (Status::Ok, "none".to_owned(), "nothing can be swapped out")
    } else if used == 0 {
        (Status::Note, format!("{}, none in use", sized(total)), "nothing is swapped out yet")
    } else {
        (
            Status::Warn,
            format!("{} of {} in use", sized(used), sized(total)),
            "something is swapped out",
        )
    };
    Ok(Outcome::new(status, current, note).wanted("none in use").value(sized(used)))
}

pub(super) fn numa_nodes(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let names = scene.list_if_any("/sys/devices/system/node")?;
    let is_node = |name: &&String| {
        name.strip_prefix("node").is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
        })
    };
    let nodes: Vec<&String> = names.iter().filter(is_node).collect();
    if nodes.len() <= 1 {
        return Ok(Outcome::new(Status::Ok, "one", "all memory is equally far"));
    }
    let mut free = Vec::new();
    for node in &nodes {
        let path = format!("/sys/devices/system/node/{node}/meminfo");
        let text = scene.read_if_any(&path)?.unwrap_or_default();
        let kilobytes = text.lines().find(|line| line.contains("MemFree:")).and_then(|line| {
            line.split_whitespace().rev().nth(1).and_then(|number| number.parse::<u64>().ok())
        });
        free.push(
            kilobytes
                .map_or_else(|| "?".to_owned(), |kilobytes| sized(kilobytes.saturating_mul(1_024))),
        );
    }
    let current = format!("{} nodes, free: {}", nodes.len(), free.join(", "));
    Ok(Outcome::new(Status::Note, current, "pin the shards to the node of the network card")
        .wanted("shards, memory and card at one node"))
}
