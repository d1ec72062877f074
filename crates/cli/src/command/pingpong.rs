//! `rserpool pingpong`: a client that finds out whether anything gets lost.

use std::time::Duration;

use anyhow::bail;
use rserpool::Session;
use rserpool::session::{Event, FailureReason};
use rserpool::wire::param::{PeId, PoolHandle};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::debug;

use crate::output::{Format, Output};
use crate::runtime::{self, EndSignals};
use crate::sessions::{FRUITLESS_MAX, PoolArg, SessionArgs, say};
use rserpool_services::Kind;
use rserpool_services::pingpong::FIRST_REPLY;
use rserpool_services::pingpong::packet::{self, Packet};
use rserpool_services::pingpong::tally::{Counts, Tally, Verdict};

/// Ask a pool at regular intervals, and find out whether anything gets lost.
///
/// Servers number their answers; the next number goes from server to server in a cookie. So the
/// client can tell whether a question was lost or answered twice, whatever happens to servers.
///
/// It ends after the given number of questions, or on SIGINT or SIGTERM, with a summary. The exit
/// code is 0 only if nothing was lost, repeated or begun anew.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pool: PoolArg,

    /// The time between two questions.
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = interval_of)]
    interval: Duration,

    /// How many questions to ask. By default there is no end.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// A server that does not answer for this long has failed.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    answer_timeout: Duration,

    #[command(flatten)]
    sessions: SessionArgs,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        runtime::block_on(async {
            let pool = self.pool.of(Kind::Pingpong)?;
            let user = self.sessions.user()?;
            let session = self.sessions.connect(&user, &pool, packet::PPID).await?;
            let mut player = Player {
                args: &self,
                pool,
                session,
                tally: Tally::default(),
                failovers: Vec::new(),
                heard: Instant::now(),
                answered: Instant::now(),
                fruitless: 0,
                refused: 0,
                output,
            };
            let played = player.play().await;
            let is_clean = player.close()?;
            played?;
            if !is_clean {
                bail!("something was lost, repeated or begun anew");
            }
            Ok(())
        })
    }
}

/// A session and what came of it.
struct Player<'a> {
    args: &'a Args,
    pool: PoolHandle,
    session: Session,
    tally: Tally,
    failovers: Vec<serde_json::Value>,
    /// When the server was last heard of, or took the session.
    heard: Instant,
    /// When the last answer came.
    answered: Instant,
    /// Servers in a row that did not answer.
    fruitless: u32,
    /// Cookies that servers have refused so far.
    refused: u64,
    output: &'a mut Output,
}

impl Player<'_> {
    async fn play(&mut self) -> anyhow::Result<()> {
        let &Args { answer_timeout, ref sessions, .. } = self.args;
        let mut signals = EndSignals::new()?;
        let mut ticks = interval(self.args.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // When it was told to end: it asks no more, and what it has asked may still be answered.
        let mut end = None;
        loop {
            let has_asked_all = end.is_some() || Some(self.tally.counts.sent) == self.args.count;
            if has_asked_all && self.tally.is_quiet() {
                return Ok(());
            }
            let late = self.tally.oldest().map(|asked| asked.max(self.heard) + answer_timeout);
            let end_at = end.unwrap_or_else(Instant::now);
            tokio::select! {
                event = self.session.next() => {
                    let event = event.map_err(|error| sessions.explain(&self.pool, error))?;
                    self.on_event(event).await?;
                }
                _ = ticks.tick(), if !has_asked_all => {
                    let number = self.tally.ask(Instant::now());
                    self.ask(number).await?;
                }
                () = sleep_until(late.unwrap_or_else(Instant::now)), if late.is_some() => {
                    self.heard = Instant::now();
                    self.session.force_failover();
                }
                () = sleep_until(end_at), if end.is_some() => return Ok(()),
                () = signals.next() => end = Some(Instant::now() + answer_timeout),
            }
        }
    }

    async fn on_event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Received(octets) => return self.receive(&octets),
            Event::FailedOver { from, to, reason, resumed } => {
                self.heard = Instant::now();
                self.fruitless += 1;
                if self.fruitless > FRUITLESS_MAX {
                    bail!("the servers of {} do not answer", self.pool);
                }
                self.note_failover(from, to, reason, resumed)?;
                let numbers: Vec<u64> = self.tally.force_failover(resumed).collect();
                for number in numbers {
                    self.ask(number).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn receive(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        let (message, reply) = match Packet::decode(octets) {
            Ok(Packet::Pong { message, reply, .. }) => (message, reply),
            Ok(Packet::Ping { .. }) => return Ok(()),
            Err(error) => {
                debug!(%error, "no pong");
                return Ok(());
            }
        };
        self.heard = Instant::now();
        self.note_pause();
        self.fruitless = 0;
        self.note_refusal(reply);
        let verdict = self.tally.answer(self.heard, message, reply);
        if let Verdict::Answered(latency) = verdict
            && self.output.format() != Format::Json
        {
            let server =
                self.session.server().map_or_else(String::new, |server| server.id.to_string());
            let latency = as_ms(latency);
            self.output
                .line(format_args!("{message}: reply {reply} of {server} in {latency} ms"))?;
        }
        Ok(())
    }

    async fn ask(&self, number: u64) -> anyhow::Result<()> {
        let text = format!("question {number}").into_bytes();
        say(&self.session, &Packet::Ping { message: number, text }.encode()).await
    }

    fn note_failover(
        &mut self,
        from: PeId,
        to: PeId,
        reason: FailureReason,
        resumed: bool,
    ) -> anyhow::Result<()> {
        let [from, to] = [from, to].map(|id| id.to_string());
        let reason = format!("{reason:?}").to_lowercase();
        let state = if resumed { "with its state" } else { "without a state" };
        if self.output.format() != Format::Json {
            self.output.line(format_args!("{from} failed ({reason}), {to} goes on {state}"))?;
        }
        self.failovers.push(json!({
            "from": from,
            "to": to,
            "reason": reason,
            "resumed": resumed,
            "pause_ms": null,
        }));
        Ok(())
    }

    /// The server had a state to go on from, and has begun anew: it says so, or its count does.
    fn note_refusal(&mut self, reply: u64) {
        let refused = self.session.stats().cookies_refused;
        let is_refused = std::mem::replace(&mut self.refused, refused) != refused;
        if (is_refused || reply == FIRST_REPLY)
            && self.tally.begin_anew()
            && let Some(failover) = self.failovers.last_mut()
        {
            failover["resumed"] = false.into();
        }
    }

    /// The first answer after a failover tells how long there was none.
    fn note_pause(&mut self) {
        let pause = self.heard - std::mem::replace(&mut self.answered, self.heard);
        if let Some(failover) = self.failovers.last_mut().filter(|_| self.fruitless > 0) {
            failover["pause_ms"] = as_ms(pause).into();
        }
    }

    /// Prints the summary. True where all went as if there had been one server.
    fn close(&mut self) -> anyhow::Result<bool> {
        self.tally.close();
        let counts = self.tally.counts;
        let latencies = self.tally.latencies().map(|latencies| latencies.map(as_ms));
        if self.output.format() == Format::Json {
            let mut summary = serde_json::to_value(counts)?;
            summary["pool"] = self.pool.to_string().into();
            summary["moves"] = std::mem::take(&mut self.failovers).into();
            summary["latency_ms"] = latencies.map_or(
                serde_json::Value::Null,
                |[median, p99, max]| json!({ "median": median, "p99": p99, "max": max }),
            );
            self.output.json(&summary)?;
        } else {
            let Counts { sent, answered, resent, lost, .. } = counts;
            let Counts { failovers, restarts, duplicates, repeats, gaps, .. } = counts;
            self.output.line(format_args!(
                "{answered} of {sent} answered, {lost} lost, {resent} asked again; \
                 {failovers} failovers, {restarts} without state; \
                 {duplicates} duplicates, {repeats} repeats, {gaps} gaps"
            ))?;
        }
        Ok(counts.is_clean())
    }
}

fn as_ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// An interval of at least a millisecond.
fn interval_of(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let is_long_enough = interval >= Duration::from_millis(1);
    is_long_enough.then_some(interval).ok_or_else(|| "at least 1ms".into())
}
