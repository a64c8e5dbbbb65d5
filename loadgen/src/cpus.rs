//! CPUs to run on. In: a list such as `0,2-5`. Out: numbers; a thread that stays where it is put.
//!
//! Never: guesses which CPUs there are; the kernel says.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs that this process may use.
///
/// # Errors
///
/// When the kernel does not say.
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect())
}

/// Keeps the calling thread on one CPU.
///
/// # Errors
///
/// When the kernel has no such CPU for it.
pub(crate) fn pin_thread(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// The CPUs of a list such as `0,2-5`.
///
/// # Errors
///
/// A sentence that names the part that is wrong.
pub(crate) fn parse(list: &str) -> Result<Vec<usize>, String> {
    let number = |text: &str| match text.trim().parse::<usize>() {
        Ok(cpu) if cpu < CpuSet::MAX_CPU => Ok(cpu),
        Ok(_) => Err(format!("'{text}' is past {}", CpuSet::MAX_CPU - 1)),
        Err(_) => Err(format!("'{text}' is no CPU number")),
    };
    let mut cpus = Vec::new();
    for part in list.split(',') {
        match part.split_once('-') {
            None => cpus.push(number(part)?),
            Some((from, to)) => {
                let (from, to) = (number(from)?, number(to)?);
                if from > to {
                    return Err(format!("'{part}' counts down"));
                }
                cpus.extend(from..=to);
            }
        }
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_cpus() {
        assert_eq!(parse("1"), Ok(vec![1]));
        assert_eq!(parse("0,2-4, 7"), Ok(vec![0, 2, 3, 4, 7]));
        for wrong in ["", "a", "3-1", "1-", "-1", "1,,2", "99999"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pinned_thread_has_one_cpu() {
        let cpu = allowed().expect("the kernel says")[0];
        std::thread::spawn(move || {
            pin_thread(cpu).expect("it is allowed");
            assert_eq!(allowed().expect("the kernel says"), [cpu]);
        })
        .join()
        .expect("the thread ends well");
    }
}
