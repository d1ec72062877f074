//! The published experiments, in short: what was published, what follows from the model, and what the
//! authors say of the shape of the rest has to come out here, too.

use std::num::NonZeroUsize;
use std::thread;

use rserpool_sim::experiment::{self, Experiment, Metric, Plan, Point, Series, Sweep};

/// The figures of an experiment whose names say so, with as many runs.
fn run(name: &str, only: &str, runs: u32, keep: impl Fn(&Series, &Point) -> bool) -> Vec<Sweep> {
    let Some(experiment) = Experiment::of(name) else { panic!("no experiment {name}") };
    let mut sweeps = (experiment.sweeps)();
    sweeps.retain(|sweep| sweep.name.contains(only));
    for sweep in &mut sweeps {
        for series in &mut sweep.series {
            let all = series.clone();
            series.points.retain(|point| keep(&all, point));
        }
        sweep.series.retain(|series| !series.points.is_empty());
    }
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    experiment::run(&mut sweeps, Plan { runs, first_seed: 0, threads }, || {});
    assert!(sweeps.iter().any(|sweep| !sweep.series.is_empty()), "{name} has no {only}");
    sweeps
}

/// The mean of a series at a point.
fn mean(sweep: &Sweep, label: &str, x: f64, metric: Metric) -> f64 {
    let series = sweep.series.iter().find(|series| series.label == label);
    let series = series.unwrap_or_else(|| panic!("{} has no {label}", sweep.name));
    let point = series.points.iter().find(|point| point.x == x);
    point.unwrap_or_else(|| panic!("{label} has no {x}")).estimate(metric).mean
}

/// Every point with something known of a metric, in words and by how much it is off, and then by how
/// much it may be.
fn differences(
    sweeps: &[Sweep],
    metric: Metric,
    tolerance: impl Fn(&Point) -> f64,
) -> Vec<(String, f64, f64)> {
    let mut differences = Vec::new();
    for sweep in sweeps {
        for series in &sweep.series {
            for point in &series.points {
                let Some(known) = point.known(metric) else { continue };
                let ours = point.estimate(metric).mean;
                let what = format!(
                    "{}, {} at {}: {ours:.2}, {} {:.2}",
                    sweep.name,
                    series.label,
                    point.x,
                    known.origin.label(),
                    known.value
                );
                differences.push((what, (ours - known.value).abs(), tolerance(point)));
            }
        }
    }
    differences
}

fn assert_close(differences: &[(String, f64, f64)], count: usize) {
    assert_eq!(differences.len(), count);
    let far = differences.iter().filter(|(_, difference, tolerance)| difference > tolerance);
    let far: Vec<&str> = far.map(|(what, ..)| what.as_str()).collect();
    assert!(far.is_empty(), "too far off:\n{}", far.join("\n"));
}

fn short(_: &Series, point: &Point) -> bool {
    point.scenario.size < 2e6
}

fn long(_: &Series, point: &Point) -> bool {
    point.scenario.size > 2e6
}

#[test]
fn utilisation_is_as_published_where_requests_are_short() {
    let sweeps = run("utilisation", "", 8, short);
    assert_close(&differences(&sweeps, Metric::Utilisation, |_| 0.5), 27);
}

#[test]
fn utilisation_is_as_published_where_requests_are_long() {
    let sweeps = run("utilisation", "", 24, long);
    let tolerance = |point: &Point| point.estimate(Metric::Utilisation).half_width + 1.8;
    assert_close(&differences(&sweeps, Metric::Utilisation, tolerance), 27);
}

#[test]
fn dynamic_pools_are_as_published() {
    let sweeps = run("dynamic", "exponential", 16, short);
    assert_close(&differences(&sweeps, Metric::Utilisation, |_| 0.5), 30);
    let sweeps = run("dynamic", "exponential", 32, long);
    assert_close(&differences(&sweeps, Metric::Utilisation, |_| 1.0), 30);
}

#[test]
fn only_random_selection_does_not_care_how_sizes_are_distributed() {
    let sweeps = run("dynamic", "", 4, |_, point| point.scenario.size < 2e6 && point.x < 3.0);
    let of = |name: &str, label: &str, ratio: f64| {
        let sweep = sweeps.iter().find(|sweep| sweep.name == name).unwrap();
        mean(sweep, label, ratio, Metric::Utilisation)
    };
    for (ratio, uptime) in [(1.0, 5), (1.0, 100), (2.0, 5), (2.0, 100)] {
        let random = ["exponential", "linear", "uniform"]
            .map(|sizes| of(&format!("dynamic-{sizes}-{uptime}"), "RAND, s=1", ratio));
        assert!((random[0] - random[1]).abs() < 0.8, "{random:?}");
        assert!((random[0] - random[2]).abs() < 0.8, "{random:?}");
    }
    // Round robin is as good as least used where sizes are almost equal and the pool is static.
    let still = of("dynamic-linear-100", "RR, s=1", 1.0);
    assert!((still - of("dynamic-linear-100", "LU, s=1", 1.0)).abs() < 1.0, "{still}");
    let moving = of("dynamic-linear-5", "RR, s=1", 1.0);
    assert!((13.0..16.0).contains(&(still - moving)), "{still} {moving}");
    // Least used keeps what it should everywhere.
    for sweep in &sweeps {
        for ratio in [1.0, 2.0] {
            let used = mean(sweep, "LU, s=1", ratio, Metric::Utilisation);
            assert!((used - 90.0).abs() < 1.0, "{}: {used}", sweep.name);
        }
    }
}

#[test]
fn the_law_of_increments_is_exact() {
    let sweeps = run("increment", "", 2, |_, _| true);
    assert_close(&differences(&sweeps, Metric::ElementsUsed, |_| 0.0), 34);
    for point in sweeps.iter().flat_map(|it| &it.series).flat_map(|it| &it.points) {
        let used = point.estimate(Metric::Utilisation);
        let most = point.known(Metric::Utilisation).unwrap().value;
        assert!(used.low() <= most + 0.1, "{} of {most} at {}", used.mean, point.x);
        assert!(used.mean > 0.85 * most, "{} of {most} at {}", used.mean, point.x);
    }
}

#[test]
fn every_experiment_has_names_of_its_own_and_points() {
    let mut names = std::collections::BTreeSet::new();
    for experiment in experiment::ALL {
        assert!(names.insert(experiment.name.to_owned()), "{}", experiment.name);
        for sweep in (experiment.sweeps)() {
            assert!(names.insert(format!("{}.csv", sweep.name)), "{}", sweep.name);
            assert!(!sweep.metrics.is_empty());
            assert!(sweep.series.iter().all(|series| !series.points.is_empty()));
        }
    }
    assert!(Experiment::of("utilisation").is_some() && Experiment::of("chaos").is_none());
}

#[test]
fn the_same_seed_is_the_same_experiment_on_any_number_of_threads() {
    let measures = [1, 3].map(|threads| {
        let mut sweeps = (Experiment::of("attacks").unwrap().sweeps)();
        sweeps.truncate(1);
        let threads = NonZeroUsize::new(threads).unwrap();
        experiment::run(&mut sweeps, Plan { runs: 1, first_seed: 5, threads }, || {});
        let points = sweeps.iter().flat_map(|it| &it.series).flat_map(|it| &it.points);
        points.flat_map(|point| point.measures.clone()).collect::<Vec<_>>()
    });
    assert_eq!(measures[0], measures[1]);
    assert!(!measures[0].is_empty());
}
