//! `rserpool bench registrar`: how much a registrar does in a second, and what that costs.

mod in_process;
mod server;
mod visits;

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
use visits::{AT_ONCE, Visits};

const HELP: &str = "\
Cases. A registrar is a process of its own, who asks is a thread of this one; each asks again as soon
as it has its answer.
  resolve-3    Three elements of a pool of 100, round robin.
  resolve-100  All elements of that pool.
  register     Elements renew their registrations, each time with another load (100 at each
               association, least used).
  handshake    Associations over TLS begin, each with a new session, and end.
  reconnect    Associations begin, ask for three elements, and end; over TLS with the session of an
               earlier one.
  idle         Associations have asked once, and stay.
  keep-alive   20000 elements over 50 associations answer; the registrar asks as often as it can.
CLIENTS is how many associations there are, OUTSTANDING how many requests of each wait for their
answers, REGISTRARS how many registrars share the handlespace and these two processors.
TRANSPORT tls has keys that are made for it, and each of its rounds plays the same over TCP before.
TRANSPORT none is a registrar without a network: reading, deciding and writing of messages, in this
process; rates are those of a whole processor.

Measures. Of each there are the median, the least and the most of all rounds.
  rate_per_s         Answers.
  floor_per_s        Answers of a program that reads requests and writes answers of the same sizes,
                     over TCP, and does nothing else, to the same clients right before.
  floor_part         The first of these by the second.
  tcp_per_s          Over TLS: answers of such a registrar over TCP, right before.
  tcp_part           The first of these by that one.
  per_core_per_s     How many of these associations would keep the registrar's processor busy.
  resumed_part       How many of them went on with an earlier session.
  kb_each            How much larger the registrar has become, for each association that stays.
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

    /// What to speak over: tcp, tls, sctp+udp, sctp+kernel or none; may be repeated. By default tcp,
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
    /// Associations with a new TLS session each.
    Handshake,
    /// Associations that begin again.
    Reconnect,
    /// Associations that stay.
    Idle,
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

const SETUPS: [Setup; 12] = [
    setup(What::Resolve3, 1, 1, 1),
    setup(What::Resolve3, 50, 1, 1),
    setup(What::Resolve3, 8, 128, 1),
    setup(What::Resolve100, 50, 1, 1),
    setup(What::Register, 1, 1, 1),
    setup(What::Register, 50, 1, 1),
    setup(What::Register, 8, 64, 1),
    setup(What::Register, 50, 1, 3),
    setup(What::KeepAlive, 50, 1, 1),
    setup(What::Handshake, AT_ONCE, 1, 1),
    setup(What::Reconnect, AT_ONCE, 1, 1),
    setup(What::Idle, 1000, 1, 1),
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
                if !setup.is_for(carrier) {
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
        let plain = match scheme {
            Scheme::Tls if setup.is_for(Carrier::Network(Scheme::Tcp)) => {
                Some(play(Scheme::Tcp, setup, span).await?)
            }
            _ => None,
        };
        let mut round = play(scheme, setup, span).await?;
        if let Some(tcp) = plain.and_then(|plain| plain.rate())
            && let Some(rate) = round.rate()
        {
            round.0.extend([("tcp_per_s", tcp), ("tcp_part", rate / tcp)]);
        }
        Ok(round)
    }
}

async fn play(scheme: Scheme, setup: Setup, span: Duration) -> anyhow::Result<Round> {
    let served = Served::open(scheme, setup).await?;
    let plan = served.plan(span).await?;
    match setup.what {
        What::Idle => {
            let before = served.resident()?;
            let _stayers = visits::stay(&plan).await?;
            let after = served.resident()?;
            let each = after.saturating_sub(before) as f64 / f64::from(setup.clients);
            Ok(Round(vec![("kb_each", each / 1e3), ("resident_mb", after as f64 / 1e6)]))
        }
        What::Handshake | What::Reconnect => {
            let asks = setup.what == What::Reconnect;
            let Visits { tally, resumed_part } = visits::come_and_go(plan, asks).await?;
            let mut round = round(&tally, None, served.resident()?)?;
            let per_core = tally.answered() / tally.server_time.as_secs_f64();
            round.0.extend([("per_core_per_s", per_core), ("resumed_part", resumed_part)]);
            Ok(round)
        }
        What::Resolve3 | What::Resolve100 | What::Register | What::KeepAlive => {
            let floor = match Echo::like(&plan).await? {
                Some(echo) => Some(generator::run(echo.plan(&plan)?).await?),
                None => None,
            };
            let tally = generator::run(plan).await?;
            round(&tally, floor.as_ref(), served.resident()?)
        }
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

    /// Whether it is played over this. A machine without a network can play some; many requests at
    /// once make no difference to it.
    fn is_for(self, carrier: Carrier) -> bool {
        match (self.what, carrier) {
            (What::Handshake, carrier) => carrier == Carrier::Network(Scheme::Tls),
            (What::Reconnect | What::Idle, Carrier::Network(scheme)) => {
                matches!(scheme, Scheme::Tcp | Scheme::Tls)
            }
            (What::Reconnect | What::Idle, Carrier::None) => false,
            (_, Carrier::None) => self.clients == 1,
            (_, Carrier::Network(_)) => true,
        }
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
            "tls" => Ok(Self::Network(Scheme::Tls)),
            name => scheme(name).map(Self::Network).map_err(|known| format!("{known}, tls, none")),
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
