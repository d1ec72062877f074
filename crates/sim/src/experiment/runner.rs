use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::Sweep;
use crate::calcapp::{self, Measures, Scenario};

/// How often, and how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Runs of each point. Run `n` has the seed `first_seed + n`, at all points.
    pub runs: u32,
    /// The seed of the first run.
    pub first_seed: u64,
    /// So many runs at once.
    pub threads: NonZeroUsize,
}

impl Plan {
    /// How many runs that makes.
    pub fn total(&self, sweeps: &[Sweep]) -> u64 {
        let points: usize = sweeps.iter().flat_map(|it| &it.series).map(|it| it.points.len()).sum();
        u64::from(self.runs) * points as u64
    }
}

/// Runs every point of the sweeps, and leaves the measures there; calls `on_run` after each run.
/// The same plan gives the same measures, however many threads there are.
pub fn run(sweeps: &mut [Sweep], plan: Plan, mut on_run: impl FnMut()) {
    let points = || sweeps.iter().flat_map(|sweep| &sweep.series).flat_map(|series| &series.points);
    let scenarios: Vec<Scenario> = points().map(|point| point.scenario.clone()).collect();
    let runs = plan.runs as usize;
    let mut measures = vec![vec![Measures::default(); runs]; scenarios.len()];
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..plan.threads.get() {
            let (sender, next, scenarios) = (sender.clone(), &next, &scenarios);
            scope.spawn(move || {
                loop {
                    let task = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scenario) = scenarios.get(task / runs.max(1)) else { return };
                    let seed = plan.first_seed.wrapping_add((task % runs) as u64);
                    let result = calcapp::run(scenario, seed);
                    if sender.send((task, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (task, result) in results {
            measures[task / runs][task % runs] = result;
            on_run();
        }
    });
    let points = sweeps.iter_mut().flat_map(|it| &mut it.series).flat_map(|it| &mut it.points);
    for (point, measures) in points.zip(measures) {
        point.measures = measures;
    }
}
