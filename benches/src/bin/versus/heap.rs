//! The memory everyone allocates from. In: the process as it was started. Out: the same, started once
//! more with a heap of huge pages that is never given back.
//!
//! Where the kernel puts small pages decides which of them fall on the same sets of a cache, and so
//! who is fast past 64 KiB, until the process ends: luck, not work. Huge pages leave nothing to it.
//!
//! Never: changes what a user has set.

use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

const VARIABLE: &str = "GLIBC_TUNABLES";
/// Everything from the one heap; a GiB is more than any run allocates at once.
const TUNABLES: &str = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1073741824:\
                        glibc.malloc.trim_threshold=1073741824:glibc.malloc.top_pad=67108864";

/// Starts the process again with the tunables, unless it has some; another C library ignores them.
///
/// # Errors
///
/// If it can't be started again.
pub(crate) fn from_huge_pages() -> io::Result<()> {
    if env::var_os(VARIABLE).is_some() {
        return Ok(());
    }
    Err(Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(VARIABLE, TUNABLES)
        .exec())
}
