//! May this process make a ring, and if not, who says no?

use rustix::io::Errno;

use super::limits::{limit, rings};
use super::{Scene, Unreadable, shown_limit};
use crate::finding::{Outcome, Status};
use crate::limits::TABLE_PERCENT;
use crate::root::UringProbe;
use crate::value::grouped;

/// What is the matter, and what to do about it.
struct Cause {
    name: String,
    note: String,
    advice: &'static str,
}

pub(crate) fn permission(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let (major, minor) = scene.kernel()?;
    let disabled = scene.number_if_any("/proc/sys/kernel/io_uring_disabled")?;
    let wanted = "a ring with DEFER_TASKRUN (Linux 6.1)";
    let refused = match scene.root.probe_uring() {
        UringProbe::Refused(errno) => errno,
        UringProbe::Ok => {
            let current = format!("made one, Linux {major}.{minor}");
            let note = "the node's and the generator's engines can use io_uring";
            return Ok(Outcome::new(Status::Ok, current, note).wanted(wanted));
        }
        UringProbe::NotTried => return Ok(Outcome::unknown("no ring was made for the try")),
    };
    let Cause { name, note, advice } = cause(refused, disabled, (major, minor));
    Ok(Outcome::new(Status::Fail, format!("{name}, Linux {major}.{minor}"), note)
        .wanted(wanted)
        .value(advice))
}

fn cause(errno: i32, disabled: Option<u64>, kernel: (u32, u32)) -> Cause {
    let (name, note, advice) = match Errno::from_raw_os_error(errno) {
        Errno::PERM | Errno::ACCESS => match disabled {
            Some(2..) => (
                "EPERM",
                "kernel.io_uring_disabled switches it off for everyone",
                "tuning apply --only uring.disabled --risk high, or sysctl -w kernel.io_uring_disabled=0",
            ),
            Some(1) => (
                "EPERM",
                "kernel.io_uring_disabled keeps it for CAP_SYS_ADMIN and the group of io_uring_group",
                "add this user's group: sysctl -w kernel.io_uring_group=GID, or kernel.io_uring_disabled=0",
            ),
            Some(0) | None => (
                "EPERM",
                "no sysctl forbids it, so a seccomp filter or a security module does: containers often come with one",
                "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile",
            ),
        },
        Errno::NOSYS => (
            "ENOSYS",
            "a seccomp filter hides the call, or this kernel was built without CONFIG_IO_URING",
            "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile, or boot another kernel",
        ),
        Errno::INVAL => (
            "EINVAL",
            "this kernel does not know SINGLE_ISSUER and DEFER_TASKRUN",
            "boot Linux 6.1 or later",
        ),
        Errno::NOMEM => (
            "ENOMEM",
            if kernel < (5, 12) {
                "the rings do not fit the locked-memory limit"
            } else {
                "the kernel has no memory for a ring"
            },
            "see limits.memlock and mem.connections",
        ),
        Errno::MFILE | Errno::NFILE => {
            ("EMFILE", "no descriptor is left for a ring", "see limits.nofile")
        }
        other => {
            let name = format!("error {}", other.raw_os_error());
            let note = std::io::Error::from(other).to_string();
            return Cause { name, note, advice: "look the error up in io_uring_setup(2)" };
        }
    };
    Cause { name: name.to_owned(), note: note.to_owned(), advice }
}

pub(super) fn group(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let path = "/proc/sys/kernel/io_uring_group";
    let Some(text) = scene.read_if_any(path)? else {
        return Ok(Outcome::unsupported("this kernel (before 6.6) has no such group"));
    };
    let group: i64 = text.trim().parse().map_err(|_| super::form(path, &text))?;
    let disabled = scene.number_if_any("/proc/sys/kernel/io_uring_disabled")?.unwrap_or(0);
    let current = if group < 0 { "nobody's".to_owned() } else { format!("group {group}") };
    Ok(match (disabled, group) {
        (1, ..0) => {
            Outcome::new(Status::Warn, current, "rings are kept for a group, and there is none")
                .wanted("the node's group")
        }
        (1, _) => Outcome::new(Status::Note, current, "the node's user must be in it")
            .wanted("the node's group"),
        (_, _) => Outcome::new(
            Status::Ok,
            current,
            "has no meaning while kernel.io_uring_disabled is not 1",
        ),
    })
}

pub(super) fn direct_table(scene: &Scene<'_>) -> Result<Outcome, Unreadable> {
    let (soft, _) = limit(scene, "Max open files")?;
    let current = format!("{} in each ring", shown_limit(soft, grouped));
    if !scene.plan.direct_descriptors {
        return Ok(Outcome::new(
            Status::Ok,
            current,
            "the plan has no direct descriptors (--direct-descriptors)",
        ));
    }
    let rings = rings(scene.plan.connections, soft);
    let table = scene.plan.connections.saturating_mul(TABLE_PERCENT).div_ceil(100);
    let note = format!(
        "a ring's table holds as many connections as the soft limit: {} ring{} needed",
        grouped(rings),
        if rings == 1 { "" } else { "s" }
    );
    let status = if rings == 1 { Status::Ok } else { Status::Warn };
    Ok(Outcome::new(status, current, note)
        .wanted(format!("{} in one ring, or more rings", grouped(table)))
        .value(grouped(rings)))
}
