//! The host's facts: processors, memory, kernel, sysctls, limits, cgroup, io_uring.

use std::fs;

use procfs::{Current, CurrentSI, WithCurrentSystemInfo};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

use super::{Environment, text};

/// The kernel settings that change what a connection server can do. Nothing else is read: a report is often published.
const SYSCTLS: &[&str] = &[
    "fs.file-max",
    "fs.nr_open",
    "kernel.io_uring_disabled",
    "kernel.numa_balancing",
    "kernel.sched_autogroup_enabled",
    "net.core.busy_poll",
    "net.core.default_qdisc",
    "net.core.netdev_budget",
    "net.core.netdev_max_backlog",
    "net.core.optmem_max",
    "net.core.rmem_default",
    "net.core.rmem_max",
    "net.core.rps_sock_flow_entries",
    "net.core.somaxconn",
    "net.core.wmem_default",
    "net.core.wmem_max",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_wmem",
    "net.netfilter.nf_conntrack_max",
    "vm.max_map_count",
    "vm.overcommit_memory",
    "vm.swappiness",
];

pub(super) fn read(environment: &mut Environment) {
    cpu(environment);
    memory(environment);
    kernel(environment);
    limits(environment);
    cgroup(environment);
    io_uring(environment);
    environment
        .set("network.path", "loopback unless the target is another machine: no NIC is measured");
}

fn cpu(environment: &mut Environment) {
    match procfs::CpuInfo::current() {
        Ok(info) => {
            let field = |name: &str| info.fields.get(name).or_else(|| info.cpus.first()?.get(name));
            let field = |name: &str| field(name).cloned().ok_or("not in /proc/cpuinfo");
            environment.record("cpu.model", field("model name"));
            environment.record("cpu.microcode", field("microcode"));
            let flags =
                field("flags").map(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
            environment.record("virtualisation.hypervisor_bit", flags);
            environment.set("cpu.online", info.cpus.len() as u64);
        }
        Err(error) => environment.record("cpu.model", Err::<String, _>(error)),
    }
    environment.record("cpu.allowed", allowed_cpus().map(|cpus| json!(cpus)));
    environment.record("cpu.smt", text("/sys/devices/system/cpu/smt/active"));
    let frequency = |name: &str| text(format!("/sys/devices/system/cpu/cpu0/cpufreq/{name}"));
    environment.record("cpu.governor", frequency("scaling_governor"));
    environment.record("cpu.energy_preference", frequency("energy_performance_preference"));
    environment.record("cpu.boost", text("/sys/devices/system/cpu/cpufreq/boost"));
    environment.record("cpu.idle_driver", text("/sys/devices/system/cpu/cpuidle/current_driver"));
    environment.record("cpu.mitigations", mitigations());
    environment.record("virtualisation.vendor", text("/sys/class/dmi/id/sys_vendor"));
    environment.record("virtualisation.product", text("/sys/class/dmi/id/product_name"));
}

/// What the kernel does against each processor flaw that it knows.
fn mitigations() -> Result<Value, String> {
    let directory = "/sys/devices/system/cpu/vulnerabilities";
    let entries = fs::read_dir(directory).map_err(|error| format!("{directory}: {error}"))?;
    let entries = entries.filter_map(Result::ok);
    let known = entries.filter_map(|entry| {
        let state = text(entry.path()).ok().filter(|state| state != "Not affected")?;
        Some((entry.file_name().to_string_lossy().into_owned(), Value::from(state)))
    });
    Ok(Value::Object(known.collect()))
}

/// The processors that this process may run on.
///
/// # Errors
/// When the kernel does not tell.
pub fn allowed_cpus() -> Result<Vec<usize>, std::io::Error> {
    let set = rustix::thread::sched_getaffinity(None)?;
    Ok((0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
}

fn memory(environment: &mut Environment) {
    let info = procfs::Meminfo::current().map_err(|error| error.to_string());
    environment.record("memory.total_bytes", info.as_ref().map(|info| info.mem_total));
    environment.record("memory.swap_total_bytes", info.as_ref().map(|info| info.swap_total));
    let available = info.as_ref().map_err(Clone::clone);
    let available = available.and_then(|info| info.mem_available.ok_or_else(|| "not told".into()));
    environment.record("now.memory_available_bytes", available);
    environment.record("memory.thp", text("/sys/kernel/mm/transparent_hugepage/enabled"));
    environment.record("memory.thp_defrag", text("/sys/kernel/mm/transparent_hugepage/defrag"));
}

fn kernel(environment: &mut Environment) {
    environment.record("kernel.release", text("/proc/sys/kernel/osrelease"));
    environment.record("kernel.version", text("/proc/sys/kernel/version"));
    environment.record("kernel.cmdline", text("/proc/cmdline"));
    environment.record("now.load_average", text("/proc/loadavg"));
    for sysctl in SYSCTLS {
        let path = format!("/proc/sys/{}", sysctl.replace('.', "/"));
        let value = text(path).map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "));
        environment.record(&format!("sysctl.{sysctl}"), value);
    }
}

fn limits(environment: &mut Environment) {
    let limit = |resource| {
        let limit = getrlimit(resource);
        json!({ "soft": limit.current, "hard": limit.maximum })
    };
    // A limit that does not bind is null in both places.
    environment.set("limits.descriptors", limit(Resource::Nofile));
    environment.set("limits.locked_bytes", limit(Resource::Memlock));
    environment.set("limits.processes", limit(Resource::Nproc));
    environment.set("limits.address_space_bytes", limit(Resource::As));
}

fn cgroup(environment: &mut Environment) {
    let membership =
        text("/proc/self/cgroup").map(|lines| lines.lines().collect::<Vec<_>>().join(" "));
    environment.record("cgroup.membership", membership);
    let of_version_2 = |name: &str| super::interference::cgroup_file(name).and_then(text);
    environment.record("cgroup.cpu_max", of_version_2("cpu.max"));
    environment.record("cgroup.memory_max", of_version_2("memory.max"));
    environment.record("cgroup.cpuset", of_version_2("cpuset.cpus.effective"));
    let container =
        ["/.dockerenv", "/run/.containerenv"].iter().any(|path| fs::exists(path).unwrap_or(false));
    environment.set("virtualisation.container_marker", container);
}

fn io_uring(environment: &mut Environment) {
    environment.record("io_uring.disabled", text("/proc/sys/kernel/io_uring_disabled"));
    environment.record("io_uring.group", text("/proc/sys/kernel/io_uring_group"));
}

/// Seconds of processor time that all processes of the host used, and that the hypervisor took, since boot.
pub(super) fn processor_seconds() -> Result<(f64, f64), String> {
    let stat = procfs::KernelStats::current().map_err(|error| error.to_string())?;
    let ticks = procfs::ticks_per_second() as f64;
    let busy = stat.total.user + stat.total.nice + stat.total.system;
    let steal = stat.total.steal.ok_or("the kernel does not count steal")?;
    Ok((busy as f64 / ticks, steal as f64 / ticks))
}

/// Seconds of processor time that a process used since it started.
pub(crate) fn process_seconds(pid: u32) -> Result<f64, String> {
    let process = procfs::process::Process::new(pid as i32);
    let stat = process.and_then(|process| process.stat()).map_err(|error| error.to_string())?;
    Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
}

/// Seconds of processor time that these processes, and those of this one's children that have ended, used since they
/// started: a server that is killed and started again in between does not look like somebody else's work.
pub(super) fn processes_seconds(own: &[u32]) -> Result<f64, String> {
    let is_there = |pid: &&u32| std::path::Path::new("/proc").join(pid.to_string()).exists();
    let running: f64 =
        own.iter().filter(is_there).map(|pid| process_seconds(*pid)).sum::<Result<_, _>>()?;
    let this = procfs::process::Process::myself().and_then(|this| this.stat());
    let this = this.map_err(|error| error.to_string())?;
    let ended = (this.cutime + this.cstime) as f64 / procfs::ticks_per_second() as f64;
    Ok(running + ended)
}

/// Bytes that a process had written to files since it started.
pub(crate) fn process_written_bytes(pid: u32) -> Result<u64, String> {
    let process = procfs::process::Process::new(pid as i32);
    let io = process.and_then(|process| process.io()).map_err(|error| error.to_string())?;
    Ok(io.write_bytes)
}

/// Bytes of memory that a process holds.
pub(crate) fn process_rss_bytes(pid: u32) -> Result<u64, String> {
    let process = procfs::process::Process::new(pid as i32);
    let stat = process.and_then(|process| process.stat()).map_err(|error| error.to_string())?;
    Ok(stat.rss_bytes().get())
}
