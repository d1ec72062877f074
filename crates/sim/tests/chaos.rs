//! Hundreds of random worlds; the same seed is the same world.

use std::sync::atomic::{AtomicU64, Ordering};

use rserpool_sim::chaos::{self, Report};

const SEEDS: u64 = 200;

#[test]
fn no_world_violates_an_invariant() {
    let next = AtomicU64::new(0);
    let violated = |report: &Report| !report.violations.is_empty();
    let worker = || {
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < SEEDS);
        let reports = std::iter::from_fn(take).map(|seed| chaos::run(seed, false));
        reports.filter(violated).collect::<Vec<Report>>()
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let failed: Vec<Report> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let lines: Vec<String> = failed
        .iter()
        .map(|report| format!("{}\n  {}", report.violations[0], report.replay()))
        .collect();
    assert!(lines.is_empty(), "{} worlds failed:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in [3, 17, 20_261_123] {
        let [one, two] = [0, 1].map(|_| chaos::run(seed, true));
        assert!(one.trace.len() > 100);
        assert_eq!(one.trace, two.trace);
        assert_eq!(one.counts, two.counts);
        // Nobody who looks changes anything.
        assert_eq!(one.counts, chaos::run(seed, false).counts);
    }
}

#[test]
fn worlds_are_busy() {
    let reports: Vec<Report> = (0..20).map(|seed| chaos::run(seed, false)).collect();
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    assert!(sum(|report| report.counts.faults) > 200);
    assert!(sum(|report| report.counts.lost) > 200);
    assert!(sum(|report| report.counts.resolved) > 2000);
    assert!(sum(|report| report.counts.failed) > 20);
    assert!(sum(|report| report.counts.messages) > 20_000);
    assert!(sum(|report| report.counts.replies) > 2000);
    assert!(sum(|report| report.counts.failovers) > 50);
    assert!(sum(|report| report.counts.resumed) > 30);
    assert!(sum(|report| report.counts.suggestions) > 20);
}
