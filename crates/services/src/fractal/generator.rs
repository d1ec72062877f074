//! A session of the fractal generator, as a value: what to compute next, what to send.

use std::time::Duration;

use rserpool::wire::DecodeError;
use tokio::time::Instant;

use super::packet::{Data, POINTS_MAX, Parameter};

/// So many messages after a cookie comes the next one,
const COOKIE_PACKETS: u32 = 10;
/// or so much later, with the message that is under way then.
const COOKIE_INTERVAL: Duration = Duration::from_secs(1);

/// A session as its server sees it.
#[derive(Debug, Default)]
pub(crate) struct Generator {
    work: Option<Work>,
}

#[derive(Debug)]
struct Work {
    parameter: Parameter,
    next: u64,
    /// Messages since the last cookie.
    packets: u32,
    cookie_at: Instant,
}

/// What is to be computed next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Piece {
    /// Of which picture.
    pub(crate) parameter: Parameter,
    /// From which point on.
    pub(crate) from: u64,
    /// How many points at most.
    pub(crate) count: usize,
}

/// What is to be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outgoing {
    /// To the client.
    Message(Vec<u8>),
    /// The state; all that it covers was sent before it.
    Cookie(Vec<u8>),
}

impl Generator {
    /// Takes a message: a picture to begin with, whatever there was before.
    pub(crate) fn begin(&mut self, now: Instant, octets: &[u8]) -> Result<Outgoing, DecodeError> {
        let parameter = Parameter::decode(octets)?;
        self.work = Some(Work { parameter, next: 0, packets: 0, cookie_at: now });
        Ok(Outgoing::Cookie(parameter.cookie(0)))
    }

    /// Goes on where the former server was. What is no state of this service changes nothing.
    pub(crate) fn resume(&mut self, now: Instant, cookie: &[u8]) {
        if let Some((parameter, next)) = Parameter::from_cookie(cookie) {
            self.work = Some(Work { parameter, next, packets: 0, cookie_at: now });
        }
    }

    /// What is to be computed; `None` where nothing is.
    pub(crate) fn piece(&self) -> Option<Piece> {
        let Work { parameter, next, .. } = self.work.as_ref()?;
        Some(Piece { parameter: *parameter, from: *next, count: POINTS_MAX })
    }

    /// The points of the [`piece`](Self::piece), as many as there are by now.
    pub(crate) fn computed(&mut self, now: Instant, iterations: Vec<u32>) -> Vec<Outgoing> {
        let Some(work) = &mut self.work else {
            return Vec::new();
        };
        let mut outgoing = Vec::new();
        if !iterations.is_empty() {
            let count = iterations.len() as u64;
            outgoing.push(Outgoing::Message(work.data(iterations).encode()));
            work.next += count;
            work.packets += 1;
        }
        if work.next >= work.parameter.points() {
            outgoing.push(Outgoing::Message(Data::End.encode()));
            self.work = None;
        } else if work.packets >= COOKIE_PACKETS || now >= work.cookie_at + COOKIE_INTERVAL {
            outgoing.push(work.cookie(now));
        }
        outgoing
    }

    /// The state of the moment; `None` where there is nothing to go on with.
    pub(crate) fn hand_over(&mut self, now: Instant) -> Option<Outgoing> {
        self.work.as_mut().map(|work| work.cookie(now))
    }
}

impl Work {
    fn data(&self, iterations: Vec<u32>) -> Data {
        let width = u64::from(self.parameter.width);
        let side = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Data::Points { x: side(self.next % width), y: side(self.next / width), iterations }
    }

    fn cookie(&mut self, now: Instant) -> Outgoing {
        (self.packets, self.cookie_at) = (0, now);
        Outgoing::Cookie(self.parameter.cookie(self.next))
    }
}
