//! `rserpool calcapp`: a client with jobs, and how long they take.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::bail;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rserpool::session::{Event, FailureReason};
use rserpool::wire::param::PoolHandle;
use rserpool::{PoolUser, Session};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::info;

use crate::output::{Format, Output};
use crate::runtime::{self, EndSignals};
use crate::sessions::{self, FRUITLESS_MAX, PoolArg, SessionArgs};
use rserpool_services as service;
use rserpool_services::calcapp::packet::{Kind, PPID, Packet};

mod report;

use report::{Delays, Report};

/// Have a pool calculate, and measure how long its jobs take.
///
/// Jobs arrive at random, wait in a queue, and go to a server one after the other. When a server
/// fails, another one does the rest of the job. It ends after the given number of jobs, or on
/// SIGINT or SIGTERM, and prints the delays that the published experiments measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pool: PoolArg,

    /// Calculations of a job: the mean of an exponential distribution.
    #[arg(long, value_name = "CALCULATIONS", default_value = "5000000")]
    job_size: NonZeroU64,

    /// The time between two jobs: the mean of an exponential distribution.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    interval: Duration,

    /// Make all jobs and intervals as long as their mean.
    #[arg(long)]
    constant: bool,

    /// How many jobs to run. By default there is no end.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// The seed of the random numbers.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// A server that is silent for this long is asked whether it still has the job; if it is silent
    /// for as long again, it has failed.
    #[arg(long, value_name = "DURATION", default_value = "2500ms", value_parser = humantime::parse_duration)]
    job_keep_alive: Duration,

    #[command(flatten)]
    sessions: SessionArgs,
}

/// Who was rejected comes back after up to so long, and no more often than that in a row.
const RETRY_MAX: Duration = Duration::from_millis(200);
const REJECTIONS_MAX: u32 = 10_000;

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        runtime::block_on(async {
            let user = self.sessions.user()?;
            let random = StdRng::seed_from_u64(self.seed);
            let pool = self.pool.of(service::Kind::Calcapp)?;
            let mut client = Client { args: &self, pool, user, random, report: Report::default() };
            let worked = client.work(output).await;
            client.report.print(&client.pool, output)?;
            worked
        })
    }
}

struct Client<'a> {
    args: &'a Args,
    pool: PoolHandle,
    user: PoolUser,
    random: StdRng,
    report: Report,
}

/// A job that waits or runs.
#[derive(Clone, Copy, Debug)]
struct Job {
    number: u32,
    size: u64,
    queued: Instant,
}

impl Client<'_> {
    async fn work(&mut self, output: &mut Output) -> anyhow::Result<()> {
        let mut signals = EndSignals::new()?;
        let mut next_at = Instant::now();
        let (mut queue, mut made) = (VecDeque::new(), 0_u64);
        loop {
            // Jobs come while others run.
            while next_at <= Instant::now() && self.args.count != Some(made) {
                made += 1;
                let number = u32::try_from(made).unwrap_or(u32::MAX);
                queue.push_back(Job { number, size: self.size(), queued: next_at });
                next_at += self.pause();
            }
            let Some(job) = queue.pop_front() else {
                if self.args.count == Some(made) {
                    return Ok(());
                }
                tokio::select! {
                    () = sleep_until(next_at) => continue,
                    () = signals.next() => return Ok(()),
                }
            };
            let delays = tokio::select! {
                delays = self.job(job) => delays?,
                () = signals.next() => return Ok(()),
            };
            if output.format() != Format::Json {
                output.line(format_args!("{}: {} calculations, {delays}", job.number, job.size))?;
            }
            self.report.add(job.size, delays);
        }
    }

    /// One job, until it is done.
    async fn job(&mut self, job: Job) -> anyhow::Result<Delays> {
        let started = Instant::now();
        for _ in 0..REJECTIONS_MAX {
            let session = self.args.sessions.connect(&self.user, &self.pool, PPID).await?;
            let outcome = self.run(&session, job, started).await?;
            tokio::spawn(session.close());
            if let Some(delays) = outcome {
                return Ok(delays);
            }
            self.report.rejected += 1;
            info!(job.number, "rejected");
            sleep(RETRY_MAX.mul_f64(self.random.random())).await;
        }
        bail!("every server of {} rejects the job", self.pool)
    }

    /// One job in one session; `None` where the server rejects it.
    async fn run(
        &mut self,
        session: &Session,
        job: Job,
        started: Instant,
    ) -> anyhow::Result<Option<Delays>> {
        let request = Packet { size: job.size, ..Packet::about(Kind::Request, job.number) };
        say(session, request).await?;
        let (mut accepted, mut is_asked, mut fruitless, mut left) = (None, false, 0, 0);
        // The server may have refused the state, and wait for a request.
        let mut is_in_doubt = false;
        while fruitless < FRUITLESS_MAX {
            let Ok(event) = timeout(self.args.job_keep_alive, session.next()).await else {
                let question = Packet::about(Kind::KeepAlive, job.number);
                match is_asked {
                    true => session.force_failover(),
                    false => say(session, if is_in_doubt { request } else { question }).await?,
                }
                is_asked = !is_asked;
                continue;
            };
            is_asked = false;
            let event = event.map_err(|error| self.args.sessions.explain(&self.pool, error))?;
            let octets = match event {
                Event::Received(octets) => octets,
                Event::FailedOver { resumed, reason, .. } => {
                    is_in_doubt = resumed;
                    fruitless += self.note(reason, resumed);
                    if !resumed {
                        say(session, request).await?;
                    }
                    continue;
                }
                _ => continue,
            };
            let Ok(packet) = Packet::decode(&octets) else { continue };
            fruitless = 0;
            match packet.kind {
                _ if packet.job != job.number => {}
                Kind::Accept => {
                    info!(job.number, "accepted");
                    (is_in_doubt, accepted) = (false, accepted.or_else(|| Some(Instant::now())));
                }
                // What is done of the job is not to be done again.
                Kind::Reject if session.has_cookie() && left < REJECTIONS_MAX => {
                    left += 1;
                    self.report.rejected += 1;
                    session.switch_server();
                }
                Kind::Reject | Kind::Abort => return Ok(None),
                Kind::KeepAlive => {
                    say(session, Packet::about(Kind::KeepAliveAck, job.number)).await?;
                }
                Kind::Complete => {
                    let done = Instant::now();
                    let accepted = accepted.unwrap_or(done);
                    return Ok(Some(Delays::of([job.queued, started, accepted, done])));
                }
                Kind::Request | Kind::KeepAliveAck => {}
            }
        }
        bail!("the servers of {} do not calculate", self.pool)
    }

    /// Counts a failover, if it is one.
    fn note(&mut self, reason: FailureReason, resumed: bool) -> u32 {
        let is_failure = reason != FailureReason::Left;
        self.report.failovers += u64::from(is_failure);
        self.report.resumed += u64::from(is_failure && resumed);
        u32::from(is_failure)
    }

    fn size(&mut self) -> u64 {
        #[expect(clippy::cast_precision_loss, reason = "a size at random")]
        let mean = self.args.job_size.get() as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let size = (mean * self.factor()).round() as u64;
        size.max(1)
    }

    fn pause(&mut self) -> Duration {
        const PAUSE_MAX: Duration = Duration::from_secs(1 << 30);
        let seconds = self.args.interval.as_secs_f64() * self.factor();
        Duration::try_from_secs_f64(seconds).map_or(PAUSE_MAX, |pause| pause.min(PAUSE_MAX))
    }

    /// 1 in the mean.
    fn factor(&mut self) -> f64 {
        if self.args.constant {
            return 1.0;
        }
        let share: f64 = self.random.random();
        -(1.0 - share).ln()
    }
}

async fn say(session: &Session, packet: Packet) -> anyhow::Result<()> {
    sessions::say(session, &packet.encode()).await
}
