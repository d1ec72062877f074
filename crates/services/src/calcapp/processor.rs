//! Processor sharing: so many calculations a second, split evenly among the jobs.

use std::time::Duration;

use tokio::time::Instant;

/// What the jobs of an element share. Each gets the same: it is enough to know how much one that was
/// there from the start would have by now.
#[derive(Debug)]
pub(crate) struct Processor {
    /// Calculations a second, above 0.
    capacity: f64,
    jobs_max: usize,
    jobs: usize,
    /// Calculations of a job that was always there, at a moment.
    attained: f64,
    at: Instant,
}

/// A job's part of a processor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    size: u64,
    /// Done elsewhere.
    before: u64,
    /// What [`Processor::attained`] was at its start.
    since: f64,
}

/// Who waits for longer asks again in between.
const WAIT_MAX: Duration = Duration::from_secs(3600);

impl Processor {
    /// One without jobs; `capacity` in calculations a second, above 0.
    pub(crate) fn new(now: Instant, capacity: f64, jobs_max: usize) -> Self {
        Self { capacity, jobs_max, jobs: 0, attained: 0.0, at: now }
    }

    /// Takes a job on, of which `completed` are done; `None` where there are enough.
    pub(crate) fn admit(&mut self, now: Instant, size: u64, completed: u64) -> Option<Share> {
        if self.jobs >= self.jobs_max {
            return None;
        }
        self.advance(now);
        self.jobs += 1;
        Some(Share { size, before: completed, since: self.attained })
    }

    /// A job is done, or given up.
    pub(crate) fn leave(&mut self, now: Instant) {
        self.advance(now);
        self.jobs = self.jobs.saturating_sub(1);
    }

    /// The calculations of a job that are done by now.
    pub(crate) fn completed(&self, now: Instant, share: &Share) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let here = (self.attained_at(now) - share.since).round() as u64;
        share.before.saturating_add(here).min(share.size)
    }

    /// How long a job will take, if no other one comes or goes.
    pub(crate) fn remaining(&self, now: Instant, share: &Share) -> Duration {
        self.time_for(share.size - self.completed(now, share))
    }

    /// How long so many calculations of one job take.
    pub(crate) fn time_for(&self, calculations: u64) -> Duration {
        let seconds = as_f64(calculations) * as_f64(self.jobs as u64) / self.capacity;
        Duration::try_from_secs_f64(seconds).unwrap_or(WAIT_MAX).min(WAIT_MAX)
    }

    /// The part of the jobs it takes that are there: 0.0 to 1.0.
    pub(crate) fn load(&self) -> f64 {
        as_f64(self.jobs as u64) / as_f64(self.jobs_max.max(1) as u64)
    }

    fn advance(&mut self, now: Instant) {
        self.attained = self.attained_at(now);
        self.at = now;
        if self.jobs == 0 {
            // Nobody remembers; small numbers keep their digits.
            self.attained = 0.0;
        }
    }

    fn attained_at(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.attained + passed * self.capacity / as_f64(self.jobs.max(1) as u64)
    }
}

#[expect(clippy::cast_precision_loss, reason = "calculations beyond 2^53 need not be exact")]
fn as_f64(number: u64) -> f64 {
    number as f64
}
