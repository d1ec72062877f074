//! `rserpool bench storm`: very many elements vanish at once, or nobody has time to answer.

mod mass_departure;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rserpool::proto::timing::Profile;
use rserpool::transport::Scheme;
use rserpool::{PoolUser, user};
use tokio::time::sleep;

use super::baseline;
use super::crowd::{Crowd, POOLS, Plan, pool};
use super::load::{Load, latencies_ms};
use super::report::{Case, Report, Round, quantile};
use super::scope::{Scope, Setting, supervision_round};
use super::usage::second_processor;
use super::{chosen, name};
use crate::Output;
use crate::clock::now_us;
use crate::process::Cause;

pub(crate) use mass_departure::Args as CrowdArgs;
use mass_departure::Vanishing;

const HELP: &str = "\
Scenarios. One registrar; half of the elements in this process, the other half in one of their own,
each half over TCP, over 100 associations, in 1000 pools. A user resolves a pool of the first half some
1000 times a second.
  killed   The second process is killed (kill -9).
  frozen   It is stopped (SIGSTOP).
  busy     Nobody fails, but for a while two threads compute for each processor.

Measures. Of each there are the median, the least and the most of all rounds.
  gone_s                 From the signal until none of the pools of the second half is known any more:
                         they are resolved in a circle.
  detection_s            How much of that it takes at most to notice silence: one round of questions to
                         all elements, and the longest wait for an answer.
  resolution_p50_ms, resolution_p99_ms
                         How long resolutions took meanwhile; calm_… in the second before.
  failed                 Resolutions that failed.
  removed                How often the registrar took out an element that lives.

JSON: one object.
  rounds       how many
  floor        tcp_echo_us: a round trip of 64 octets over TCP between two threads
  results      array: scenario, elements, measures: an object of the above by name, each with median,
               min, max

A round ends two minutes after it should at the latest. A host with one processor is refused.";

/// Measures mass failure, and supervision without time.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// How often killed and frozen are played; busy is played once.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// How many elements there are; one half of them vanishes.
    #[arg(long, value_name = "NUMBER", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(2..=2_000_000))]
    elements: u32,

    /// How long busy takes, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// What to play; may be repeated. By default everything.
    #[arg(long = "scenario", value_enum, value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
}

/// What is played.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Scenario {
    /// One half is killed.
    Killed,
    /// One half is stopped.
    Frozen,
    /// All processors are busy.
    Busy,
}

const ROUND_MAX: Duration = Duration::from_secs(120);
/// How long the load goes on undisturbed before.
const CALM: Duration = Duration::from_secs(1);
/// Pools of those who stay.
const STAYING: &str = "Staying";

impl Scenario {
    /// How one half fails, where it does.
    fn cause(self) -> Option<Cause> {
        match self {
            Self::Killed => Some(Cause::Killed),
            Self::Frozen => Some(Cause::Frozen),
            Self::Busy => None,
        }
    }
}

impl Args {
    pub(crate) async fn run(self, output: &mut dyn Output) -> anyhow::Result<()> {
        second_processor()?;
        super::conduct(self.measure(), output).await
    }

    async fn measure(&self) -> anyhow::Result<Report> {
        let mut report = baseline::report(self.rounds)?;
        let limit = ROUND_MAX + Duration::from_secs(self.seconds);
        for &scenario in chosen(&self.scenarios) {
            let elements = self.elements.to_string();
            let case = Case::new([("scenario", name(scenario)), ("elements", elements)]);
            let count = if scenario == Scenario::Busy { 1 } else { self.rounds };
            let rounds = case.play(count, limit, async |_| self.round(scenario).await).await?;
            report.add(case, &rounds, None);
        }
        Ok(report)
    }

    async fn round(&self, scenario: Scenario) -> anyhow::Result<Round> {
        let setting = Setting { scheme: Scheme::Tcp, profile: Profile::default() };
        let scope = Scope::open(setting, 1).await?;
        let (half, urls) = (self.elements / 2, scope.urls());
        let plan = Plan { setting, registrars: urls.clone(), elements: half, name: STAYING };
        let staying = Crowd::start(plan)?;
        staying.registered(half).await?;
        let url = urls.first().context("no registrar")?;
        let vanishing = Vanishing::start(url, self.elements - half).await?;
        let load = Load::of_user(setting, &urls, pool(STAYING, 0)?).await?;
        let mut config = user::Config::new(urls);
        config.stale_lifetime = Duration::ZERO;
        let user = PoolUser::start(config)?;
        let calm_from = now_us();
        sleep(CALM).await;

        let (begun, begun_us) = (Instant::now(), now_us());
        let cause = scenario.cause();
        match cause {
            Some(cause) => {
                vanishing.strike(cause)?;
                mass_departure::gone(&user).await?;
            }
            None => work(Duration::from_secs(self.seconds)).await,
        }
        let (elapsed, ended_us) = (begun.elapsed(), now_us());
        staying.check()?;
        let resolutions = load.resolutions();
        let failed = resolutions.iter().filter(|it| !it.succeeded && it.ended_us > begun_us);
        let during = latencies_ms(&resolutions, begun_us, ended_us);
        let calm = latencies_ms(&resolutions, calm_from, begun_us);
        ensure!(!during.is_empty() && !calm.is_empty(), "nothing was resolved");
        let mut measures = Vec::new();
        if let Some(cause) = cause {
            measures.push(("gone_s", elapsed.as_secs_f64()));
            measures.push(("detection_s", self.detection(cause, setting).as_secs_f64()));
        }
        measures.extend([
            ("resolution_p50_ms", quantile(during.clone(), 0.5)),
            ("resolution_p99_ms", quantile(during, 0.99)),
            ("calm_resolution_p50_ms", quantile(calm.clone(), 0.5)),
            ("calm_resolution_p99_ms", quantile(calm, 0.99)),
            ("failed", failed.count() as f64),
            ("removed", f64::from(staying.removed())),
        ]);
        Ok(Round(measures))
    }

    fn detection(&self, cause: Cause, setting: Setting) -> Duration {
        match cause {
            Cause::Killed => Duration::ZERO,
            Cause::Frozen => {
                let timing = setting.timing();
                let round = supervision_round(self.elements);
                round.max(timing.keep_alive_interval) + timing.keep_alive_timeout_cap
            }
        }
    }
}

/// Two threads compute for each processor.
async fn work(span: Duration) {
    let count = 2 * std::thread::available_parallelism().map_or(1, usize::from);
    let end = Instant::now() + span;
    let compute = move || {
        let mut sum = 0_u64;
        while Instant::now() < end {
            sum = (0..10_000).fold(sum, |sum, it| std::hint::black_box(sum ^ it));
        }
    };
    let threads: Vec<_> = (0..count).map(|_| std::thread::spawn(compute)).collect();
    sleep(span).await;
    for thread in threads {
        // It cannot fail; and what it computed is for nobody.
        let _ = thread.join();
    }
}
