//! `rserpool bench footprint`: how small it is, and how soon it serves.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rserpool::proto::timing::Profile;
use rserpool::transport::Scheme;

use super::crowd::{Crowd, Plan};
use super::report::{Case, Report, Round};
use super::scope::{Scope, Setting};
use super::usage::resident;
use crate::Output;

const HELP: &str = "\
A registrar is a process of its own; elements register over TCP, over 100 associations, from a thread
of this one.

Measures. Of each there are the median, the least and the most of all rounds.
  binary_mb        This program on the disk.
  ready_ms         From the start of the process until it says that it serves.
  resident_mb      Its memory, with so many elements.
  octets           Memory of an element: what it has more than without, divided by their number.
  registered_s     How long it took until all were in their pools.

JSON: one object.
  rounds       how many
  floor        an empty object: these are no figures of the network
  results      array: elements, measures: an object of the above by name, each with median, min, max

A round ends after five minutes at the latest.";

/// Measures memory, size on the disk, and time from start to ready.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// How often it is measured.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// With how many elements; may be repeated. By default 0, 100000 and 1000000.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(0..=2_000_000))]
    elements: Vec<u32>,
}

const ELEMENTS: [u32; 3] = [0, 100_000, 1_000_000];
const ROUND_MAX: Duration = Duration::from_secs(300);

impl Args {
    pub(crate) async fn run(self, output: &mut dyn Output) -> anyhow::Result<()> {
        super::conduct(self.measure(), output).await
    }

    async fn measure(&self) -> anyhow::Result<Report> {
        let mut report = Report::new(self.rounds, Vec::new());
        let sizes = if self.elements.is_empty() { &ELEMENTS[..] } else { &self.elements };
        for &elements in sizes {
            let case = Case::new([("elements", elements.to_string())]);
            let rounds = case.play(self.rounds, ROUND_MAX, async |_| round(elements).await).await?;
            report.add(case, &rounds, None);
        }
        Ok(report)
    }
}

async fn round(elements: u32) -> anyhow::Result<Round> {
    let setting = Setting { scheme: Scheme::Tcp, profile: Profile::default() };
    let begun = Instant::now();
    let scope = Scope::open(setting, 1).await?;
    let ready = begun.elapsed();
    let registrar = scope.nodes.first().context("no registrar")?.process()?;
    let idle = resident(registrar)?;
    if elements == 0 {
        let program = std::env::current_exe().and_then(std::fs::metadata);
        let octets = program.context("cannot see this program")?.len();
        return Ok(Round(vec![
            ("binary_mb", octets as f64 / 1e6),
            ("ready_ms", ready.as_secs_f64() * 1e3),
            ("resident_mb", idle as f64 / 1e6),
        ]));
    }
    let begun = Instant::now();
    let plan = Plan { setting, registrars: scope.urls(), elements, name: "Crowd" };
    let crowd = Crowd::start(plan)?;
    crowd.registered(elements).await?;
    let registered = begun.elapsed();
    let full = resident(registrar)?;
    let each = full.saturating_sub(idle) as f64 / f64::from(elements);
    Ok(Round(vec![
        ("resident_mb", full as f64 / 1e6),
        ("octets", each),
        ("registered_s", registered.as_secs_f64()),
    ]))
}
