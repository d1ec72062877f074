//! The client of the demo: a process of its own that asks numbered questions and says what happens
//! to it, one JSON object a line.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use rserpool::session::{self, Event};
use rserpool::transport::Address;
use rserpool::wire::param::{PeId, PoolHandle};
use rserpool::{PoolUser, Session, user};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::command::resolve::pool_handle;
use crate::keys::KeyArgs;
use crate::output::Output;
use crate::runtime;
use crate::sessions::say;
use rserpool_bench::clock::now_us;
use rserpool_bench::process::end_of_stdin;

/// The client of the demo; not for people.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_parser = pool_handle)]
    pool: PoolHandle,
    #[arg(long)]
    registrar: Vec<Address>,
    #[command(flatten)]
    keys: KeyArgs,
}

/// What the client says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Report {
    /// A server has accepted.
    Connected { server: u32, at_us: u64 },
    /// The server has failed.
    Failed { server: u32, at_us: u64 },
    /// The first answer after a failure.
    Recovered { server: u32, at_us: u64, resent: u64 },
    /// Now and then, and at the end.
    Count(Count),
}

/// How many questions there were.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Count {
    pub(super) requests: u64,
    pub(super) answered: u64,
    pub(super) resent: u64,
    /// It was the last count.
    pub(super) done: bool,
}

/// A question every so often.
const PACE: Duration = Duration::from_millis(5);
/// A server that does not answer a question for so long has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the last answers may take.
const FAREWELL_MAX: Duration = Duration::from_secs(5);
/// How often the count is told.
const COUNT_INTERVAL: Duration = Duration::from_millis(250);

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        runtime::block_on(async {
            let mut config = user::Config::new(self.registrar);
            config.tls = self.keys.read()?;
            let user = PoolUser::start(config)?;
            let config = session::Config::default();
            let session = Session::connect(user, self.pool, config).await?;
            let mut client = Client {
                session,
                output,
                unanswered: BTreeMap::new(),
                arrived: Vec::new(),
                count: Count::default(),
                has_failed: false,
            };
            client.run().await
        })
    }
}

struct Client<'a> {
    session: Session,
    output: &'a mut Output,
    /// Questions without an answer, and when they were asked (last).
    unanswered: BTreeMap<u64, Instant>,
    /// The beginning of an answer: over TLS they come as a stream.
    arrived: Vec<u8>,
    count: Count,
    has_failed: bool,
}

impl Client<'_> {
    async fn run(&mut self) -> anyhow::Result<()> {
        let server = self.server();
        self.say(&Report::Connected { server, at_us: now_us() })?;
        let end = end_of_stdin(true);
        tokio::pin!(end);
        let mut farewell = None;
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut counts = interval(COUNT_INTERVAL);
        loop {
            if farewell.is_some() && self.unanswered.is_empty() {
                break;
            }
            // Questions are asked in order, so the first is the oldest.
            let oldest = self.unanswered.values().next().copied();
            let overdue = oldest.unwrap_or_else(Instant::now) + ANSWER_TIMEOUT;
            tokio::select! {
                _ = pace.tick(), if farewell.is_none() => self.ask().await?,
                event = self.session.next() => self.on_event(event?).await?,
                () = sleep_until(overdue), if oldest.is_some() => self.give_up()?,
                _ = counts.tick() => self.say(&Report::Count(self.count))?,
                () = &mut end, if farewell.is_none() => {
                    farewell = Some(Instant::now() + FAREWELL_MAX);
                }
                () = sleep_until(farewell.unwrap_or(overdue)), if farewell.is_some() => break,
            }
        }
        self.count.done = true;
        self.say(&Report::Count(self.count))
    }

    async fn ask(&mut self) -> anyhow::Result<()> {
        self.count.requests += 1;
        let number = self.count.requests;
        self.unanswered.insert(number, Instant::now());
        say(&self.session, format!("request {number}\n").as_bytes()).await
    }

    /// The server does not answer, though its association is there.
    fn give_up(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        self.unanswered.values_mut().for_each(|asked| *asked = now);
        let server = self.server();
        self.session.force_failover();
        self.fail(server)
    }

    fn fail(&mut self, server: u32) -> anyhow::Result<()> {
        self.has_failed = true;
        self.say(&Report::Failed { server, at_us: now_us() })
    }

    async fn on_event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::FailoverNeeded { from: PeId(server), .. } => self.fail(server),
            Event::FailedOver { .. } => {
                self.arrived.clear();
                self.ask_again().await
            }
            Event::Received(octets) => self.on_octets(&octets),
            _ => Ok(()),
        }
    }

    async fn ask_again(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        for (number, asked) in &mut self.unanswered {
            *asked = now;
            self.count.resent += 1;
            say(&self.session, format!("request {number}\n").as_bytes()).await?;
        }
        Ok(())
    }

    fn on_octets(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        self.arrived.extend_from_slice(octets);
        let arrived = std::mem::take(&mut self.arrived);
        let mut lines = arrived.split(|octet| *octet == b'\n');
        // What follows the last line is the beginning of the next, or nothing.
        self.arrived = lines.next_back().unwrap_or_default().to_vec();
        lines.try_for_each(|line| self.on_answer(line))
    }

    fn on_answer(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        let number = std::str::from_utf8(octets)
            .ok()
            .and_then(|text| text.strip_prefix("request "))
            .and_then(|number| number.parse().ok())
            .context("an answer that was not asked for")?;
        if self.unanswered.remove(&number).is_none() {
            return Ok(());
        }
        self.count.answered += 1;
        if std::mem::take(&mut self.has_failed) {
            let (server, resent) = (self.server(), self.count.resent);
            self.say(&Report::Recovered { server, at_us: now_us(), resent })?;
        }
        Ok(())
    }

    fn server(&self) -> u32 {
        self.session.server().map_or(0, |element| element.id.0)
    }

    fn say(&mut self, report: &Report) -> anyhow::Result<()> {
        Ok(self.output.json(report)?)
    }
}
