//! `rserpool bench registrar`: how much a registrar does in a second, and what that costs.

mod in_process;
mod server;

use std::time::Duration;

use anyhow::ensure;
use rserpool::transport::Scheme;

use super::baseline;
use super::generator::{self, Tally};
use super::report::{Case, Report, Round, Series, quantile};
use super::scope::scheme;
use super::usage::second_processor;
use super::{chosen, name};
use crate::Output;

use server::{Echo, Served};

const HELP: &str = "\
Cases. A registrar is a process of its own, who asks is a thread of this one; each asks again as soon
as it has its answer.
  resolve-3    Three elements of a pool of 100, round robin.
  resolve-100  All elements of that pool.
  register     Elements renew their registrations, each time with another load (100 at each
               association, least used).
  keep-alive   20000 elements over 50 associations answer; the registrar asks as often as it can.
CLIENTS is how many associations there are, OUTSTANDING how many requests of each wait for their
answers, REGISTRARS how many registrars share the handlespace and these two processors.
TRANSPORT none is a registrar without a network: reading, deciding and writing of messages, in this
process; rates are those of a whole processor.

Measures. Of each there are the median, the least and the most of all rounds.
  rate_per_s         Answers.
  floor_per_s        Answers of a program that reads requests and writes answers of the same sizes,
                     over TCP, and does nothing else, to the same clients right before.
  floor_part         The first of these by the second.
  p50_us, p99_us     How long an answer took.
  server_us          How long the registrars ran on a processor, for each answer.
  server_busy, generator_busy
                     How much of a processor the registrars and the clients took.
  resident_mb        Memory of the first registrar.
Where the clients took a whole processor and the registrars did not, the result says so (limited_by),
and rates are at least what is told.

JSON: one object.
  rounds       how many
  floor        tcp_echo_us: a round trip of 64 octets over TCP between two threads
  results      array: case, transport, clients, outstanding, registrars, measures: an object of the
               above by name, each with median, min, max; limited_by

With a failed round or a wrong answer nothing is reported and the exit code is 1; so it is on a host
with one processor.";

/// Measures how much a registrar does in a second.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// How often each case is measured.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// How long each round is, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,

    /// What to speak over: tcp, sctp+udp, sctp+kernel or none; may be repeated. By default tcp,
    /// sctp+udp and none.
    #[arg(long = "transport", value_name = "TRANSPORT")]
    transports: Vec<Carrier>,

    /// What to measure; may be repeated. By default everything.
    #[arg(long = "case", value_enum, value_name = "CASE")]
    cases: Vec<What>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum What {
    /// Three elements of a pool.
    #[value(name = "resolve-3")]
    Resolve3,
    /// All elements of a pool.
    #[value(name = "resolve-100")]
    Resolve100,
    /// Registrations.
    Register,
    /// Keep-alives.
    KeepAlive,
}

/// What is spoken over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Carrier {
    Network(Scheme),
    None,
}

/// Who asks whom.
#[derive(Clone, Copy, Debug)]
struct Setup {
    what: What,
    clients: u32,
    outstanding: u32,
    registrars: u32,
}

const fn setup(what: What, clients: u32, outstanding: u32, registrars: u32) -> Setup {
    Setup { what, clients, outstanding, registrars }
}

const SETUPS: [Setup; 9] = [
    setup(What::Resolve3, 1, 1, 1),
    setup(What::Resolve3, 50, 1, 1),
    setup(What::Resolve3, 8, 128, 1),
    setup(What::Resolve100, 50, 1, 1),
    setup(What::Register, 1, 1, 1),
    setup(What::Register, 50, 1, 1),
    setup(What::Register, 8, 64, 1),
    setup(What::Register, 50, 1, 3),
    setup(What::KeepAlive, 50, 1, 1),
];

/// A round ends by then, whatever happens.
const ROUND_MAX: Duration = Duration::from_secs(150);
/// A processor that is busy for this part of the time is a limit.
const BUSY: f64 = 0.9;

impl Args {
    pub(crate) async fn run(self, output: &mut dyn Output) -> anyhow::Result<()> {
        second_processor()?;
        super::conduct(self.measure(), output).await
    }

    async fn measure(&self) -> anyhow::Result<Report> {
        let mut report = baseline::report(self.rounds)?;
        let all =
            [Carrier::Network(Scheme::Tcp), Carrier::Network(Scheme::UserlandSctp), Carrier::None];
        let carriers = if self.transports.is_empty() { &all[..] } else { &self.transports };
        let cases = chosen(&self.cases);
        for &carrier in carriers {
            for setup in SETUPS.into_iter().filter(|setup| cases.contains(&setup.what)) {
                if carrier == Carrier::None && !setup.is_whole() {
                    continue;
                }
                let case = setup.case(carrier);
                let round = async |_| self.round(carrier, setup).await;
                let rounds = case.play(self.rounds, ROUND_MAX, round).await?;
                let limited_by = is_generator_the_limit(&rounds).then_some("the load generator");
                report.add(case, &rounds, limited_by);
            }
        }
        Ok(report)
    }

    async fn round(&self, carrier: Carrier, setup: Setup) -> anyhow::Result<Round> {
        let span = Duration::from_secs(self.seconds);
        let Carrier::Network(scheme) = carrier else {
            return in_process::round(setup.what, span);
        };
        let served = Served::open(scheme, setup).await?;
        let plan = served.plan(span).await?;
        let floor = match Echo::like(&plan).await? {
            Some(echo) => Some(generator::run(echo.plan(&plan)?).await?),
            None => None,
        };
        let tally = generator::run(plan).await?;
        round(&tally, floor.as_ref(), served.resident()?)
    }
}

impl Setup {
    fn case(self, carrier: Carrier) -> Case {
        let transport = match carrier {
            Carrier::Network(scheme) => scheme.to_string(),
            Carrier::None => "none".into(),
        };
        Case::new([
            ("case", name(self.what)),
            ("transport", transport),
            ("clients", self.clients.to_string()),
            ("outstanding", self.outstanding.to_string()),
            ("registrars", self.registrars.to_string()),
        ])
    }

    /// Whether a machine without a network can play it; many requests at once make no difference.
    fn is_whole(self) -> bool {
        self.clients == 1
    }
}

fn round(tally: &Tally, floor: Option<&Tally>, resident: u64) -> anyhow::Result<Round> {
    ensure!(!tally.latencies_us.is_empty(), "no answers");
    let seconds = tally.elapsed.as_secs_f64();
    let mut measures = vec![("rate_per_s", tally.rate())];
    if let Some(floor) = floor {
        measures.push(("floor_per_s", floor.rate()));
        measures.push(("floor_part", tally.rate() / floor.rate()));
    }
    measures.extend([
        ("p50_us", quantile(tally.latencies_us.clone(), 0.5)),
        ("p99_us", quantile(tally.latencies_us.clone(), 0.99)),
        ("server_us", tally.server_time.as_secs_f64() * 1e6 / tally.answered()),
        ("server_busy", tally.server_time.as_secs_f64() / seconds),
        ("generator_busy", tally.own_time.as_secs_f64() / seconds),
        ("resident_mb", resident as f64 / 1e6),
    ]);
    Ok(Round(measures))
}

fn is_generator_the_limit(rounds: &[Round]) -> bool {
    let busy = |name| {
        let values = rounds.iter().flat_map(|round| &round.0).filter(|(it, _)| *it == name);
        Series::of(values.map(|(_, value)| *value).collect()).map_or(0.0, |series| series.median)
    };
    busy("generator_busy") >= BUSY && busy("server_busy") < BUSY
}

impl std::str::FromStr for Carrier {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "none" => Ok(Self::None),
            name => scheme(name).map(Self::Network).map_err(|known| format!("{known}, none")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_that_has_no_time_left_is_named_unless_the_registrar_has_none_either() {
        let round = |server, generator| {
            vec![Round(vec![("server_busy", server), ("generator_busy", generator)])]
        };
        assert!(is_generator_the_limit(&round(0.5, 0.99)));
        assert!(!is_generator_the_limit(&round(0.97, 0.99)));
        assert!(!is_generator_the_limit(&round(0.5, 0.5)));
    }
}
