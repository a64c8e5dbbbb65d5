//! CPU time of a process, user and system. In: a pid. Out: nanoseconds so far.
//!
//! Taken from `/proc/PID/task/*/schedstat`, which counts nanoseconds and has every thread in a
//! file of its own; where the kernel has no `schedstat`, from `/proc/PID/stat`, which counts
//! hundredths of a second.
//!
//! Never: sees what a thread used that has ended since; a thread that ends between two readings
//! makes their difference too small.

use std::fs;
use std::io;
use std::path::Path;

/// Nanoseconds in a tick of `/proc/PID/stat`: `USER_HZ` is 100 wherever Linux shows it.
const TICK_NS: u64 = 10_000_000;

/// The CPU time that the live threads of `pid` have used so far, in nanoseconds.
///
/// # Errors
/// `NotFound` if there is no such process, `InvalidData` if the kernel writes something else
/// than proc(5) says.
pub fn process_ns(pid: u32) -> io::Result<u64> {
    from_schedstat(pid).or_else(|_| from_stat(pid))
}

/// The CPU time that one thread of `pid` has used so far, in nanoseconds.
///
/// # Errors
/// `NotFound` if there is no such thread or the kernel has no `schedstat`, `InvalidData` if it writes something else
/// than proc(5) says.
pub fn thread_ns(pid: u32, thread: u32) -> io::Result<u64> {
    run_time_ns(Path::new(&format!("/proc/{pid}/task/{thread}/schedstat")))
}

fn from_schedstat(pid: u32) -> io::Result<u64> {
    let mut sum_ns: u64 = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        match run_time_ns(&task?.path().join("schedstat")) {
            Ok(ns) => sum_ns = sum_ns.saturating_add(ns),
            // The thread ended between the listing and the reading: but a kernel without
            // schedstat looks the same, and then nothing was summed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if sum_ns == 0 {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(sum_ns)
}

fn run_time_ns(schedstat: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(schedstat)?;
    parse_field(text.split_ascii_whitespace().next())
}

fn from_stat(pid: u32) -> io::Result<u64> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat"))?)
}

/// `utime` and `stime` are fields 14 and 15; the name in field 2 may hold spaces and brackets,
/// so the counting starts after its last bracket, at field 3.
fn parse_stat(text: &str) -> io::Result<u64> {
    let Some((_, fields)) = text.rsplit_once(')') else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut fields = fields.split_ascii_whitespace().skip(14 - 3);
    let ticks = parse_field(fields.next())?.saturating_add(parse_field(fields.next())?);
    Ok(ticks.saturating_mul(TICK_NS))
}

fn parse_field(field: Option<&str>) -> io::Result<u64> {
    field
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_cpu_time_grows_with_work() {
        let pid = std::process::id();
        let before_ns = process_ns(pid).unwrap();
        let mut work = 1_u64;
        while process_ns(pid).unwrap() <= before_ns {
            for i in 0..1_000_000 {
                work = std::hint::black_box(work.wrapping_mul(31).wrapping_add(i));
            }
        }
    }

    #[test]
    fn the_two_sources_agree() {
        let pid = std::process::id();
        let (fine_ns, coarse_ns) = (from_schedstat(pid).unwrap(), from_stat(pid).unwrap());
        // Threads of the test harness may end in between, and ticks round.
        assert!(
            fine_ns.abs_diff(coarse_ns) < 500_000_000,
            "{fine_ns} {coarse_ns}"
        );
    }

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let text = "7 (a) (b c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0";
        assert_eq!(parse_stat(text).unwrap(), 300 * TICK_NS);
    }

    #[test]
    fn no_such_process_is_not_found() {
        let error = process_ns(u32::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
