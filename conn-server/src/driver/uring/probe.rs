//! Asks the kernel, before any thread starts, whether the ring driver can be used, and explains a no.

use io_uring::{Probe, opcode};

use super::buffers::Buffers;
use super::{UringConfig, ring};

/// Sets a small ring up with everything that the driver uses, and takes it down again.
///
/// # Errors
/// What is missing and what to do about it, in words.
pub fn probe() -> Result<String, String> {
    let config =
        UringConfig { submission_entries: 8, completion_entries: 16, ..UringConfig::default() };
    let (uring, flags) = ring::build(&config).map_err(|error| explain(&error))?;
    if !uring.params().is_feature_submit_stable() || !uring.params().is_feature_ext_arg() {
        return Err("this kernel's io_uring is too old: Linux 6.1 or later is needed".to_owned());
    }
    let submitter = uring.submitter();
    let mut probe = Probe::new();
    submitter.register_probe(&mut probe).map_err(|error| explain(&error))?;
    for (code, name) in OPERATIONS {
        if !probe.is_supported(code) {
            return Err(format!("this kernel's io_uring has no {name}"));
        }
    }
    submitter.register_files_sparse(8).map_err(|error| explain(&error))?;
    let buffers = Buffers::new(&submitter, 8, 256).map_err(|error| explain(&error))?;
    // The ring first: nothing is in flight, but the order is the rule.
    drop(uring);
    drop(buffers);
    Ok(flags.to_owned())
}

/// What the driver submits.
const OPERATIONS: [(u8, &str); 8] = [
    (opcode::AcceptMulti::CODE, "accept"),
    (opcode::RecvMulti::CODE, "recv"),
    (opcode::Send::CODE, "send"),
    (opcode::SendMsg::CODE, "sendmsg"),
    (opcode::Shutdown::CODE, "shutdown"),
    (opcode::AsyncCancel2::CODE, "cancel"),
    (opcode::Close::CODE, "close"),
    (opcode::PollAdd::CODE, "poll"),
];

/// Why io_uring cannot be had, and what to do about it.
pub(in crate::driver) fn explain(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            let setting = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
            match setting.as_deref().map(str::trim) {
                Ok(value @ ("1" | "2")) => format!(
                    "kernel.io_uring_disabled is {value}: set it to 0 (sysctl \
                     kernel.io_uring_disabled=0)"
                ),
                _ => "a security policy forbids io_uring (EPERM): containers need a seccomp \
                      profile that allows io_uring_setup, io_uring_enter and io_uring_register"
                    .to_owned(),
            }
        }
        Some(libc::ENOSYS) => "the kernel has no io_uring, or a seccomp filter hides it (ENOSYS): \
             allow io_uring_setup, io_uring_enter and io_uring_register"
            .to_owned(),
        Some(libc::ENOMEM) => {
            "not enough lockable memory for the ring (ENOMEM): raise RLIMIT_MEMLOCK".to_owned()
        }
        Some(libc::EINVAL) => {
            "this kernel's io_uring is too old: Linux 6.1 or later is needed".to_owned()
        }
        _ => format!("setting a ring up failed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        for (code, word) in [
            (libc::EPERM, "io_uring"),
            (libc::ENOSYS, "seccomp"),
            (libc::ENOMEM, "RLIMIT_MEMLOCK"),
            (libc::EINVAL, "6.1"),
            (libc::EMFILE, "failed"),
        ] {
            let text = explain(&Error::from_raw_os_error(code));
            assert!(text.contains(word), "{text}");
        }
    }
}
