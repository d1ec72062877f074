//! The published experiments: what was varied, what is known of the results, and how to get ours.
//!
//! Each is one file and one line of [`ALL`].

mod attacks;
mod capacities;
mod degradation;
mod delay;
mod dynamic;
mod failures;
mod increment;
mod metric;
mod registrars;
mod runner;
mod utilisation;

use rserpool_wire::registry::PolicyType;

use crate::calcapp::{Measures, Scenario, Selection};
use crate::statistics::Estimate;

pub use metric::Metric;
pub use runner::{Plan, run};

/// All experiments.
pub const ALL: &[Experiment] = &[
    utilisation::EXPERIMENT,
    dynamic::EXPERIMENT,
    capacities::EXPERIMENT,
    delay::EXPERIMENT,
    increment::EXPERIMENT,
    degradation::EXPERIMENT,
    failures::EXPERIMENT,
    registrars::EXPERIMENT,
    attacks::EXPERIMENT,
];

/// An experiment.
#[derive(Clone, Copy, Debug)]
pub struct Experiment {
    /// What to type.
    pub name: &'static str,
    /// What it is about, in a line.
    pub title: &'static str,
    /// Where it was published, and what there is to know about it.
    pub about: &'static str,
    /// So many runs of each point are good for publication.
    pub runs: u32,
    /// What is varied.
    pub sweeps: fn() -> Vec<Sweep>,
}

/// One value is varied over the whole range for each of several series: a figure for each metric.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// What files are called.
    pub name: String,
    /// The heading.
    pub title: String,
    /// What is varied.
    pub axis: Axis,
    /// What is shown.
    pub metrics: &'static [Metric],
    /// What is compared.
    pub series: Vec<Series>,
}

/// The axis of what is varied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Axis {
    /// What it is, with its unit.
    pub label: &'static str,
    /// Values are shown by their logarithms.
    pub logarithmic: bool,
}

/// The same but for what is varied.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is called.
    pub label: String,
    /// By what is varied.
    pub points: Vec<Point>,
}

/// A value of what is varied.
#[derive(Clone, Debug)]
pub struct Point {
    /// The value.
    pub x: f64,
    /// What is simulated.
    pub scenario: Scenario,
    /// What is known of the results.
    pub known: Vec<Known>,
    /// What came of each run, once there were any.
    pub measures: Vec<Measures>,
}

/// What should come out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// Which metric.
    pub metric: Metric,
    /// In the metric's unit.
    pub value: f64,
    /// How it is known.
    pub origin: Origin,
}

/// How something is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// It was published.
    Published,
    /// It follows from the model.
    Law,
    /// A simulator that shares no code with this one says so.
    Independent,
}

impl Origin {
    /// What it is called.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Law => "law",
            Self::Independent => "independent",
        }
    }
}

impl Experiment {
    /// The experiment of this name.
    pub fn of(name: &str) -> Option<Self> {
        ALL.iter().find(|experiment| experiment.name == name).copied()
    }
}

impl Axis {
    const fn linear(label: &'static str) -> Self {
        Self { label, logarithmic: false }
    }

    const fn logarithmic(label: &'static str) -> Self {
        Self { label, logarithmic: true }
    }
}

impl Point {
    /// Of a scenario of which nothing is known.
    pub fn new(x: f64, scenario: Scenario) -> Self {
        Self { x, scenario, known: Vec::new(), measures: Vec::new() }
    }

    /// With something known.
    #[must_use]
    pub fn with(mut self, metric: Metric, value: f64, origin: Origin) -> Self {
        self.known.push(Known { metric, value, origin });
        self
    }

    /// What the runs say.
    pub fn estimate(&self, metric: Metric) -> Estimate {
        Estimate::of(self.measures.iter().map(|measures| metric.of(measures)))
    }

    /// What is known of a metric.
    pub fn known(&self, metric: Metric) -> Option<Known> {
        self.known.iter().copied().find(|known| known.metric == metric)
    }
}

impl Series {
    /// A point for each value.
    fn over(label: impl Into<String>, xs: &[f64], scenario: impl Fn(f64) -> Scenario) -> Self {
        let points = xs.iter().map(|&x| Point::new(x, scenario(x))).collect();
        Self { label: label.into(), points }
    }

    /// With something known of its points, in their order; not-a-number where nothing is.
    #[must_use]
    fn knowing(mut self, metric: Metric, origin: Origin, values: &[f64]) -> Self {
        for (point, &value) in self.points.iter_mut().zip(values).filter(|(_, v)| !v.is_nan()) {
            point.known.push(Known { metric, value, origin });
        }
        self
    }
}

const LU: PolicyType = PolicyType::LEAST_USED;
const RR: PolicyType = PolicyType::ROUND_ROBIN;
const RAND: PolicyType = PolicyType::RANDOM;
const WRAND: PolicyType = PolicyType::WEIGHTED_RANDOM;

/// As the publications call them.
fn abbreviation(policy_type: PolicyType) -> &'static str {
    match policy_type {
        PolicyType::LEAST_USED => "LU",
        PolicyType::LEAST_USED_DEGRADATION => "LUD",
        PolicyType::ROUND_ROBIN => "RR",
        PolicyType::RANDOM => "RAND",
        PolicyType::WEIGHTED_RANDOM => "WRAND",
        other => other.label().unwrap_or("?"),
    }
}

/// The defaults, with a policy.
fn with_policy(policy_type: PolicyType) -> Scenario {
    Scenario { selection: Selection::of(policy_type), ..Scenario::default() }
}
