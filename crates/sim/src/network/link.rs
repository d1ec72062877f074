//! What lies between hosts: delay, jitter, loss, and cuts.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rserpool_proto::time::Time;

use crate::program::NodeId;

/// How packets fare.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairment {
    /// The least time from host to host.
    pub delay: Duration,
    /// Up to so much is added, evenly.
    pub jitter: Duration,
    /// The share of packets that is lost, 0 … 1.
    pub loss: f64,
    /// The share of datagrams that arrives twice, 0 … 1. Associations sort that out by themselves.
    pub duplication: f64,
}

impl Impairment {
    /// A LAN on a good day.
    pub const LAN: Self = Self {
        delay: Duration::from_micros(100),
        jitter: Duration::from_micros(50),
        loss: 0.0,
        duplication: 0.0,
    };

    /// The longest way there and back.
    pub fn round_trip_max(&self) -> Duration {
        2 * (self.delay + self.jitter)
    }
}

/// The links between all hosts.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) weather: Impairment,
    /// Directed: from the first to the second nothing gets through.
    cuts: BTreeSet<(NodeId, NodeId)>,
    /// One packet in such a time is lost besides, and when the next one will be.
    drop_every: Option<(Duration, Time)>,
    rng: StdRng,
}

impl Links {
    pub(crate) fn new(weather: Impairment, seed: u64) -> Self {
        Self { weather, cuts: BTreeSet::new(), drop_every: None, rng: StdRng::seed_from_u64(seed) }
    }

    /// How long a packet takes; `None` where it is lost.
    pub(crate) fn carry(&mut self, from: NodeId, to: NodeId) -> Option<Duration> {
        let Impairment { delay, jitter, loss, .. } = self.weather;
        let is_lost = loss > 0.0 && self.rng.random_bool(loss.min(1.0));
        let extra = jitter.mul_f64(self.rng.random_range(0.0..=1.0));
        (!is_lost && self.is_open(from, to)).then_some(delay + extra)
    }

    /// From now on the first packet of an association that is sent in each such time is lost.
    pub(crate) fn drop_every(&mut self, pause: Duration) {
        self.drop_every = Some((pause, Time::ZERO));
    }

    /// True where it is time to lose one.
    pub(crate) fn drops(&mut self, now: Time) -> bool {
        let Some((pause, next)) = &mut self.drop_every else { return false };
        let is_due = *next <= now;
        if is_due {
            *next = now + *pause;
        }
        is_due
    }

    /// True where a datagram is to arrive once more.
    pub(crate) fn doubles(&mut self) -> bool {
        let share = self.weather.duplication;
        share > 0.0 && self.rng.random_bool(share.min(1.0))
    }

    /// True where packets may get through in this direction.
    pub(crate) fn is_open(&self, from: NodeId, to: NodeId) -> bool {
        !self.cuts.contains(&(from, to))
    }

    /// True where packets may get through in both directions.
    pub(crate) fn is_whole(&self, a: NodeId, b: NodeId) -> bool {
        self.is_open(a, b) && self.is_open(b, a)
    }

    pub(crate) fn cut(&mut self, from: NodeId, to: NodeId) {
        self.cuts.insert((from, to));
    }

    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// A random part of a span, so that timers of different hosts do not march in step.
    pub(crate) fn part_of(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.rng.random_range(0.0..=1.0))
    }
}
