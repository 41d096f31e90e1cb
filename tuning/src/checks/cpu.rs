//! Processors: frequency, sleep, clocks, and who else has them.

use super::{Scene, Unreadable, form};
use crate::finding::{Outcome, Profile, Status};
use crate::limits::{IDLE_LATENCY_US, STEAL_FAIL_PERMILLE, STEAL_WARN_PERMILLE};

const CPU: &str = "/sys/devices/system/cpu";

pub(super) fn boost(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let generic = scene.number_if_any(&format!("{CPU}/cpufreq/boost"))?;
    let intel =
        scene.number_if_any(&format!("{CPU}/intel_pstate/no_turbo"))?.map(|off| 1 - off.min(1));
    let Some(on) = generic.or(intel) else {
        return Ok(Outcome::unsupported("this machine does not show it (virtual machines do not)"));
    };
    let (current, note) = if on == 0 {
        ("off", "steady, and slower than it could be")
    } else {
        (
            "on",
            "fast, and faster in the first minute than in the tenth: say so with every measurement",
        )
    };
    Ok(Outcome::new(Status::Note, current, note).wanted("on for service, off for measurements"))
}

pub(super) fn idle_states(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let folder = format!("{CPU}/cpu0/cpuidle");
    let mut deepest: Option<(u64, String)> = None;
    for state in scene.list_if_any(&folder)? {
        let Some(latency) = scene.number_if_any(&format!("{folder}/{state}/latency"))? else {
            continue;
        };
        let is_off = scene.number_if_any(&format!("{folder}/{state}/disable"))?.unwrap_or(0) != 0;
        if !is_off && deepest.as_ref().is_none_or(|(known, _)| latency > *known) {
            let name = scene.read_if_any(&format!("{folder}/{state}/name"))?.unwrap_or(state);
            deepest = Some((latency, name.trim().to_owned()));
        }
    }
    let driver = scene.read_if_any(&format!("{CPU}/cpuidle/current_driver"))?.unwrap_or_default();
    let Some((latency, name)) = deepest else {
        return Ok(Outcome::unsupported("no idle states are shown here"));
    };
    let current = format!("{name} wakes in {latency} us (driver {})", driver.trim());
    let (status, note) = match (latency > IDLE_LATENCY_US, scene.plan.profile) {
        (true, Profile::Latency) => {
            (Status::Warn, "a message after a pause waits for the processor to wake")
        }
        (true, Profile::Throughput | Profile::Capacity) => {
            (Status::Note, "costs little under load; matters for latencies at low load")
        }
        (false, _) => (Status::Ok, "no deep state is used"),
    };
    Ok(Outcome::new(status, current, note)
        .wanted(format!("{IDLE_LATENCY_US} us or less, for low latencies")))
}

pub(super) fn smt(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    match scene.number_if_any(&format!("{CPU}/smt/active"))? {
        None => Ok(Outcome::unsupported("this machine does not show it")),
        Some(0) => Ok(Outcome::new(
            Status::Ok,
            "off",
            "every processor is a core of its own, as far as this machine knows",
        )),
        Some(_) => {
            let siblings =
                scene.read_if_any(&format!("{CPU}/cpu0/topology/thread_siblings_list"))?;
            let siblings = siblings.map_or_else(|| "?".to_owned(), |list| list.trim().to_owned());
            let current = format!("on; processor 0 shares its core: {siblings}");
            Ok(Outcome::new(Status::Note, current, "pin shards to one thread of each core")
                .wanted("one shard for each core"))
        }
    }
}

pub(super) fn isolation(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let list = |name: &str| -> Result<String, Unreadable> {
        let text = scene.read_if_any(&format!("{CPU}/{name}"))?.unwrap_or_default();
        // An empty file, or this word, says that there is none.
        Ok(text.trim().trim_matches(['(', ')']).replace("null", ""))
    };
    let (isolated, tickless) = (list("isolated")?, list("nohz_full")?);
    if isolated.is_empty() && tickless.is_empty() {
        return Ok(Outcome::new(
            Status::Note,
            "none",
            "shards share their processors with whatever else runs",
        )
        .wanted("only for the last microseconds"));
    }
    let shown = |list: &str| if list.is_empty() { "none".to_owned() } else { list.to_owned() };
    let current = format!("isolated {}, without tick {}", shown(&isolated), shown(&tickless));
    Ok(Outcome::new(
        Status::Note,
        current,
        "pin shards there with --cpus: nothing else goes there by itself",
    ))
}

pub(super) fn clocksource(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let folder = "/sys/devices/system/clocksource/clocksource0";
    let Some(current) = scene.read_if_any(&format!("{folder}/current_clocksource"))? else {
        return Ok(Outcome::unsupported("this machine does not show it"));
    };
    let current = current.trim().to_owned();
    let available =
        scene.read_if_any(&format!("{folder}/available_clocksource"))?.unwrap_or_default();
    // Read without entering the kernel: of x86, of its hypervisors' guests, of ARM, RISC-V, s390 and POWER.
    const FAST: [&str; 8] = [
        "tsc",
        "kvm-clock",
        "hyperv_clocksource_tsc_page",
        "arch_sys_counter",
        "riscv_clocksource",
        "tod",
        "timebase",
        "xen",
    ];
    let better = FAST.iter().find(|name| available.split_whitespace().any(|known| known == **name));
    let (status, note) = match (FAST.contains(&current.as_str()), better) {
        (true, _) => (Status::Ok, "read without entering the kernel"),
        (false, Some(_)) => (Status::Warn, "every reading is a system call and a slow device"),
        (false, None) => {
            (Status::Warn, "every reading is a system call, and this machine has no better clock")
        }
    };
    let better = better.copied().unwrap_or("the first of available_clocksource");
    Ok(Outcome::new(status, current, note)
        .wanted("tsc, or what the platform has in its place")
        .value(better))
}

pub(super) fn mitigations(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let folder = format!("{CPU}/vulnerabilities");
    let (mut vulnerable, mut mitigated) = (Vec::new(), 0);
    let names = scene.list_if_any(&folder)?;
    for name in &names {
        let text = scene.read_if_any(&format!("{folder}/{name}"))?.unwrap_or_default();
        if text.starts_with("Vulnerable") {
            vulnerable.push(name.as_str());
        } else if text.starts_with("Mitigation") {
            mitigated += 1;
        }
    }
    if names.is_empty() {
        return Ok(Outcome::unsupported("this machine does not show them"));
    }
    let open = if vulnerable.is_empty() {
        "none open".to_owned()
    } else {
        format!("open: {}", vulnerable.join(", "))
    };
    let current = format!("{mitigated} mitigated, {open}");
    let command_line = scene.read_if_any("/proc/cmdline")?.unwrap_or_default();
    let word = command_line.split_whitespace().find(|word| word.starts_with("mitigations="));
    let note = match word {
        Some(word) => format!("{word} at boot; part of every measurement's report"),
        None => "as the kernel chooses; part of every measurement's report".to_owned(),
    };
    Ok(Outcome::new(Status::Note, current, note).wanted("the operator's choice"))
}

pub(super) fn audit(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let command_line = scene.read_if_any("/proc/cmdline")?.unwrap_or_default();
    let is_off =
        command_line.split_whitespace().any(|word| matches!(word, "audit=0" | "audit=off"));
    let has_daemon =
        ["/run/auditd.pid", "/var/run/auditd.pid"].iter().any(|path| scene.root.read(path).is_ok());
    let (status, current, note) = match (is_off, has_daemon) {
        (true, _) => (Status::Ok, "off at boot", "system calls take the short way"),
        (false, true) => (
            Status::Note,
            "auditd runs",
            "with rules, system calls and ring operations take a longer way",
        ),
        (false, false) => (
            Status::Ok,
            "no auditd",
            "nobody has loaded rules, as far as can be seen without a privilege",
        ),
    };
    Ok(Outcome::new(status, current, note).wanted("no rules for the node's user"))
}

/// All time and stolen time of a `/proc/stat`, in ticks.
pub(crate) fn time_in(text: &str) -> Option<(u64, u64)> {
    let row = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = row.split_whitespace().map_while(|tick| tick.parse().ok()).collect();
    // The guests' time at the end is in the user time already.
    let all = ticks.iter().take(8).fold(0_u64, |sum, tick| sum.saturating_add(*tick));
    Some((all, *ticks.get(7)?))
}

pub(super) fn steal(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let path = "/proc/stat";
    let text = scene.read(path)?;
    let (all, stolen) = time_in(&text).ok_or_else(|| form(path, &text))?;
    let (all_before, stolen_before) = time_in(scene.earlier(path)).unwrap_or((all, stolen));
    let permille = |part: u64, of: u64| part.saturating_mul(1_000).checked_div(of).unwrap_or(0);
    let now = permille(stolen.saturating_sub(stolen_before), all.saturating_sub(all_before));
    let since_boot = permille(stolen, all);
    let shown = |permille: u64| format!("{}.{} %", permille / 10, permille % 10);
    let current = format!("{} now, {} since the boot", shown(now), shown(since_boot));
    let worst = now.max(since_boot);
    let (status, note) = if now >= STEAL_FAIL_PERMILLE {
        (Status::Fail, "the host takes so much that no response time here means anything")
    } else if worst >= STEAL_WARN_PERMILLE {
        (Status::Warn, "pauses that nothing here can see or shorten")
    } else {
        (Status::Ok, "the host gives what it promised, or does not say otherwise")
    };
    Ok(Outcome::new(status, current, note).wanted("less than 1 %").value(shown(worst)))
}
