//! `rserpool bench failover`: what users and elements see of registrars that die, freeze and join.

mod join;
mod loss;
mod mass_loss;

use std::time::Duration;

use anyhow::Context as _;
use rserpool::proto::timing::Profile;
use rserpool::transport::Scheme;
use tokio::time::timeout;

use crate::Output;
use crate::process::Cause;

use super::baseline;
use super::report::{Case, Report, Round};
use super::scope::{Setting, profile, scheme, schemes};
use super::{chosen, name};

const HELP: &str = "\
Scenarios. In each, registrars are processes of their own; users and elements are in this one.
  killed       Three registrars, 5 elements at each. A user asks the first one some 1000 times a
               second, and an element renews its registration there as often as it is answered. The
               first registrar is killed (kill -9).
  frozen       The same, stopped (SIGSTOP) instead.
  mass-killed  Three registrars, 100000 elements over 100 associations at the first one, which is
               killed.
  mass-frozen  The same, stopped instead.
  join         A registrar with 1000000 elements over 100 associations, and a user that asks it as
               above. Another registrar starts and joins.

Measures. Of each there are the median, the least and the most of all rounds.
  resolution_gap_ms      The longest pause between two answers of a registrar to the user, from the
                         signal on. The cache is off.
  calm_resolution_gap_ms The same before the signal: what this host and the load itself do.
  registration_gap_ms, calm_registration_gap_ms
                         The same for accepted registrations of the element.
  failed                 Resolutions that failed although they began after the signal.
  failed_in_flight       Resolutions that failed and were under way at the signal.
  noticed_ms             From the signal until a registrar declared the first one dead.
  changed_ms             From the signal until no element had the first one as home at any other
                         registrar.
  moved_ms               From the decision to take over until then.
  settled_ms             From the decision to take over until the last element had agreed to its
                         new home, or had registered at another one.
  removed                How often its home said to an element that lives that it is out; it registered
                         again. That a former home lets go of it does not count.
  serving_s              From the start of the process until it serves with all elements.
  resolution_p50_ms, resolution_p99_ms
                         How long resolutions took meanwhile; calm_… before.
Times of registrars are those of their own logs (RUST_LOG=rserpool::enrp=info) on the clock that all
processes of a host share. At the end of each round the handlespaces of all registrars that live
have to be the same and complete, or the round has failed.

JSON: one object.
  rounds       how many
  floor        tcp_echo_us: a round trip of 64 octets over TCP between two threads, in this run
  results      array: scenario, transport, profile, and measures: an object of the above by name,
               each with median, min, max

A round ends after two minutes at the latest, that before the first one of join after five. Nothing
that was started is left behind. With a failed round nothing is reported and the exit code is 1.";

/// Measures how users and elements fare when registrars die, freeze and join.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// How often each scenario is played.
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// What to speak over: tcp, sctp+udp or sctp+kernel; may be repeated. By default all that work
    /// here.
    #[arg(long = "transport", value_name = "TRANSPORT", value_parser = scheme)]
    transports: Vec<Scheme>,

    /// Timer values; may be repeated.
    #[arg(long = "profile", value_name = "PROFILE", default_value = "fast", value_parser = profile)]
    profiles: Vec<Profile>,

    /// What to play; may be repeated. By default everything.
    #[arg(long = "scenario", value_enum, value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,

    /// How many elements mass-killed, mass-frozen and join have. By default 100000 and 1000000.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    elements: Option<u32>,
}

/// What is played.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Scenario {
    /// The home registrar is killed.
    Killed,
    /// The home registrar is stopped.
    Frozen,
    /// The home of very many elements is killed.
    MassKilled,
    /// The home of very many elements is stopped.
    MassFrozen,
    /// A registrar joins one that has very many elements.
    Join,
}

/// A round ends by then.
const ROUND_MAX: Duration = Duration::from_secs(120);
/// So does what comes before the rounds.
const PREPARATION_MAX: Duration = Duration::from_secs(300);

impl Scenario {
    fn elements(self) -> u32 {
        if self == Self::Join { 1_000_000 } else { 100_000 }
    }
}

impl Args {
    pub(crate) async fn run(self, output: &mut dyn Output) -> anyhow::Result<()> {
        super::conduct(self.measure(), output).await
    }

    async fn measure(&self) -> anyhow::Result<Report> {
        let mut report = baseline::report(self.rounds)?;
        for scheme in schemes(&self.transports) {
            for &profile in &self.profiles {
                for &scenario in chosen(&self.scenarios) {
                    let case = Case::new([
                        ("scenario", name(scenario)),
                        ("transport", scheme.to_string()),
                        ("profile", profile.label().to_owned()),
                    ]);
                    let setting = Setting { scheme, profile };
                    let rounds = self.play(&case, scenario, setting).await?;
                    report.add(case, &rounds, None);
                }
            }
        }
        Ok(report)
    }

    async fn play(
        &self,
        case: &Case,
        scenario: Scenario,
        setting: Setting,
    ) -> anyhow::Result<Vec<Round>> {
        let elements = self.elements.unwrap_or_else(|| scenario.elements());
        let loss = async |cause| {
            case.play(self.rounds, ROUND_MAX, async |_| loss::round(setting, cause).await).await
        };
        let mass = async |cause| {
            let round = async |_| mass_loss::round(setting, cause, elements).await;
            case.play(self.rounds, ROUND_MAX, round).await
        };
        match scenario {
            Scenario::Killed => loss(Cause::Killed).await,
            Scenario::Frozen => loss(Cause::Frozen).await,
            Scenario::MassKilled => mass(Cause::Killed).await,
            Scenario::MassFrozen => mass(Cause::Frozen).await,
            Scenario::Join => {
                eprintln!("{elements} elements register over {}", setting.scheme);
                let stage = timeout(PREPARATION_MAX, join::Stage::open(setting, elements)).await;
                let mut stage = stage.context("the elements did not register in time")??;
                let round = async |number| stage.round(number).await;
                case.play(self.rounds, ROUND_MAX, round).await
            }
        }
    }
}
