use super::{
    Axis, Experiment, LU, Metric, Origin, RAND, RR, Series, Sweep, abbreviation, with_policy,
};
use crate::calcapp::Scenario;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "utilisation",
    title: "Utilisation over the ratio of users to elements",
    about: "\
The main figure on policies: LCN 2005 and the thesis; as printed in the OMNeT++ workshop of 2008,
figure 5. Ten elements, target utilisation 80 %, s is the size of requests to the capacity of
elements.",
    runs: 24,
    sweeps,
};

const RATIOS: [f64; 9] = [1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0];

fn sweeps() -> Vec<Sweep> {
    // The figure's vector data.
    let published = [
        (LU, 1.0, [79.98, 79.98, 79.98, 79.98, 79.98, 79.98, 79.98, 79.97, 79.97]),
        (LU, 100.0, [76.77, 79.24, 79.85, 80.10, 80.17, 80.54, 80.92, 80.62, 80.31]),
        (RR, 1.0, [65.13, 79.17, 79.97, 79.98, 79.98, 79.98, 79.98, 79.98, 79.98]),
        (RR, 100.0, [61.68, 71.73, 74.21, 75.71, 76.64, 77.82, 78.65, 78.33, 78.01]),
        (RAND, 1.0, [52.68, 68.96, 76.55, 79.42, 80.00, 80.11, 80.07, 79.89, 80.00]),
        (RAND, 100.0, [52.04, 63.37, 68.40, 70.71, 72.46, 73.35, 74.36, 75.81, 75.50]),
    ];
    let series = published.map(|(policy_type, s, values)| {
        let label = format!("{}, s={s}", abbreviation(policy_type));
        let scenario = |ratio| Scenario { ratio, size: s * 1e6, ..with_policy(policy_type) };
        Series::over(label, &RATIOS, scenario).knowing(
            Metric::Utilisation,
            Origin::Published,
            &values,
        )
    });
    vec![Sweep {
        name: "utilisation".into(),
        title: "Utilisation over PU:PE ratio".into(),
        axis: Axis::linear("PU:PE ratio r"),
        metrics: &[Metric::Utilisation, Metric::HandlingSpeed],
        series: series.into(),
    }]
}
