//! `rserpool bench storm`: very many elements vanish at once, or nobody has time to answer.

mod vanishing;

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use rserpool::proto::timing::Profile;
use rserpool::transport::Scheme;
use rserpool::{PoolUser, user};
use tokio::time::{sleep, timeout};

use super::crowd::{Crowd, POOLS, Plan, pool};
use super::floor;
use super::load::{Load, latencies_ms};
use super::report::{Report, Round, quantile};
use super::scope::{Cause, Scope, Setting};
use super::usage::second_processor;
use crate::command::demo::client::now_us;
use crate::output::Output;

pub(crate) use vanishing::Args as CrowdArgs;
use vanishing::Vanishing;

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
/// Keep-alives a second: a registrar's default.
const SUPERVISION_RATE: f64 = 20_000.0;
/// Pools of those who stay.
const STAYING: &str = "Staying";

impl Scenario {
    const ALL: [Self; 3] = [Self::Killed, Self::Frozen, Self::Busy];

    fn label(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Frozen => "frozen",
            Self::Busy => "busy",
        }
    }
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        second_processor()?;
        super::conduct(self.measure(), output)
    }

    async fn measure(&self) -> anyhow::Result<Report> {
        let mut report = floor::report(self.rounds)?;
        let all = &Scenario::ALL[..];
        for &scenario in if self.scenarios.is_empty() { all } else { &self.scenarios } {
            let count = if scenario == Scenario::Busy { 1 } else { self.rounds };
            let mut rounds = Vec::new();
            for number in 1..=count {
                let limit = ROUND_MAX + Duration::from_secs(self.seconds);
                let round = timeout(limit, self.round(scenario)).await;
                let round = round.unwrap_or_else(|_| Err(anyhow!("it takes too long")));
                let label = scenario.label();
                let round = round.with_context(|| format!("round {number} of {label} failed"))?;
                eprintln!("{label}, round {number}: {round}");
                rounds.push(round);
            }
            let elements = self.elements.to_string();
            let case = vec![("scenario", scenario.label().to_owned()), ("elements", elements)];
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
        config.user.stale_lifetime = Duration::ZERO;
        let user = PoolUser::start(config)?;
        let calm_from = now_us();
        sleep(CALM).await;

        let (begun, begun_us) = (Instant::now(), now_us());
        match scenario {
            Scenario::Killed => vanishing.strike(Cause::Killed)?,
            Scenario::Frozen => vanishing.strike(Cause::Frozen)?,
            Scenario::Busy => work(Duration::from_secs(self.seconds)).await,
        }
        if scenario != Scenario::Busy {
            vanishing::gone(&user).await?;
        }
        let (elapsed, ended_us) = (begun.elapsed(), now_us());
        staying.check()?;
        let resolutions = load.resolutions();
        let failed = resolutions.iter().filter(|it| !it.succeeded && it.ended_us > begun_us);
        let during = latencies_ms(&resolutions, begun_us, ended_us);
        let calm = latencies_ms(&resolutions, calm_from, begun_us);
        ensure!(!during.is_empty() && !calm.is_empty(), "nothing was resolved");
        let mut measures = vec![
            ("resolution_p50_ms", quantile(during.clone(), 0.5)),
            ("resolution_p99_ms", quantile(during, 0.99)),
            ("calm_resolution_p50_ms", quantile(calm.clone(), 0.5)),
            ("calm_resolution_p99_ms", quantile(calm, 0.99)),
            ("failed", failed.count() as f64),
            ("removed", f64::from(staying.removed())),
        ];
        if scenario != Scenario::Busy {
            measures.insert(0, ("gone_s", elapsed.as_secs_f64()));
            measures.insert(1, ("detection_s", self.detection(scenario, setting).as_secs_f64()));
        }
        Ok(Round(measures))
    }

    fn detection(&self, scenario: Scenario, setting: Setting) -> Duration {
        if scenario == Scenario::Killed {
            return Duration::ZERO;
        }
        let timing = setting.timing();
        let of_all = Duration::from_secs_f64(f64::from(self.elements) / SUPERVISION_RATE);
        of_all.max(timing.keep_alive_interval) + timing.keep_alive_timeout_cap
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
