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
    let sweeps = run("utilisation", "", 6, short);
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
    // What least used makes of it is no more than what users happen to want: that differs more.
    let idle =
        |series: &Series, point: &Point| short(series, point) && !series.label.contains("LU");
    let busy = |series: &Series, point: &Point| short(series, point) && series.label.contains("LU");
    let sweeps = [run("dynamic", "exponential", 6, idle), run("dynamic", "exponential", 16, busy)];
    assert_close(&differences(&sweeps.concat(), Metric::Utilisation, |_| 0.5), 30);
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

/// The figure of this name, with a few runs of all its points.
fn figure(name: &str, runs: u32) -> Sweep {
    let experiment = name.split('-').next().unwrap_or_default();
    let mut sweeps = run(experiment, name, runs, |_, _| true);
    sweeps.retain(|sweep| sweep.name == name);
    sweeps.swap_remove(0)
}

fn speed(sweep: &Sweep, label: &str, x: f64) -> f64 {
    mean(sweep, label, x, Metric::HandlingSpeed)
}

#[test]
fn unequal_capacities_cost_what_queueing_theory_says() {
    let ends = |_: &Series, point: &Point| [1.0, 4.0, 8.0].contains(&point.x);
    let sweeps = run("capacities", "one-s1-r1", 2, ends);
    let sweeps: Vec<Sweep> =
        sweeps.into_iter().filter(|sweep| sweep.name == "capacities-one-s1-r1").collect();
    assert_close(&differences(&sweeps, Metric::Utilisation, |_| 0.7), 6);
    let used = |label, times| mean(&sweeps[0], label, times, Metric::Utilisation);
    // Whoever looks at load does not care; whoever goes round does.
    assert!(used("LU", 8.0) > 78.0);
    assert!(used("RR", 1.0) > used("RR", 4.0) + 10.0 && used("RR", 4.0) > used("RR", 8.0) + 10.0);
}

#[test]
fn old_loads_are_worse_than_none() {
    let ends = |_: &Series, point: &Point| [0.0, 100.0, 500.0].contains(&point.x);
    let sweeps = run("delay", "r10", 3, ends);
    let delay = |policy, millis| speed(&sweeps[0], policy, millis);
    assert!(delay("LU", 0.0) > 2.0 * delay("RR", 0.0));
    assert!(delay("LU", 500.0) < delay("RR", 500.0));
    assert!(delay("RAND", 500.0) < delay("LU", 500.0));
    assert_close(&differences(&sweeps, Metric::HandlingSpeed, |_| 1.5), 9);
}

#[test]
fn registrars_that_expect_load_make_up_for_delay() {
    let few = |series: &Series, point: &Point| {
        ["s=1", "s=10"].contains(&series.label.as_str()) && [0.0, 0.25, 0.5].contains(&point.x)
    };
    let sweeps = run("degradation", "degradation-r10", 4, few);
    let sweep = &sweeps[0];
    let rejects = |degradation| mean(sweep, "s=1", degradation, Metric::RejectsPerAccept);
    assert!(speed(sweep, "s=1", 0.25) > 3.0 * speed(sweep, "s=1", 0.0));
    assert!(rejects(0.0) > 1.0 && rejects(0.25) < 0.1);
    // Long requests do not notice.
    let long = [0.0, 0.25, 0.5].map(|degradation| speed(sweep, "s=10", degradation));
    assert!((long[2] / long[0] - 1.0).abs() < 0.1, "{long:?}");
}

#[test]
fn cookies_and_keep_alives_decide_what_a_failure_costs() {
    let cookies = figure("failures-cookies-lu", 4);
    let used = |every| mean(&cookies, "M=2", every, Metric::Utilisation);
    assert!(speed(&cookies, "M=2", 1e4) > 2.0 * speed(&cookies, "M=2", 1e7));
    assert!(used(1e7) > used(1e4) + 10.0);

    let restart = figure("failures-restart-lu", 4);
    let used = |size| mean(&restart, "uptime 50 s", size, Metric::Utilisation);
    assert!(used(5e7) > 1.5 * used(1e6) && used(1e6) > 24.0);
    assert!(speed(&restart, "uptime 50 s", 5e7) < 0.6 * speed(&restart, "uptime 50 s", 1e6));

    let clean = figure("failures-clean-lu", 4);
    let all = clean.series.iter().map(|series| speed(&clean, &series.label, 1.0));
    let all: Vec<f64> = all.collect();
    // Where all shutdowns are clean, keep-alives of sessions do not matter.
    assert!(all.iter().all(|speed| (speed / all[0] - 1.0).abs() < 0.02), "{all:?}");

    let session = figure("failures-session-lu", 4);
    for seconds in [1.0, 10.0] {
        let lost = mean(&session, "registrar's 1 s", seconds, Metric::FailoverSeconds);
        // Half an interval, a timeout, and where the user turns to next.
        let least = 1.5 * seconds;
        assert!((least..1.15 * least + 0.1).contains(&lost), "{lost} of {least}");
    }
}

#[test]
fn reports_do_what_keep_alives_of_registrars_do() {
    let endpoint = figure("failures-endpoint-lu", 2);
    assert!(speed(&endpoint, "M=5", 1.0) > 4.0 * speed(&endpoint, "M=5", 30.0));
    let reports = figure("failures-reports-lu", 2);
    let cheap = speed(&reports, "registrar's 30 s", 1.0);
    assert!(cheap > 0.8 * speed(&reports, "registrar's 1 s", 1.0));
    assert!(cheap > 2.0 * speed(&reports, "registrar's 30 s", 10.0));
    let cost = |label| mean(&reports, label, 1.0, Metric::AsapRate);
    assert!(cost("registrar's 30 s") < 0.7 * cost("registrar's 1 s"));
}

#[test]
fn suggestions_spread_elements_over_registrars() {
    let short = |series: &Series, point: &Point| {
        point.x == 200.0 && (series.label.starts_with("RR") || series.label.starts_with("LU"))
    };
    let sweeps = run("registrars", "four-r3", 2, short);
    for policy in ["LU", "RR"] {
        let share = |label: &str| mean(&sweeps[0], label, 200.0, Metric::ShareOfFirst);
        let (without, with) = (share(policy), share(&format!("{policy}, suggestion")));
        assert!(without > 70.0 && with < 40.0, "{policy}: {without} {with}");
    }
}

#[test]
fn attacks_succeed_without_limits_and_fail_with_them() {
    let ends = |_: &Series, point: &Point| [0.1, 0.5, 5.0].contains(&point.x);
    let sweeps = run("attacks", "user", 3, ends);
    let of = |name: &str| sweeps.iter().find(|sweep| sweep.name == name).unwrap();
    // As measured by a simulator that shares no code with this one.
    let peace = figure("attacks-users-limited", 3);
    for (policy, expected) in [("LU", 81.9), ("RR", 59.0), ("RAND", 32.5)] {
        let speed_of = |name| speed(of(name), policy, 0.1);
        let calm = speed(&peace, policy, 0.0);
        assert!((calm - expected).abs() < 5.0, "{policy}: {calm}");
        assert!(speed_of("attacks-user") < 5.0);
        assert!(speed_of("attacks-user-limited") > 0.9 * calm);
    }
    // Least used registers at each change of load, and so recovers sooner.
    assert!(speed(of("attacks-user"), "LU", 0.5) > 10.0 * speed(of("attacks-user"), "RR", 0.5));

    let sweeps = run("attacks", "attacks-element", 3, ends);
    let of = |name: &str| sweeps.iter().find(|sweep| sweep.name == name).unwrap();
    let (open, limited) = (of("attacks-element"), of("attacks-element-limited"));
    for policy in ["LU", "RR", "RAND"] {
        let calm = speed(&peace, policy, 0.0);
        assert!(speed(open, policy, 0.1) < 5.0);
        assert!(speed(limited, policy, 0.1) > 0.8 * calm);
    }
    // An element that is always idle is what least used looks for.
    let left = |policy| speed(open, policy, 5.0) / speed(&peace, policy, 0.0);
    assert!(left("LU") < left("RR"));
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
