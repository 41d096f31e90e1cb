//! What a server process has cost so far, over all of its threads, to the nanosecond. Owns reading `/proc/PID/task`.

use std::fs;
use std::io;
use std::time::Duration;

/// What threads have had of the processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Time on a processor.
    pub cpu: Duration,
    /// Time runnable, waiting for one.
    pub waited: Duration,
}

/// The cost of a process's threads that live now. A server's threads live as long as it does.
///
/// # Errors
/// When there is no such process, or the kernel keeps no schedule statistics.
pub fn cost(pid: u32) -> io::Result<Cost> {
    let mut sum = Cost::default();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path().join("schedstat");
        match fs::read_to_string(&path) {
            Ok(text) => {
                let thread = read(&text)?;
                sum.cpu += thread.cpu;
                sum.waited += thread.waited;
            }
            // It has ended since the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

fn read(schedstat: &str) -> io::Result<Cost> {
    let mut fields =
        schedstat.split_whitespace().map(|field| field.parse().map(Duration::from_nanos));
    match (fields.next(), fields.next()) {
        (Some(Ok(cpu)), Some(Ok(waited))) => Ok(Cost { cpu, waited }),
        _ => Err(io::Error::other(
            "the kernel keeps no schedule statistics: it needs CONFIG_SCHED_INFO",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_more_and_more() {
        let first = cost(std::process::id()).unwrap().cpu;
        let mut work = 1u64;
        // Until the kernel's account shows it: it is brought up to date when a thread is looked at by the scheduler.
        while cost(std::process::id()).unwrap().cpu <= first {
            work = std::hint::black_box(work.wrapping_mul(3));
        }
        assert!(cost(0).is_err());
    }

    #[test]
    fn a_page_that_is_none_says_so() {
        let (cpu, waited) = (Duration::from_nanos(17), Duration::from_nanos(4));
        assert_eq!(read("17 4 2\n").unwrap(), Cost { cpu, waited });
        assert!(read("").is_err());
    }
}
