//! How much is logged: a token bucket for each kind of line, and one for the octets of warnings.
//!
//! A kind is a place in the program that logs. What is held back is counted, and told every
//! [`REPORT_INTERVAL`] in one line for each kind.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, info, warn};

use super::queue::Queue;

/// The target of lines about the log itself; they are never held back.
pub(super) const OWN: &str = "rserpool::log";

/// How often it is told what was held back.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Warnings and errors of one kind: so many at once, and so many a second in the long run.
const WARNINGS: Rate = Rate { burst: 10.0, per_second: 0.2 };
/// What happens (`-v`), of one kind. More detail than that is not limited: who asks for it wants it.
const NEWS: Rate = Rate { burst: 100.0, per_second: 20.0 };
/// Octets of all warnings and errors: with the lines about what was held back, at most 64 KiB in
/// any minute.
const OCTETS: Rate = Rate { burst: 16_384.0, per_second: 400.0 };
/// So many kinds have a line of their own in a report; what is left is one line together.
const REPORTED_MAX: usize = 4;

/// How fast a bucket gets full, and how much it holds.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: f64,
    per_second: f64,
}

impl Rate {
    fn of(level: Level) -> Option<Self> {
        match level {
            Level::ERROR | Level::WARN => Some(WARNINGS),
            Level::INFO => Some(NEWS),
            _ => None,
        }
    }
}

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { rate, tokens: rate.burst, filled_at: now }
    }

    /// Takes so many tokens, if they are there.
    fn take(&mut self, now: Instant, count: f64) -> bool {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.filled_at = now;
        self.tokens = elapsed.mul_add(self.rate.per_second, self.tokens).min(self.rate.burst);
        let is_there = count <= self.tokens;
        if is_there {
            self.tokens -= count;
        }
        is_there
    }
}

/// Where a line comes from.
#[derive(Debug)]
pub(super) struct Origin {
    level: Level,
    callsite: Identifier,
    is_own: bool,
}

impl Origin {
    pub(super) fn of(metadata: &Metadata<'_>) -> Self {
        let is_own = metadata.target() == OWN;
        Self { level: *metadata.level(), callsite: metadata.callsite(), is_own }
    }
}

/// What was logged of one kind.
#[derive(Debug)]
struct Kind {
    level: Level,
    bucket: Bucket,
    held_back: u64,
    /// When the first one was held back that is not told of yet.
    since: Instant,
    /// What that one said.
    message: String,
}

/// What was held back of one kind.
#[derive(Debug, Eq, PartialEq)]
struct Report {
    level: Level,
    held_back: u64,
    elapsed: Duration,
    message: String,
}

/// The buckets of this process.
#[derive(Debug)]
pub(super) struct Limits {
    queue: Arc<Queue>,
    buckets: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    /// One for each place that logs, so there is an end to them.
    kinds: HashMap<Identifier, Kind>,
    octets: Bucket,
}

impl Limits {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        let octets = Bucket::full(OCTETS, Instant::now());
        Self { queue, buckets: Mutex::new(Buckets { kinds: HashMap::new(), octets }) }
    }

    /// Whether this event may become a line.
    pub(super) fn admits(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        let Some(rate) = Rate::of(*metadata.level()).filter(|_| metadata.target() != OWN) else {
            return true;
        };
        let now = Instant::now();
        let mut buckets = self.buckets();
        let kind = buckets.kinds.entry(metadata.callsite()).or_insert_with(|| Kind {
            level: *metadata.level(),
            bucket: Bucket::full(rate, now),
            held_back: 0,
            since: now,
            message: String::new(),
        });
        if kind.held_back == 0 {
            // In case this one, or a later one, is held back.
            kind.message.clear();
            event.record(&mut Message(&mut kind.message));
        }
        let is_admitted = kind.bucket.take(now, 1.0);
        if !is_admitted {
            self.hold_back(kind, now);
        }
        is_admitted
    }

    /// Whether there is room for a line of this length.
    pub(super) fn has_room(&self, origin: &Origin, octets: usize) -> bool {
        if origin.level > Level::WARN || origin.is_own {
            return true;
        }
        let now = Instant::now();
        let mut buckets = self.buckets();
        #[expect(clippy::cast_precision_loss, reason = "no line is that long")]
        let has_room = buckets.octets.take(now, octets as f64);
        if !has_room && let Some(kind) = buckets.kinds.get_mut(&origin.callsite) {
            self.hold_back(kind, now);
        }
        has_room
    }

    fn hold_back(&self, kind: &mut Kind, now: Instant) {
        if kind.held_back == 0 {
            kind.since = now;
            self.queue.report_at(now + REPORT_INTERVAL);
        }
        kind.held_back += 1;
    }

    /// Logs what was held back, a line for each kind.
    pub(super) fn report(&self) {
        for Report { level, held_back, elapsed, message } in self.take(Instant::now()) {
            let seconds = elapsed.as_secs().max(1);
            if level == Level::INFO {
                info!(target: OWN, held_back, seconds, "… and {held_back} more in {seconds} s: {message}");
            } else {
                warn!(target: OWN, held_back, seconds, "… and {held_back} more in {seconds} s: {message}");
            }
        }
    }

    fn take(&self, now: Instant) -> Vec<Report> {
        let mut buckets = self.buckets();
        let held_back = buckets.kinds.values_mut().filter(|kind| kind.held_back > 0);
        let reports = held_back
            .map(|kind| Report {
                level: kind.level,
                held_back: std::mem::take(&mut kind.held_back),
                elapsed: now.saturating_duration_since(kind.since),
                message: std::mem::take(&mut kind.message),
            })
            .collect();
        drop(buckets);
        shortened(reports)
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        // Counters are right however a thread has ended.
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The greatest of these, and all others as one.
fn shortened(mut reports: Vec<Report>) -> Vec<Report> {
    reports.sort_by(|a, b| b.held_back.cmp(&a.held_back).then_with(|| a.message.cmp(&b.message)));
    let others = reports.split_off(reports.len().min(REPORTED_MAX));
    let level = others.iter().map(|report| report.level).min();
    reports.extend(level.map(|level| Report {
        level,
        held_back: others.iter().map(|report| report.held_back).sum(),
        elapsed: others.iter().map(|report| report.elapsed).max().unwrap_or_default(),
        message: "other kinds of lines".into(),
    }));
    reports
}

/// The message of an event, its beginning at least.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        const OCTETS_MAX: usize = 80;
        if field.name() == "message" {
            // Writing to a string does not fail.
            let _ = write!(self.0, "{value:?}");
            let end =
                (0..=OCTETS_MAX.min(self.0.len())).rev().find(|&at| self.0.is_char_boundary(at));
            self.0.truncate(end.unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::full(Rate { burst: 10.0, per_second: 2.0 }, start);
        let mut taken = |at| (0..100).filter(|_| bucket.take(start + at, 1.0)).count();
        assert_eq!(taken(Duration::ZERO), 10);
        assert_eq!(taken(SECOND), 2);
        assert_eq!(taken(SECOND * 3), 4);
        assert_eq!(taken(SECOND * 3600), 10);
    }

    #[test]
    fn what_does_not_fit_leaves_what_is_there() {
        let start = Instant::now();
        let mut bucket = Bucket::full(OCTETS, start);
        assert!(!bucket.take(start, OCTETS.burst + 1.0));
        assert!(bucket.take(start, OCTETS.burst));
    }

    #[test]
    fn a_report_has_a_line_for_the_greatest_kinds_and_one_for_the_others() {
        let report = |number: u64| Report {
            level: if number == 1 { Level::WARN } else { Level::INFO },
            held_back: number,
            elapsed: SECOND * u32::try_from(number).unwrap(),
            message: format!("kind {number}"),
        };
        let told = shortened((1..=7).map(report).collect());
        let counts: Vec<u64> = told.iter().map(|report| report.held_back).collect();
        assert_eq!(counts, [7, 6, 5, 4, 1 + 2 + 3]);
        let others = told.last().unwrap();
        assert_eq!((others.level, others.elapsed), (Level::WARN, SECOND * 3));
        assert_eq!(shortened(vec![report(1)]), [report(1)]);
        assert_eq!(shortened(Vec::new()), []);
    }

    #[test]
    fn a_minute_of_warnings_fits_into_64_kib() {
        let line_octets_max = 300.0;
        let reports = 60.0 / REPORT_INTERVAL.as_secs_f64() * (REPORTED_MAX as f64 + 1.0);
        let octets = OCTETS.burst + 60.0 * OCTETS.per_second + reports * line_octets_max;
        assert!(octets <= 65_536.0, "{octets}");
    }
}
