//! May this process make a ring, and if not, who says no?

use rustix::io::Errno;

use super::{Unreadable, kernel, number_if_any};
use crate::finding::{Outcome, Plan, Status};
use crate::host::{Host, UringProbe};

/// What is the matter, and what to do about it.
struct Cause {
    name: String,
    note: String,
    advice: &'static str,
}

pub(super) fn permission(host: &dyn Host, _plan: &Plan) -> Result<Outcome, Unreadable> {
    let (major, minor) = kernel(host)?;
    let disabled = number_if_any(host, "/proc/sys/kernel/io_uring_disabled")?;
    let wanted = "a ring with DEFER_TASKRUN (Linux 6.1)".to_owned();
    let refused = match host.probe_uring() {
        UringProbe::Refused(errno) => errno,
        UringProbe::Ok => {
            let current = format!("made one, Linux {major}.{minor}");
            let note = "the node's and the generator's engines can use io_uring".to_owned();
            return Ok(Outcome { status: Status::Ok, current, wanted, note, value: String::new() });
        }
        UringProbe::NotTried => {
            return Ok(Outcome::unknown("no ring was made for the try".to_owned()));
        }
    };
    let Cause { name, note, advice } = cause(refused, disabled, (major, minor));
    let current = format!("{name}, Linux {major}.{minor}");
    Ok(Outcome { status: Status::Fail, current, wanted, note, value: advice.to_owned() })
}

fn cause(errno: i32, disabled: Option<u64>, kernel: (u32, u32)) -> Cause {
    let (name, note, advice) = match Errno::from_raw_os_error(errno) {
        Errno::PERM | Errno::ACCESS => match disabled {
            Some(2..) => (
                "EPERM",
                "kernel.io_uring_disabled switches it off for everyone",
                "sysctl -w kernel.io_uring_disabled=0",
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
