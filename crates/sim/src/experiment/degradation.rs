use rserpool_wire::registry::PolicyType;

use super::{Axis, Experiment, LU, Metric, Origin, Series, Sweep, abbreviation};
use crate::calcapp::{KeepAlive, Scenario, Selection};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "degradation",
    title: "Least used with degradation: registrars that expect what they cause",
    about: "\
ICDS 2008. Ten elements, target utilisation 80 %, half a second from host to host unless something
else is said. With least used, all users turn to the element that was idle last; with degradation, a
registrar counts each selection as load L until the element says better.",
    runs: 12,
    sweeps,
};

const LUD: PolicyType = PolicyType::LEAST_USED_DEGRADATION;
const DEGRADATIONS: [f64; 13] =
    [0.0, 0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0];
const RATIOS: [f64; 10] = [1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 25.0, 50.0, 100.0];
const SIZES: [f64; 6] = [2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7];
const NONE: f64 = f64::NAN;

fn sweeps() -> Vec<Sweep> {
    let mut sweeps: Vec<Sweep> = [10.0, 25.0].map(over_degradation).into();
    sweeps.push(over_ratio());
    sweeps.extend([0.0, 200.0, 500.0, 1000.0].map(over_size));
    sweeps
}

fn base(policy_type: PolicyType, degradation: f64) -> Scenario {
    let degradation = (policy_type == LUD).then_some(degradation);
    Scenario {
        selection: Selection { policy_type, degradation },
        delay: 0.5,
        session_keep_alive: KeepAlive { interval: 10.0, timeout: 10.0 },
        endpoint_keep_alive: KeepAlive { interval: 5.0, timeout: 5.0 },
        ..Scenario::default()
    }
}

/// Elements take no more than four requests at a time.
fn over_degradation(ratio: f64) -> Sweep {
    let series = [1e6, 5e6, 1e7, 2.5e7].map(|size| {
        let scenario = |degradation| Scenario {
            ratio,
            size,
            capacity_per_job: 250_000.0,
            ..base(LUD, degradation)
        };
        let series = Series::over(format!("s={}", size / 1e6), &DEGRADATIONS, scenario);
        let (speeds, rejects) = if size > 1e6 {
            return series;
        } else if ratio > 10.0 {
            ([7.0, NONE, NONE, NONE, NONE, 22.0, NONE, NONE, 22.4], [NONE; 9])
        } else {
            (
                [3.9, NONE, NONE, 15.8, NONE, 18.6, NONE, NONE, 19.0],
                [2.0, NONE, NONE, 0.16, NONE, 0.036, NONE, NONE, 0.021],
            )
        };
        let series = series.knowing(Metric::HandlingSpeed, Origin::Independent, &speeds);
        series.knowing(Metric::RejectsPerAccept, Origin::Independent, &rejects)
    });
    Sweep {
        name: format!("degradation-r{ratio}"),
        title: format!("LUD, r={ratio}, four requests at a time, d=500 ms"),
        axis: Axis::linear("Load degradation L"),
        metrics: &[Metric::HandlingSpeed, Metric::RejectsPerAccept],
        series: series.into(),
    }
}

fn over_ratio() -> Sweep {
    let series = [LU, LUD].map(|policy_type| {
        let scenario = |ratio| Scenario { ratio, ..base(policy_type, 0.2) };
        Series::over(abbreviation(policy_type), &RATIOS, scenario)
    });
    Sweep {
        name: "degradation-ratio".into(),
        title: "LU and LUD (L=0.2), s=1, d=500 ms".into(),
        axis: Axis::logarithmic("PU:PE ratio r"),
        metrics: &[Metric::HandlingSpeed, Metric::Utilisation],
        series: series.into(),
    }
}

fn over_size(millis: f64) -> Sweep {
    let series = [LU, LUD].map(|policy_type| {
        let scenario = |size| Scenario { size, delay: millis / 1e3, ..base(policy_type, 0.2) };
        let series = Series::over(abbreviation(policy_type), &SIZES, scenario);
        let speeds = match policy_type {
            LU => [NONE, NONE, 11.9, 28.5, NONE, 53.5],
            _ => [NONE, NONE, 19.0, 34.8, NONE, 55.4],
        };
        if millis == 500.0 {
            series.knowing(Metric::HandlingSpeed, Origin::Independent, &speeds)
        } else {
            series
        }
    });
    Sweep {
        name: format!("degradation-size-d{millis}"),
        title: format!("LU and LUD (L=0.2), r=10, d={millis} ms"),
        axis: Axis::logarithmic("Request size S [calculations]"),
        metrics: &[Metric::HandlingSpeed],
        series: series.into(),
    }
}
