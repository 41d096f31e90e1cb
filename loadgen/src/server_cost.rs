//! What a server process has cost so far, over all of its threads, to the nanosecond. Owns reading `/proc/PID/task`.

use std::fs;
use std::io;
use std::time::Duration;

/// The processor time of a process's threads that live now. A server's threads live as long as it does.
///
/// # Errors
/// When there is no such process, or the kernel keeps no schedule statistics.
pub fn processor_time(pid: u32) -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path().join("schedstat");
        match fs::read_to_string(&path) {
            Ok(text) => sum += first_field(&text)?,
            // It has ended since the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

fn first_field(schedstat: &str) -> io::Result<Duration> {
    let field = schedstat.split_whitespace().next().and_then(|field| field.parse().ok());
    field.map(Duration::from_nanos).ok_or_else(|| {
        io::Error::other("the kernel keeps no schedule statistics: it needs CONFIG_SCHED_INFO")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_more_and_more() {
        let first = processor_time(std::process::id()).unwrap();
        let mut work = 1u64;
        // Until the kernel's account shows it: it is brought up to date when a thread is looked at by the scheduler.
        while processor_time(std::process::id()).unwrap() <= first {
            work = std::hint::black_box(work.wrapping_mul(3));
        }
        assert!(processor_time(0).is_err());
    }

    #[test]
    fn a_page_that_is_none_says_so() {
        assert_eq!(first_field("17 4 2\n").unwrap(), Duration::from_nanos(17));
        assert!(first_field("").is_err());
    }
}
