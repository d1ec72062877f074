//! `rserpool bench session`: what clients see of servers that die and freeze under their sessions.

mod client;
mod crowd;
mod kills;
mod loss;
mod servers;

use std::time::Duration;

use rserpool::transport::Scheme;

use crate::Output;
use crate::process::Cause;

use super::baseline;
use super::report::{Case, Report, Round};
use super::scope::{scheme, schemes};
use super::{chosen, name};

const HELP: &str = "\
Scenarios. A registrar and ping-pong servers, each a process of its own; the clients are in this one.
  killed   Three servers. A session asks, and asks again as soon as it has its answer. The server
           that it uses is killed (kill -9).
  frozen   The same, stopped (SIGSTOP) instead; the session asks for signs of life every 50 ms, and
           leaves a server that was silent for 150 ms.
  crowd    Two servers; all sessions are at the first one, which is killed. Each has asked once, and
           asks again as soon as it has another server. They ask for signs of life as
           sessions do by default. Over TCP.
  kills    Three servers. As killed, but the server is killed again and again, at random times, and
           another one is started each time.

Measures. Of each there are the median, the least and the most of all rounds.
  answer_ms       From the signal to the next answer of another server.
  calm_answer_ms  The longest wait for an answer before the signal.
  moved_ms        crowd: from the signal until every session had an answer of the other server.
  sessions        crowd: how many there were.
  kills           kills: how many servers were killed in a round.
  questions       kills: how many were asked.
  lost            Questions without an answer.
  repeated        Answers with a number that another answer had before: done twice.
  gaps            Numbers that no answer had, and that no failover excuses.
  restarts        Sessions that began anew because no state reached the next server.
With lost, repeated, gaps or restarts other than 0 the round has failed.

JSON: one object.
  rounds       how many
  floor        tcp_echo_us: a round trip of 64 octets over TCP between two threads, in this run
  results      array: scenario, transport, and measures: an object of the above by name, each with
               median, min, max

A round ends after three minutes at the latest. Nothing that was started is left behind. With a
failed round nothing is reported and the exit code is 1.";

/// Measures how sessions fare when their servers die and freeze.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// How often each scenario is played.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// What to speak over: tcp, sctp+udp or sctp+kernel; may be repeated. By default all that work
    /// here.
    #[arg(long = "transport", value_name = "TRANSPORT", value_parser = scheme)]
    transports: Vec<Scheme>,

    /// What to play; may be repeated. By default everything.
    #[arg(long = "scenario", value_enum, value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,

    /// How many sessions a crowd is.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    sessions: u32,

    /// How many servers are killed in a round of kills.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    kills: u32,
}

/// What is played.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Scenario {
    /// The session's server is killed.
    Killed,
    /// The session's server is stopped.
    Frozen,
    /// The server of very many sessions is killed.
    Crowd,
    /// One server after the other is killed.
    Kills,
}

/// A round ends by then.
const ROUND_MAX: Duration = Duration::from_secs(180);

impl Args {
    pub(crate) async fn run(self, output: &mut dyn Output) -> anyhow::Result<()> {
        super::conduct(self.measure(), output).await
    }

    async fn measure(&self) -> anyhow::Result<Report> {
        let mut report = baseline::report(self.rounds)?;
        for scheme in schemes(&self.transports) {
            for &scenario in chosen(&self.scenarios) {
                // Sockets of one's own for each session take too much memory over SCTP.
                if scenario == Scenario::Crowd && scheme != Scheme::Tcp {
                    continue;
                }
                let transport = scheme.to_string();
                let case = Case::new([("scenario", name(scenario)), ("transport", transport)]);
                let round = async |_| self.round(scenario, scheme).await;
                let rounds = case.play(self.rounds, ROUND_MAX, round).await?;
                report.add(case, &rounds, None);
            }
        }
        Ok(report)
    }

    async fn round(&self, scenario: Scenario, scheme: Scheme) -> anyhow::Result<Round> {
        match scenario {
            Scenario::Killed => loss::round(scheme, Cause::Killed).await,
            Scenario::Frozen => loss::round(scheme, Cause::Frozen).await,
            Scenario::Crowd => crowd::round(scheme, self.sessions).await,
            Scenario::Kills => kills::round(scheme, self.kills).await,
        }
    }
}
