//! What the system says of this process.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// Octets of memory that it has in use; `None` where the system does not say.
pub(super) fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}

/// Seconds of processors that it has taken, and how many threads it has.
pub(super) fn processor() -> Option<(f64, u64)> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may have blanks and brackets.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
    let ticks = number(11)? + number(12)?;
    Some((ticks as f64 / clock_ticks_per_second() as f64, number(17)?))
}

/// Descriptors that are open, and how many may be.
pub(super) fn descriptors() -> Option<(u64, Option<u64>)> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // One of them is the directory itself.
    Some((open.saturating_sub(1), getrlimit(Resource::Nofile).current))
}
