//! A session of the calculation service, as a value.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info};

use super::packet::{Kind, Packet};
use super::processor::{Processor, Share};

/// So many calculations after a cookie comes the next one,
const COOKIE_CALCULATIONS: u64 = 5_000_000;
/// or so much later.
const COOKIE_INTERVAL: Duration = Duration::from_secs(5);
/// How long nothing is asked of the client, and how long it may then take to answer.
const KEEP_ALIVE: Duration = Duration::from_millis(2500);

/// A session as its server sees it: at most one job at a time.
#[derive(Debug, Default)]
pub(crate) struct Calculation {
    job: Option<Job>,
}

#[derive(Debug)]
struct Job {
    number: u32,
    share: Share,
    size: u64,
    /// What the last cookie said, and when.
    cookie: (u64, Instant),
    keep_alive: KeepAlive,
}

#[derive(Clone, Copy, Debug)]
enum KeepAlive {
    Ask { at: Instant },
    Wait { until: Instant },
}

/// What is to be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outgoing {
    /// To the client.
    Message(Packet),
    /// The state.
    Cookie(Packet),
}

impl Calculation {
    /// Takes a message.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        octets: &[u8],
        processor: &mut Processor,
    ) -> Option<Outgoing> {
        let packet = match Packet::decode(octets) {
            Ok(packet) => packet,
            Err(error) => {
                debug!(%error, "not of this protocol");
                return None;
            }
        };
        let is_mine = self.job.as_ref().is_some_and(|job| job.number == packet.job);
        match packet.kind {
            Kind::Request if self.job.is_some() => Some(answer(Kind::Reject, packet.job)),
            Kind::Request => Some(self.admit(now, Packet { completed: 0, ..packet }, processor)),
            Kind::Abort if is_mine => {
                self.stop(now, processor);
                None
            }
            Kind::KeepAlive if is_mine => Some(answer(Kind::KeepAliveAck, packet.job)),
            Kind::KeepAliveAck if is_mine => {
                if let Some(job) = &mut self.job {
                    job.keep_alive = KeepAlive::Ask { at: now + KEEP_ALIVE };
                }
                None
            }
            // Of other jobs, and what only a server says.
            Kind::Abort
            | Kind::KeepAlive
            | Kind::KeepAliveAck
            | Kind::Accept
            | Kind::Reject
            | Kind::Complete => None,
        }
    }

    /// Goes on where the former server was; what is no state of this service changes nothing.
    pub(crate) fn resume(
        &mut self,
        now: Instant,
        cookie: &[u8],
        processor: &mut Processor,
    ) -> Option<Outgoing> {
        let state = Packet::from_cookie(cookie)?;
        info!(state.size, state.completed, "a job goes on");
        self.job.is_none().then(|| self.admit(now, state, processor))
    }

    /// Does what the time has come for: at or after [`next_timeout`](Self::next_timeout).
    pub(crate) fn timeout(&mut self, now: Instant, processor: &mut Processor) -> Option<Outgoing> {
        let job = self.job.as_mut()?;
        let (number, size) = (job.number, job.size);
        let completed = processor.completed(now, &job.share);
        if completed >= size {
            self.stop(now, processor);
            let done = Packet { kind: Kind::Complete, job: number, size, completed };
            return Some(Outgoing::Message(done));
        }
        if now >= job.cookie_due(now, processor) {
            job.cookie = (completed, now);
            return self.state(now, processor);
        }
        match job.keep_alive {
            KeepAlive::Ask { at } if now >= at => {
                job.keep_alive = KeepAlive::Wait { until: now + KEEP_ALIVE };
                Some(answer(Kind::KeepAlive, number))
            }
            KeepAlive::Wait { until } if now >= until => {
                self.stop(now, processor);
                Some(answer(Kind::Abort, number))
            }
            KeepAlive::Ask { .. } | KeepAlive::Wait { .. } => None,
        }
    }

    /// When to call [`timeout`](Self::timeout), as long as no job comes or goes.
    pub(crate) fn next_timeout(&self, now: Instant, processor: &Processor) -> Option<Instant> {
        let job = self.job.as_ref()?;
        let (KeepAlive::Ask { at: keep_alive } | KeepAlive::Wait { until: keep_alive }) =
            job.keep_alive;
        let done = now + processor.remaining(now, &job.share);
        Some(done.min(keep_alive).min(job.cookie_due(now, processor)))
    }

    /// The state of the moment; `None` without a job.
    pub(crate) fn state(&self, now: Instant, processor: &Processor) -> Option<Outgoing> {
        let Job { number: job, size, share, .. } = self.job.as_ref()?;
        let completed = processor.completed(now, share);
        Some(Outgoing::Cookie(Packet { kind: Kind::Request, job: *job, size: *size, completed }))
    }

    /// Gives the job up, if there is one.
    pub(crate) fn stop(&mut self, now: Instant, processor: &mut Processor) {
        if self.job.take().is_some() {
            processor.leave(now);
        }
    }

    fn admit(&mut self, now: Instant, request: Packet, processor: &mut Processor) -> Outgoing {
        let Packet { job: number, size, completed, .. } = request;
        let Some(share) = processor.admit(now, size, completed) else {
            return answer(Kind::Reject, number);
        };
        let keep_alive = KeepAlive::Ask { at: now + KEEP_ALIVE };
        self.job = Some(Job { number, share, size, cookie: (completed, now), keep_alive });
        answer(Kind::Accept, number)
    }
}

impl Job {
    fn cookie_due(&self, now: Instant, processor: &Processor) -> Instant {
        let (covered, at) = self.cookie;
        let since = processor.completed(now, &self.share).saturating_sub(covered);
        let by_count = now + processor.time_for(COOKIE_CALCULATIONS.saturating_sub(since));
        by_count.min(at + COOKIE_INTERVAL)
    }
}

fn answer(kind: Kind, job: u32) -> Outgoing {
    Outgoing::Message(Packet::about(kind, job))
}
