use rserpool_wire::registry::PolicyType;

use super::{
    Axis, Experiment, LU, Metric, Origin, RAND, RR, Series, Sweep, abbreviation, with_policy,
};
use crate::calcapp::Scenario;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "delay",
    title: "Network delay: load that was true some time ago",
    about: "\
LCN 2005. Ten elements, target utilisation 80 %, s=1. The delay is one way from host to host: a request
pays four of them before an element begins, and loads are older by one.",
    runs: 12,
    sweeps,
};

const MILLIS: [f64; 10] = [0.0, 10.0, 20.0, 50.0, 100.0, 150.0, 200.0, 250.0, 375.0, 500.0];
const NONE: f64 = f64::NAN;

fn sweeps() -> Vec<Sweep> {
    [1.0, 3.0, 10.0].map(sweep).into()
}

fn sweep(ratio: f64) -> Sweep {
    let series = [LU, RR, RAND].map(|policy_type| {
        let scenario = |millis| Scenario { ratio, delay: millis / 1e3, ..with_policy(policy_type) };
        let series = Series::over(abbreviation(policy_type), &MILLIS, scenario);
        match known(policy_type, ratio) {
            Some(speeds) => series.knowing(Metric::HandlingSpeed, Origin::Independent, &speeds),
            None => series,
        }
    });
    Sweep {
        name: format!("delay-r{ratio}"),
        title: format!("Network delay, r={ratio}, s=1"),
        axis: Axis::linear("Delay d [ms]"),
        metrics: &[Metric::HandlingSpeed, Metric::Utilisation],
        series: series.into(),
    }
}

/// Handling speeds, where users have no more to do than they can.
fn known(policy_type: PolicyType, ratio: f64) -> Option<[f64; 10]> {
    Some(match policy_type {
        LU if ratio > 3.0 => [68.5, 65.0, NONE, 52.4, 41.0, NONE, 27.8, NONE, NONE, 11.8],
        LU if ratio > 1.0 => [56.1, 52.7, NONE, 39.6, 27.2, NONE, 12.0, NONE, NONE, NONE],
        LU => [20.4, 17.1, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE],
        RR if ratio > 3.0 => [24.8, 24.5, NONE, 23.3, 21.9, NONE, 19.2, NONE, NONE, 14.0],
        RR if ratio > 1.0 => [9.2, 8.8, NONE, 7.6, 6.4, NONE, 3.6, NONE, NONE, NONE],
        RAND if ratio > 3.0 => [10.6, 10.8, NONE, 10.1, 9.7, NONE, 9.2, NONE, NONE, 6.8],
        _ => return None,
    })
}
