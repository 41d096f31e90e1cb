//! Limits of the process and of the machine: descriptors and locked memory.

use super::{Scene, Unreadable, form};
use crate::finding::{Outcome, Status};
use crate::limits::{MEMLOCK_BYTES, MEMLOCK_OLD_BYTES, OTHER_DESCRIPTORS, TABLE_PERCENT};
use crate::value::{grouped, sized};

/// A row of `/proc/PID/limits`: its soft and hard value, the largest number for `unlimited`. The table is aligned by spaces, and
/// its titles have spaces too, so a row is found by its title.
pub(crate) fn limit_in(text: &str, title: &str) -> Option<(u64, u64)> {
    let row = text.lines().find_map(|line| line.strip_prefix(title))?;
    let value = |text: &str| if text == "unlimited" { Some(u64::MAX) } else { text.parse().ok() };
    let mut values = row.split_whitespace().map_while(value);
    values.next().zip(values.next())
}

pub(super) fn limit(scene: &Scene<'_>, title: &str) -> Result<(u64, u64), Unreadable> {
    let path = "/proc/self/limits";
    let text = scene.read(path)?;
    limit_in(&text, title).ok_or_else(|| form(path, &text))
}

pub(crate) fn shown_limit(value: u64, show: fn(u64) -> String) -> String {
    if value == u64::MAX { "unlimited".to_owned() } else { show(value) }
}

pub(super) fn nofile(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let (soft, hard) = limit(scene, "Max open files")?;
    let current =
        format!("soft {}, hard {}", shown_limit(soft, grouped), shown_limit(hard, grouped));
    let plain = scene.descriptors();
    let status = match (soft >= plain, hard >= plain) {
        (true, _) => Status::Ok,
        (false, true) => Status::Warn,
        (false, false) => Status::Fail,
    };
    let note = match (status, scene.plan.direct_descriptors) {
        (Status::Ok, true) => {
            "enough for what is no connection; connections live in the rings' tables"
        }
        (Status::Ok, false) => "one descriptor for each connection, and some for the rest",
        (Status::Warn, _) => "the hard limit allows it: no privileges needed",
        (Status::Fail, true) => {
            "the process has too few descriptors even without those of connections"
        }
        (Status::Fail | Status::Note | Status::Unsupported | Status::Unknown, _) => {
            "the hard limit is too low for one descriptor for each connection"
        }
    };
    Ok(Outcome::new(status, current, note).wanted(grouped(plain)).value(plain))
}

/// Rings that a plan needs under a soft limit.
pub(super) fn rings(connections: u64, soft: u64) -> u64 {
    let table = connections.saturating_mul(TABLE_PERCENT).div_ceil(100);
    table.div_ceil(soft.max(1)).max(1)
}

pub(super) fn file_max(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let path = "/proc/sys/fs/file-max";
    let text = scene.read(path)?;
    let max: u64 = text.trim().parse().map_err(|_| form(path, &text))?;
    let path_used = "/proc/sys/fs/file-nr";
    let used_text = scene.read(path_used)?;
    let used = used_text.split_whitespace().next().and_then(|used| used.parse::<u64>().ok());
    let used = used.ok_or_else(|| form(path_used, &used_text))?;
    // Both ends of each connection may be on this machine.
    let needed = scene
        .plan
        .connections
        .saturating_mul(2)
        .saturating_add(used)
        .saturating_add(OTHER_DESCRIPTORS);
    let fits = max >= needed;
    let note = if fits {
        "every socket is an open file, and they fit"
    } else {
        "accept will fail with ENFILE"
    };
    let status = if fits { Status::Ok } else { Status::Fail };
    let outcome = Outcome::new(
        status,
        format!("{}, {} in use", shown_limit(max, grouped), grouped(used)),
        note,
    )
    .wanted(format!("{} or more", grouped(needed)))
    .value(needed);
    // With room for what is opened meanwhile; the kernel's own bound is a signed number.
    let to = needed.checked_next_power_of_two().unwrap_or(needed).min(i64::MAX.unsigned_abs());
    Ok(if fits || to <= max { outcome } else { outcome.write(path, &text, to) })
}

pub(super) fn memlock(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let (soft, _) = limit(scene, "Max locked memory")?;
    let counts_rings = scene.kernel()? < (5, 12);
    let wanted = if counts_rings { MEMLOCK_OLD_BYTES } else { MEMLOCK_BYTES };
    let (status, note) = match (soft >= wanted, counts_rings) {
        (true, true) => (Status::Ok, "this kernel counts rings, and they fit"),
        (true, false) => (Status::Ok, "this kernel does not count rings, only registered buffers"),
        (false, true) => (Status::Fail, "this kernel counts rings: making them fails with ENOMEM"),
        (false, false) => (Status::Warn, "registering buffers with a ring may fail with ENOMEM"),
    };
    Ok(Outcome::new(status, shown_limit(soft, sized), note)
        .wanted(format!("{} or more", sized(wanted)))
        .value(wanted / 1_024))
}
