//! Limits of the process: descriptors and locked memory.

use super::{Unreadable, form, grouped, kernel, read, sized};
use crate::finding::{Outcome, Plan, Status};
use crate::host::Host;
use crate::limits::{MEMLOCK_BYTES, MEMLOCK_OLD_BYTES, OTHER_DESCRIPTORS, TABLE_PERCENT};

/// A row of `/proc/self/limits`: its soft and hard value, the largest number for `unlimited`. The table is aligned by spaces, and
/// its titles have spaces too, so a row is found by its title.
fn limit(host: &dyn Host, title: &str) -> Result<(u64, u64), Unreadable> {
    let path = "/proc/self/limits";
    let text = read(host, path)?;
    let row = text.lines().find_map(|line| line.strip_prefix(title)).unwrap_or_default();
    let value = |text: &str| if text == "unlimited" { Some(u64::MAX) } else { text.parse().ok() };
    let mut values = row.split_whitespace().map_while(value);
    values.next().zip(values.next()).ok_or_else(|| form(path, &text))
}

fn shown(value: u64, show: fn(u64) -> String) -> String {
    if value == u64::MAX { "unlimited".to_owned() } else { show(value) }
}

pub(super) fn nofile(host: &dyn Host, plan: &Plan) -> Result<Outcome, Unreadable> {
    let (soft, hard) = limit(host, "Max open files")?;
    let current = format!("soft {}, hard {}", shown(soft, grouped), shown(hard, grouped));
    let plain = plan.connections.saturating_add(OTHER_DESCRIPTORS);
    let table = plan.connections.saturating_mul(TABLE_PERCENT).div_ceil(100);
    let (status, wanted, note);
    if plan.direct_descriptors {
        let rings = table.div_ceil(soft.max(1)).max(1);
        wanted = format!("{} for the process", grouped(OTHER_DESCRIPTORS));
        status = match (soft >= OTHER_DESCRIPTORS, rings) {
            (false, _) => Status::Fail,
            (true, 1) => Status::Ok,
            (true, _) => Status::Warn,
        };
        note = format!(
            "a ring's table holds as many connections as the soft limit: {} ring{} needed",
            grouped(rings),
            if rings == 1 { "" } else { "s" }
        );
    } else {
        wanted = grouped(plain);
        status = match (soft >= plain, hard >= plain) {
            (true, _) => Status::Ok,
            (false, true) => Status::Warn,
            (false, false) => Status::Fail,
        };
        note = match status {
            Status::Ok => "one descriptor for each connection, and some for the rest",
            Status::Warn => "the hard limit allows it: no privileges needed",
            Status::Fail | Status::Unsupported | Status::Unknown => {
                "the hard limit is too low for one descriptor for each connection"
            }
        }
        .to_owned();
    }
    // With direct descriptors a higher limit still means fewer rings: one, if it holds the whole table.
    let value = if plan.direct_descriptors { table.max(OTHER_DESCRIPTORS) } else { plain };
    Ok(Outcome { status, current, wanted, note, value: value.to_string() })
}

pub(super) fn memlock(host: &dyn Host, _plan: &Plan) -> Result<Outcome, Unreadable> {
    let (soft, _) = limit(host, "Max locked memory")?;
    let counts_rings = kernel(host)? < (5, 12);
    let wanted = if counts_rings { MEMLOCK_OLD_BYTES } else { MEMLOCK_BYTES };
    let (status, note) = match (soft >= wanted, counts_rings) {
        (true, true) => (Status::Ok, "this kernel counts rings, and they fit"),
        (true, false) => (Status::Ok, "this kernel does not count rings, only registered buffers"),
        (false, true) => (Status::Fail, "this kernel counts rings: making them fails with ENOMEM"),
        (false, false) => (Status::Warn, "registering buffers with a ring may fail with ENOMEM"),
    };
    Ok(Outcome {
        status,
        current: shown(soft, sized),
        wanted: sized(wanted),
        note: note.to_owned(),
        value: (wanted / 1024).to_string(),
    })
}
