use super::{
    Axis, Experiment, LU, Metric, Origin, RAND, RR, Series, Sweep, abbreviation, with_policy,
};
use crate::calcapp::{ElementFailures, Scenario, Sizes};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "dynamic",
    title: "Dynamic pools: elements that come and go",
    about: "\
SimProcTC paper of the OMNeT++ workshop of 2009, figure 4. Ten elements, target utilisation 90 %. An
element shuts down cleanly after M times the time that it needs for an average request alone, and
comes back at once as a new one; s is the size of requests to the capacity of elements. Sizes are
distributed exponentially, rise linearly from the first user to the last, or are distributed
uniformly.",
    runs: 24,
    sweeps,
};

const RATIOS: [f64; 5] = [1.0, 2.0, 5.0, 10.0, 20.0];
const UPTIMES: [f64; 2] = [100.0, 5.0];
/// Of linear and uniform sizes.
const SPREAD: f64 = 2.0;

fn sweeps() -> Vec<Sweep> {
    // The figure's vector data, for exponential sizes: long uptimes, then short ones.
    let published = [
        (RR, 1.0, [[64.75, 79.60, 89.21, 90.01, 89.85], [59.99, 73.23, 83.08, 86.57, 88.32]]),
        (RR, 10.0, [[64.61, 78.88, 87.08, 88.23, 89.56], [59.87, 72.80, 81.81, 84.90, 86.21]]),
        (RAND, 1.0, [[52.59, 68.86, 84.05, 89.15, 89.87], [51.98, 67.32, 81.02, 86.20, 88.55]]),
        (RAND, 10.0, [[52.61, 68.52, 81.90, 86.34, 88.39], [51.96, 67.26, 79.84, 84.13, 86.16]]),
        (LU, 1.0, [[89.89, 89.78, 90.01, 90.05, 89.89], [90.12, 89.92, 90.04, 90.15, 90.14]]),
        (LU, 10.0, [[89.34, 90.15, 90.26, 89.43, 90.34], [88.64, 89.74, 89.81, 90.33, 89.76]]),
    ];
    let mut sweeps = Vec::new();
    for (row, uptime) in UPTIMES.into_iter().enumerate() {
        for (name, sizes) in [
            ("exponential", Sizes::Exponential),
            ("linear", Sizes::Linear { spread: SPREAD }),
            ("uniform", Sizes::Uniform { spread: SPREAD }),
        ] {
            let series = published.map(|(policy_type, s, values)| {
                let label = format!("{}, s={s}", abbreviation(policy_type));
                let failures = ElementFailures { uptime: uptime * s, clean: 1.0 };
                let series = Series::over(label, &RATIOS, |ratio| Scenario {
                    ratio,
                    size: s * 1e6,
                    sizes,
                    target: 0.9,
                    element_failures: Some(failures),
                    ..with_policy(policy_type)
                });
                match sizes {
                    Sizes::Exponential => {
                        series.knowing(Metric::Utilisation, Origin::Published, &values[row])
                    }
                    Sizes::Linear { .. } | Sizes::Uniform { .. } => series,
                }
            });
            sweeps.push(Sweep {
                name: format!("dynamic-{name}-{uptime}"),
                title: format!("Dynamic pools, {name} sizes, M={uptime}"),
                axis: Axis::linear("PU:PE ratio r"),
                metrics: &[Metric::Utilisation],
                series: series.into(),
            });
        }
    }
    sweeps
}
