//! What a client of the calculation service has seen.

use std::fmt;
use std::time::Duration;

use rserpool::wire::param::PoolHandle;
use serde_json::json;
use tokio::time::Instant;

use crate::output::{Format, Output};

/// How long a job took.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Delays {
    /// In the client's queue.
    pub(super) queueing: Duration,
    /// From the first attempt to the first acceptance.
    pub(super) startup: Duration,
    /// From there to the end, with all failovers.
    pub(super) processing: Duration,
}

/// Sums over jobs.
#[derive(Debug, Default)]
pub(super) struct Report {
    jobs: u32,
    calculations: u64,
    sums: [Duration; 3],
    pub(super) failovers: u64,
    pub(super) resumed: u64,
    pub(super) rejected: u64,
}

impl Delays {
    /// From when the job was queued, begun, accepted, and done.
    pub(super) fn of([queued, begun, accepted, done]: [Instant; 4]) -> Self {
        let (queueing, startup, processing) = (begun - queued, accepted - begun, done - accepted);
        Self { queueing, startup, processing }
    }

    fn parts(&self) -> [Duration; 3] {
        [self.queueing, self.startup, self.processing]
    }

    fn handling(&self) -> Duration {
        self.parts().iter().sum()
    }
}

impl fmt::Display for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [queueing, startup, processing] = self.parts().map(as_ms);
        let handling = as_ms(self.handling());
        write!(
            f,
            "handled in {handling} ms: queueing {queueing}, startup {startup}, processing {processing}"
        )
    }
}

impl Report {
    pub(super) fn add(&mut self, size: u64, delays: Delays) {
        self.jobs += 1;
        self.calculations = self.calculations.saturating_add(size);
        for (sum, part) in self.sums.iter_mut().zip(delays.parts()) {
            *sum = sum.saturating_add(part);
        }
    }

    /// Calculations a second of handling: the ratio of the sums, as the experiments define it.
    fn handling_speed(&self) -> Option<f64> {
        let handling = self.sums.iter().sum::<Duration>().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a speed is no more precise")]
        let calculations = self.calculations as f64;
        (handling > 0.0).then(|| (calculations / handling).round())
    }

    pub(super) fn print(&self, pool: &PoolHandle, output: &mut Output) -> anyhow::Result<()> {
        let means = self.sums.map(|sum| sum.checked_div(self.jobs).map(as_ms));
        let mean = |part: usize| means[part];
        let handling = self.sums.iter().sum::<Duration>().checked_div(self.jobs).map(as_ms);
        let Self { jobs, calculations, failovers, resumed, rejected, .. } = self;
        if output.format() == Format::Json {
            return Ok(output.json(&json!({
                "pool": pool.to_string(),
                "jobs": jobs,
                "calculations": calculations,
                "failovers": failovers,
                "resumed": resumed,
                "rejected": rejected,
                "queueing_ms": mean(0),
                "startup_ms": mean(1),
                "processing_ms": mean(2),
                "handling_ms": handling,
                "handling_speed": self.handling_speed(),
            }))?);
        }
        let (handling, speed) = (handling.unwrap_or_default(), self.handling_speed());
        Ok(output.line(format_args!(
            "{jobs} jobs, {handling} ms each, {} calculations a second; {failovers} failovers, \
             {resumed} of them resumed; {rejected} rejected",
            speed.unwrap_or_default()
        ))?)
    }
}

fn as_ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handling_speed_is_the_ratio_of_the_sums() {
        let mut report = Report::default();
        assert_eq!(report.handling_speed(), None);
        let delays = |queueing, startup, processing| {
            let [queueing, startup, processing] =
                [queueing, startup, processing].map(Duration::from_secs);
            Delays { queueing, startup, processing }
        };
        report.add(1000, delays(1, 0, 1));
        report.add(3000, delays(0, 2, 4));
        assert_eq!(report.handling_speed(), Some(500.0));
        let text = delays(1, 2, 3).to_string();
        assert_eq!(text, "handled in 6000 ms: queueing 1000, startup 2000, processing 3000");
    }
}
