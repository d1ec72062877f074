use super::{
    Axis, Experiment, LU, Metric, Origin, Point, RAND, RR, Series, Sweep, WRAND, abbreviation,
    with_policy,
};
use crate::calcapp::{Capacities, Scenario};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "capacities",
    title: "Heterogeneous pools: elements of different capacity",
    about: "\
TENCON 2005 and Euromicro 2007. Ten elements whose capacities differ, and are the same in all; target
utilisation 80 %. Capacities: one element or a third of them k times as fast as the others, rising
linearly, uniformly distributed, normally distributed. The law, where there is one user for each
element, is that of closed queueing networks (Gordon and Newell): all users always wait for an
element.",
    runs: 24,
    sweeps,
};

const SPREADS: [f64; 8] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
const DEVIATIONS: [f64; 7] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7];
const RATIOS: [f64; 3] = [1.0, 3.0, 10.0];

fn sweeps() -> Vec<Sweep> {
    let mut sweeps = Vec::new();
    for s in [1.0, 100.0] {
        for ratio in RATIOS {
            sweeps.push(one_fast_server(s, ratio));
        }
    }
    let third = |times| Capacities::FastServers { times, share: 1.0 / 3.0 };
    sweeps.push(weighted("third", "A third faster", "Times as fast k", &SPREADS, third));
    let linear = |spread| Capacities::Linear { spread };
    sweeps.push(weighted("linear", "Linear capacities", "Spread γ", &SPREADS, linear));
    let uniform = |spread| Capacities::Uniform { spread };
    sweeps.push(weighted("uniform", "Uniform capacities", "Spread γ", &SPREADS, uniform));
    let normal = |deviation| Capacities::TruncatedNormal { deviation };
    sweeps.push(weighted("normal", "Normal capacities", "Deviation θ", &DEVIATIONS, normal));
    sweeps
}

fn one_fast_server(s: f64, ratio: f64) -> Sweep {
    let series = [LU, WRAND, RAND, RR].map(|policy_type| {
        let scenario = |times| Scenario {
            ratio,
            size: s * 1e6,
            capacities: Capacities::FastServers { times, share: 0.1 },
            ..with_policy(policy_type)
        };
        let point = |&times: &f64| {
            let point = Point::new(times, scenario(times));
            // Long requests are too few to get anywhere near a law.
            if ratio > 1.0 || s > 1.0 || ![RAND, WRAND].contains(&policy_type) {
                return point;
            }
            let law = saturated(times, policy_type == WRAND);
            point.with(Metric::Utilisation, law, Origin::Law)
        };
        let points = SPREADS.iter().map(point).collect();
        Series { label: abbreviation(policy_type).into(), points }
    });
    Sweep {
        name: format!("capacities-one-s{s}-r{ratio}"),
        title: format!("One of ten elements faster, s={s}, r={ratio}"),
        axis: Axis::linear("Times as fast k"),
        metrics: &[Metric::Utilisation, Metric::HandlingSpeed],
        series: series.into(),
    }
}

fn weighted(
    name: &str,
    title: &str,
    axis: &'static str,
    xs: &[f64],
    capacities: impl Fn(f64) -> Capacities,
) -> Sweep {
    let mut series = Vec::new();
    for policy_type in [LU, WRAND] {
        for ratio in RATIOS {
            let label = format!("{}, r={ratio}", abbreviation(policy_type));
            let scenario =
                |x| Scenario { ratio, capacities: capacities(x), ..with_policy(policy_type) };
            series.push(Series::over(label, xs, scenario));
        }
    }
    Sweep {
        name: format!("capacities-{name}"),
        title: format!("{title}, s=1"),
        axis: Axis::linear(axis),
        metrics: &[Metric::Utilisation, Metric::HandlingSpeed],
        series,
    }
}

/// Utilisation in per cent where ten jobs are always at ten elements, one of them `times` as fast as
/// the others, and go from one to the next evenly or in proportion to capacity (Buzen's algorithm).
fn saturated(times: f64, weighted: bool) -> f64 {
    let capacities = [times, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    let total: f64 = capacities.iter().sum();
    let demand = |capacity: f64| if weighted { 1.0 / total } else { 0.1 / capacity };
    let mut ways = [0.0; 11];
    ways[0] = 1.0;
    for capacity in capacities {
        for jobs in 1..ways.len() {
            ways[jobs] += demand(capacity) * ways[jobs - 1];
        }
    }
    100.0 * ways[9] / ways[10] / total
}
