//! `rserpool bench attack`: what honest elements and users notice while a stranger attacks.

mod asap;
mod enrp;
mod honest;
mod octets;
mod packet;
mod stranger;
mod target;
mod userland;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rserpool::proto::timing::Profile;
use rserpool::transport::Scheme;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::load::{Load, latencies_ms};
use super::report::{Case, Report, Round, quantile};
use super::scope::Setting;
use super::usage::second_processor;
use super::{baseline, chosen, name};
use crate::Output;
use crate::clock::now_us;

use honest::Honest;
use target::{Stderr, Target};

const HELP: &str = "\
Two registrars with default settings on one processor, ten honest elements and an honest user over TCP at
the first of them, and on the other processor an attacker at 127.0.0.2 (at 127.0.0.1, as the honest ones,
where it wants to be taken for one of them).

Scenarios, at the ASAP port:
  rejected        Registrations that are rejected, as many as go through.
  unread-log      The same, and nobody reads the registrar's log.
  malformed       Messages that nobody can read.
  pools           One connection opens as many pools as it can.
  elements        One connection registers as many elements as it can.
  subscribers     1500 subscribers that read nothing, of a pool that changes every 20 ms.
  slow-readers    500 connections that ask and read nothing.
  reports         Reports that the honest elements are unreachable.
  taken-ids       Registrations with the identifiers of the honest elements.
  deregistrations Deregistrations of the honest elements.
  idle            Connections that say nothing, as many as go through.
  half-messages   3000 connections with half a message each.
At the ENRP port, after a presence:
  own-takeover    Takeovers of the registrar that is told of them.
  stolen-elements Updates that move the honest elements to the attacker, and delete them.
  false-takeover  Takeover of the second registrar, which lives, and its elements deleted.
  borrowed-id     The same with the identifier of the second registrar.
  seats           300 registrars that do not exist.
  servers         Lists of 100 registrars that do not exist.
  invented        5000 elements that do not exist.
  observers       80 table downloads that do not go on.
In packets of SCTP over UDP:
  inits           INITs, as many as go through.
  fragments       One message in fragments of one octet, the last of them first.

Measures. Of each there are the median, the least and the most of all rounds.
  honest_p50_ms, honest_p99_ms, honest_max_ms
                   How long resolutions of the honest user took; quiet_… before the attack.
  failed           Resolutions of the honest user that failed.
  looks, missing   How often it was looked whether all honest elements are listed with their own
                   addresses, and how often one was not.
  attacks          Messages, connections or packets that the attacker sent.
  resident_mb, grown_mb
                   Memory of the first registrar at most, and how much more that is than before.
  log_octets_min   Octets of its log for each minute.

JSON: one object.
  rounds       how many
  floor        tcp_echo_us: a round trip of 64 octets over TCP between two threads
  results      array: scenario, measures: an object of the above by name, each with median, min, max

It sends to 127.0.0.1 only. A host with one processor is refused.";

/// Measures what honest elements and users notice of attacks.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// How often each scenario is played.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// How long each attack lasts, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// What to play; may be repeated. By default everything.
    #[arg(long = "scenario", value_enum, value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
}

/// What a stranger does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Scenario {
    /// Rejected registrations.
    Rejected,
    /// The same with a log that nobody reads.
    UnreadLog,
    /// Messages that nobody can read.
    Malformed,
    /// As many pools as go through.
    Pools,
    /// As many elements as go through.
    Elements,
    /// Subscribers that read nothing.
    Subscribers,
    /// Connections that ask and read nothing.
    SlowReaders,
    /// Reports of elements that live.
    Reports,
    /// Registrations with the identifiers of others.
    TakenIds,
    /// Deregistrations of others.
    Deregistrations,
    /// Connections that say nothing.
    Idle,
    /// Connections with half a message.
    HalfMessages,
    /// Takeovers of the registrar itself.
    OwnTakeover,
    /// Updates about the elements of others.
    StolenElements,
    /// Takeover of a registrar that lives.
    FalseTakeover,
    /// The identifier of another registrar.
    BorrowedId,
    /// Registrars that do not exist.
    Seats,
    /// Lists of registrars that do not exist.
    Servers,
    /// Elements that do not exist.
    Invented,
    /// Table downloads that do not go on.
    Observers,
    /// INITs of SCTP.
    Inits,
    /// Fragments in descending order.
    Fragments,
}

/// What an attacker has sent so far.
#[derive(Clone, Debug, Default)]
struct Sent(Arc<AtomicU64>);

impl Sent {
    fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long honest ones are alone before.
const QUIET: Duration = Duration::from_secs(2);
/// How much longer than planned a round may take.
const ROUND_MAX: Duration = Duration::from_secs(120);

impl Args {
    pub(crate) async fn run(self, output: &mut dyn Output) -> anyhow::Result<()> {
        second_processor()?;
        super::conduct(self.measure(), output).await
    }

    async fn measure(&self) -> anyhow::Result<Report> {
        let mut report = baseline::report(self.rounds)?;
        let span = Duration::from_secs(self.seconds);
        for &scenario in chosen(&self.scenarios) {
            let case = Case::new([("scenario", name(scenario))]);
            let round = async |_| round(scenario, span).await;
            let rounds = case.play(self.rounds, ROUND_MAX + span, round).await?;
            report.add(case, &rounds, None);
        }
        Ok(report)
    }
}

async fn round(scenario: Scenario, span: Duration) -> anyhow::Result<Round> {
    let log = if scenario == Scenario::UnreadLog { Stderr::Unread } else { Stderr::Counted };
    let mut target = Target::open(log).await?;
    let honest = Honest::start(&mut target).await?;
    let setting = Setting { scheme: Scheme::Tcp, profile: Profile::default() };
    let load = Load::of_user(setting, &target.urls(), target.pool.clone()).await?;
    let quiet_from = now_us();
    sleep(QUIET).await;
    ensure!(honest.missing() == 0, "an honest element is missing before the attack");
    let before = target.resident()?;
    let logged_before = target.log_octets();

    let begun_us = now_us();
    let attacker = Attacker::start(scenario, &target)?;
    let resident = target.most_resident(span).await?;
    let sent = attacker.end()?;
    let ended_us = now_us();
    let log_octets = target.log_octets() - logged_before;
    let (looks, missing) = (honest.looks(), honest.missing());

    let resolutions = load.resolutions();
    let quiet = latencies_ms(&resolutions, quiet_from, begun_us);
    let during = latencies_ms(&resolutions, begun_us, ended_us);
    let failed = resolutions.iter().filter(|it| !it.succeeded && it.ended_us > begun_us).count();
    ensure!(!quiet.is_empty(), "nothing was resolved");
    let mb = |octets: u64| octets as f64 / 1e6;
    let minutes = span.as_secs_f64() / 60.0;
    Ok(Round(vec![
        ("honest_p50_ms", quantile(during.clone(), 0.5)),
        ("honest_p99_ms", quantile(during.clone(), 0.99)),
        ("honest_max_ms", quantile(during, 1.0)),
        ("quiet_p50_ms", quantile(quiet.clone(), 0.5)),
        ("quiet_p99_ms", quantile(quiet, 0.99)),
        ("failed", failed as f64),
        ("looks", looks as f64),
        ("missing", missing as f64),
        ("attacks", sent as f64),
        ("resident_mb", mb(resident)),
        ("grown_mb", mb(resident.saturating_sub(before))),
        ("log_octets_min", log_octets as f64 / minutes),
    ]))
}

/// An attacker in a thread of its own; it ends when it is told to.
struct Attacker {
    sent: Sent,
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<anyhow::Result<()>>,
}

impl Attacker {
    fn start(scenario: Scenario, target: &Target) -> anyhow::Result<Self> {
        let sent = Sent::default();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        let (aim, counted) = (target.aim(), sent.clone());
        let attack = move || {
            runtime.block_on(async {
                tokio::select! {
                    ended = scenario.play(&aim, &counted) => ended,
                    _ = stopped => Ok(()),
                }
            })
        };
        let thread = std::thread::Builder::new().name("attacker".into()).spawn(attack)?;
        Ok(Self { sent, stop, thread })
    }

    /// How much it sent.
    fn end(self) -> anyhow::Result<u64> {
        // One that has ended by itself says why below.
        let _ = self.stop.send(());
        let ended = self.thread.join().ok().context("the attacker panicked")?;
        ended.context("the attack failed")?;
        Ok(self.sent.so_far())
    }
}

impl Scenario {
    /// Attacks until it is dropped.
    async fn play(self, aim: &target::Aim, sent: &Sent) -> anyhow::Result<()> {
        match self {
            Self::Rejected | Self::UnreadLog => asap::rejected(aim, sent).await,
            Self::Malformed => octets::malformed(aim, sent).await,
            Self::Pools => asap::pools(aim, sent).await,
            Self::Elements => asap::elements(aim, sent).await,
            Self::Subscribers => asap::subscribers(aim, sent).await,
            Self::SlowReaders => asap::slow_readers(aim, sent).await,
            Self::Reports => asap::reports(aim, sent).await,
            Self::TakenIds => asap::taken_ids(aim, sent).await,
            Self::Deregistrations => asap::deregistrations(aim, sent).await,
            Self::Idle => octets::idle(aim, sent).await,
            Self::HalfMessages => octets::half_messages(aim, sent).await,
            Self::OwnTakeover => enrp::own_takeover(aim, sent).await,
            Self::StolenElements => enrp::stolen_elements(aim, sent).await,
            Self::FalseTakeover => enrp::false_takeover(aim, sent).await,
            Self::BorrowedId => enrp::borrowed_id(aim, sent).await,
            Self::Seats => enrp::seats(aim, sent).await,
            Self::Servers => enrp::servers(aim, sent).await,
            Self::Invented => enrp::invented(aim, sent).await,
            Self::Observers => enrp::observers(aim, sent).await,
            Self::Inits => userland::inits(aim, sent).await,
            Self::Fragments => userland::fragments(aim, sent).await,
        }
    }
}
