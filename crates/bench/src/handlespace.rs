//! `rserpool bench handlespace`: what operations of a handlespace cost, and what elements weigh.

mod subject;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rserpool::wire::registry::PolicyType;

use super::report::{Case, Report, Round, within};
use crate::Output;
use crate::process::Process;

use subject::{MEASURES, Subject};

const HELP: &str = "\
Each case is a process of its own with one thread: a handlespace with so many elements, each with one
address, in so many pools. INCREMENT is how many of those that a resolution lists lose their turn: one,
as RFC 5356 has it for lists, or all.

Measures, each the median, the least and the most of all rounds, in operations per second on the
processor.
  register     An element comes new, and its timer starts.
  renew        An element registers again with another load, weight or priority; its timer starts anew.
  resolve_1, resolve_3, resolve_10
               So many elements of any pool, as they are stored.
  deregister   An element is looked up and taken out, and its timer stops.
  expire       The timer of an element ends; it is taken out.
  table        Elements that are told in the order of a table.
  octets       Memory of an element with all indexes and its timer; only with 100000 or more.

JSON: one object.
  rounds       how many
  floor        an empty object: there is no network
  results      array: policy, elements, pools, increment, measures: an object of the above by name,
               each with median, min, max

A case ends after two minutes at the latest.";

/// Measures a handlespace, in this process.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// How often each operation is measured.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// How many elements; may be repeated. By default 10, 1000, 100000 and 1000000.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    elements: Vec<u32>,

    /// In how many pools; may be repeated. By default 1 and 10000; never more than elements.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pools: Vec<u32>,

    /// Policies, such as round-robin; may be repeated. By default all.
    #[arg(long = "policy", value_name = "POLICY", value_parser = policy)]
    policies: Vec<PolicyType>,

    /// Measures the first of these here, and prints rows of numbers.
    #[arg(long, hide = true)]
    here: bool,

    /// All that are listed lose their turn.
    #[arg(long, hide = true)]
    all_turns: bool,
}

/// What a handlespace is like.
#[derive(Clone, Copy)]
struct Shape {
    policy: PolicyType,
    elements: u32,
    pools: u32,
    /// All that are listed lose their turn.
    all_turns: bool,
}

const ELEMENTS: [u32; 4] = [10, 1_000, 100_000, 1_000_000];
const POOLS: [u32; 2] = [1, 10_000];
const CASE_MAX: Duration = Duration::from_secs(120);

impl Args {
    pub(crate) async fn run(self, output: &mut dyn Output) -> anyhow::Result<()> {
        if self.here {
            return self.measure_here(output);
        }
        super::conduct(self.measure_all(), output).await
    }

    async fn measure_all(&self) -> anyhow::Result<Report> {
        let mut report = Report::new(self.rounds, Vec::new());
        for shape in self.shapes() {
            let case = shape.case();
            let rounds = within(CASE_MAX, self.measure(shape)).await;
            let rounds = rounds.with_context(|| format!("{case} failed"))?;
            eprintln!("{case}");
            report.add(case, &rounds, None);
        }
        Ok(report)
    }

    fn shapes(&self) -> Vec<Shape> {
        let sizes = if self.elements.is_empty() { &ELEMENTS[..] } else { &self.elements };
        let counts = if self.pools.is_empty() { &POOLS[..] } else { &self.pools };
        let known = PolicyType::ASSIGNED.iter().filter(|policy| policy.fields().is_some());
        let policies: Vec<PolicyType> = match self.policies.is_empty() {
            true => known.copied().collect(),
            false => self.policies.clone(),
        };
        let mut shapes = Vec::new();
        for policy in policies {
            for &elements in sizes {
                for &pools in counts.iter().filter(|pools| **pools <= elements) {
                    let shape = |all_turns| Shape { policy, elements, pools, all_turns };
                    shapes.extend([false, true].map(shape));
                }
            }
        }
        shapes
    }

    async fn measure(&self, shape: Shape) -> anyhow::Result<Vec<Round>> {
        let (rounds, name) = (self.rounds.to_string(), name(shape.policy));
        let (elements, pools) = (shape.elements.to_string(), shape.pools.to_string());
        let mut arguments = vec!["bench", "handlespace", "--here", "--rounds", &rounds];
        arguments.extend(["--policy", &name, "--elements", &elements, "--pools", &pools]);
        arguments.extend(shape.all_turns.then_some("--all-turns"));
        let mut process = Process::start(&arguments)?;
        let rows: Vec<Vec<f64>> = process.line().await?;
        ensure!(rows.len() == self.rounds as usize, "{} rounds", rows.len());
        Ok(rows.into_iter().map(|row| Round(MEASURES.into_iter().zip(row).collect())).collect())
    }

    fn measure_here(&self, output: &mut dyn Output) -> anyhow::Result<()> {
        let shape = *self.shapes().first().context("nothing to measure")?;
        let mut subject = Subject::new(Shape { all_turns: self.all_turns, ..shape })?;
        let rounds: anyhow::Result<Vec<Vec<f64>>> =
            (0..self.rounds).map(|_| subject.round()).collect();
        output.json(&rounds?.into())
    }
}

impl Shape {
    fn case(self) -> Case {
        Case::new([
            ("policy", name(self.policy)),
            ("elements", self.elements.to_string()),
            ("pools", self.pools.to_string()),
            ("increment", if self.all_turns { "all" } else { "1" }.to_owned()),
        ])
    }
}

fn name(policy: PolicyType) -> String {
    policy.label().unwrap_or_default().to_owned()
}

fn policy(name: &str) -> Result<PolicyType, String> {
    let known = PolicyType::ASSIGNED.iter().copied();
    known.clone().find(|policy| policy.label() == Some(name)).ok_or_else(|| {
        let names: Vec<&str> = known.filter_map(PolicyType::label).collect();
        format!("one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_pools_than_elements() {
        let args = Args {
            rounds: 1,
            elements: vec![10, 100_000],
            pools: Vec::new(),
            policies: vec![PolicyType::RANDOM],
            here: false,
            all_turns: false,
        };
        let shapes = args.shapes();
        let sizes: Vec<(u32, u32)> = shapes.iter().map(|it| (it.elements, it.pools)).collect();
        let (once, again): (Vec<_>, Vec<_>) = sizes.chunks(2).map(|two| (two[0], two[1])).unzip();
        assert_eq!(once, [(10, 1), (100_000, 1), (100_000, 10_000)]);
        assert_eq!(once, again);
    }

    #[test]
    fn each_operation_is_measured_for_each_policy() {
        for &policy in PolicyType::ASSIGNED {
            let shape = Shape { policy, elements: 20, pools: 2, all_turns: false };
            let mut subject = Subject::new(shape).unwrap();
            let round = subject.round().unwrap();
            assert_eq!(round.len(), MEASURES.len() - 1, "{policy}");
            assert!(round.iter().all(|rate| *rate > 0.0), "{policy}: {round:?}");
        }
    }
}
