use super::{Axis, Experiment, Metric, Origin, Point, RR, Series, Sweep, with_policy};
use crate::calcapp::Scenario;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "increment",
    title: "Round robin where a resolution moves on by several elements",
    about: "\
ICNP 2004 and ICN 2005, the selection problem of round robin: users turn to the first of the elements
that a resolution lists, but the next resolution begins k elements later. Of N elements only every
gcd(N, k)-th is ever selected. The law for utilisation is the capacity of those, or the target; that
is an upper bound.",
    runs: 8,
    sweeps,
};

const TARGET: f64 = 0.6;

fn sweeps() -> Vec<Sweep> {
    [10, 24].map(sweep).into()
}

fn sweep(elements: u32) -> Sweep {
    let point = |increment: u32| {
        let scenario = Scenario {
            elements,
            ratio: 2.0,
            size: 1e7,
            target: TARGET,
            items: 999,
            increment,
            ..with_policy(RR)
        };
        let divisor = f64::from(gcd(elements, increment));
        Point::new(f64::from(increment), scenario)
            .with(Metric::ElementsUsed, f64::from(elements) / divisor, Origin::Law)
            .with(Metric::Utilisation, 100.0 * TARGET.min(1.0 / divisor), Origin::Law)
    };
    Sweep {
        name: format!("increment-{elements}"),
        title: format!("Round robin, {elements} elements, the head moves on by k"),
        axis: Axis::linear("Increment k"),
        metrics: &[Metric::ElementsUsed, Metric::Utilisation],
        series: vec![Series { label: "RR".into(), points: (1..=elements).map(point).collect() }],
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
