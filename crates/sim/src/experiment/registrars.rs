use super::{Axis, Experiment, LU, Metric, RAND, RR, Series, Sweep, abbreviation, with_policy};
use crate::calcapp::{KeepAlive, RegistrarFailures, Scenario};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "registrars",
    title: "Registrars that fail, with and without takeover suggestion",
    about: "\
AINA 2009 and SNPD 2009. Five registrars, a hundred elements, s=10. Registrars are up and down for
exponentially distributed times, 100 s down on the average. Without suggestion elements gather where
registrars last; with it a registrar asks a better one to take its elements over, one by one. Which
request sizes were published is not known.",
    runs: 12,
    sweeps,
};

const UPTIMES: [f64; 7] = [200.0, 300.0, 400.0, 500.0, 625.0, 775.0, 1000.0];

fn sweeps() -> Vec<Sweep> {
    let mut sweeps = Vec::new();
    for (ratio, target, delay) in [(10.0, 0.8, 0.01), (3.0, 0.5, 0.025)] {
        for first_is_safe in [true, false] {
            let base = Scenario { ratio, target, delay, ..Scenario::default() };
            sweeps.push(sweep(&base, first_is_safe));
        }
    }
    sweeps
}

fn sweep(base: &Scenario, first_is_safe: bool) -> Sweep {
    let mut series = Vec::new();
    for policy_type in [LU, RR, RAND] {
        for takeover_suggestion in [false, true] {
            let with = if takeover_suggestion { ", suggestion" } else { "" };
            let label = format!("{}{with}", abbreviation(policy_type));
            series.push(Series::over(label, &UPTIMES, |uptime| Scenario {
                selection: with_policy(policy_type).selection,
                elements: 100,
                size: 1e7,
                registrars: 5,
                registrar_failures: Some(RegistrarFailures {
                    uptime,
                    downtime: 100.0,
                    first_is_safe,
                }),
                takeover_suggestion,
                endpoint_keep_alive: KeepAlive { interval: 30.0, timeout: 5.0 },
                ..base.clone()
            }));
        }
    }
    let which = if first_is_safe { "registrar 1 never fails" } else { "all of them fail" };
    let name = if first_is_safe { "four" } else { "five" };
    Sweep {
        name: format!("registrars-{name}-r{}", base.ratio),
        title: format!("Registrars that fail, r={}, {which}", base.ratio),
        axis: Axis::linear("Uptime of registrars [s]"),
        metrics: &[
            Metric::HandlingSpeed,
            Metric::Utilisation,
            Metric::ShareOfFirst,
            Metric::Takeovers,
            Metric::UpdateRate,
        ],
        series,
    }
}
