//! What the process takes of the machine. In: the kernel's word. Out: numbers, those that it tells.
//!
//! Never: takes longer the more descriptors are open.

use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What the process takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: Option<u64>,
    /// Linux 6.2 and later tell.
    pub(super) open_descriptors: Option<u64>,
    /// None: there is no limit.
    pub(super) descriptors_max: Option<u64>,
}

impl Process {
    pub(super) fn look() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            resident_bytes: resident_bytes(),
            // Its size is their number; before, it was 0, and to count them would take ever longer.
            open_descriptors: fs::metadata("/proc/self/fd")
                .map(|folder| folder.len())
                .ok()
                .filter(|count| *count > 0),
            descriptors_max: getrlimit(Resource::Nofile).current,
        }
    }
}

fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_something() {
        let process = Process::look();
        assert!(process.cpu_seconds > 0.0, "{process:?}");
        assert!(process.resident_bytes > Some(100_000), "{process:?}");
        // Where the kernel does not tell, it is left out.
        assert!(process.open_descriptors.is_none_or(|count| count >= 3));
        assert!(process.descriptors_max.is_none_or(|max| max > 3));
    }
}
