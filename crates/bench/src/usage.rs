//! What processes and threads use: processor time and memory, as Linux tells it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::time::{ClockId, clock_gettime};

/// How long all threads of a process have run so far.
pub(super) fn processor_time(process: u32) -> anyhow::Result<Duration> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).context("a process is gone")?;
    let mut sum = Duration::ZERO;
    for thread in threads {
        sum += schedstat(&thread?.path().join("schedstat").to_string_lossy())?;
    }
    Ok(sum)
}

/// How long this thread has run so far.
pub(super) fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The first number is the nanoseconds on a processor.
fn schedstat(path: &str) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(path).context("this system does not tell processor times")?;
    let nanos = text.split_whitespace().next().and_then(|word| word.parse().ok());
    Ok(Duration::from_nanos(nanos.context("an odd processor time")?))
}

/// Octets of memory that a process has in RAM.
pub(super) fn resident(process: u32) -> anyhow::Result<u64> {
    let text =
        fs::read_to_string(format!("/proc/{process}/status")).context("a process is gone")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilo = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kilo.context("this system does not tell sizes")? * 1024)
}

/// Refuses a host on which who asks takes the processor from who answers.
pub(super) fn second_processor() -> anyhow::Result<()> {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    ensure!(count >= 2, "this needs two processors, one for those who ask, and there is {count}");
    Ok(())
}
