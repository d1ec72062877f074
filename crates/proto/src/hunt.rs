//! The search for a registrar (RFC 5352 §3.6), shared by pool elements and pool users.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rserpool_wire::Protocol;
use rserpool_wire::asap::Announce;
use rserpool_wire::param::{SctpTransport, Transport, TransportUse};
use rserpool_wire::registry::ASAP_PORT;

use crate::machine::{Output, Peer, Target};
use crate::stats::HuntStats;
use crate::time::Time;
use crate::timing::Timing;

/// The server hunt: finds the first registrar that takes an association (RFC 5352 §3.6 SH1–SH6).
///
/// Candidates are the configured registrars and those that announce themselves by multicast. A
/// round dials up to three at once, the least recently tried first, and replaces those that fail.
/// Where announced candidates abound, every other attempt still goes to a configured one. A round
/// that ends without success (T5) is followed by a longer one with other candidates, up to
/// [`backoff_max`](Timing::backoff_max); after the first one rounds last half of that to all of it,
/// and each ends so early as well where all have been dialed in vain.
///
/// ```text
///            start               an association is up, or stop
///   +-----+ -----------> +-------+ -----------> +-----+
///   | Off |              | Round |--+ T5:       | Off |
///   +-----+              +-------+<-+ doubled   +-----+
///      |                     ^
///      | start, after three  | T5: doubled
///      | fruitless ones      |
///      |                 +---------+
///      +---------------> | Resting |
///                        +---------+
/// ```
///
/// A part of a machine, not one itself: its owner hands in what concerns it, and outputs go to the
/// owner's queue. It names the associations: an owner dials through its hunt only.
#[derive(Debug)]
pub struct Hunt {
    hunt_timeout: Duration,
    backoff_max: Duration,
    announce_lifetime: Duration,
    rng: StdRng,
    state: State,
    candidates: Vec<Candidate>,
    attempts: Vec<Attempt>,
    /// Where ties between candidates are broken.
    rotation: usize,
    /// T5 of the next round.
    timeout: Duration,
    /// Associations that came up since a registrar last answered.
    fruitless: u32,
    /// Associations that came up since then, answered or not.
    found: (Time, u32),
    /// When the rest ends that is owed: it goes on where the hunt is ended before it is over, as by a
    /// user who has no more patience. A round that was cut short so counts as the rest before the
    /// next one.
    rest: Option<Time>,
    /// When the last round began.
    begun: Time,
    /// Not dialed in the first round, unless there is no other; some of the candidates.
    avoided: Vec<Target>,
    /// How many were dialed when this round began.
    round_start: u64,
    stats: HuntStats,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Off,
    /// Where nobody is left to be dialed, it ends earlier: not all that lost a registrar at the
    /// same time come back at the same time.
    Round {
        until: Time,
        early: Time,
    },
    Resting {
        until: Time,
    },
}

#[derive(Clone, Debug)]
struct Candidate {
    target: Target,
    /// Which dial it was when last tried; 0 for never.
    dialed: u64,
    /// T7-ENRPoutdate; configured ones stay.
    expires: Option<Time>,
}

#[derive(Clone, Debug)]
struct Attempt {
    peer: Peer,
    target: Target,
}

impl Hunt {
    /// Associations set up at once (RFC 5352 §3.6 SH1).
    pub const PARALLEL_MAX: usize = 3;
    /// Announced transports remembered at once; further ones are ignored until one is outdated.
    pub const LEARNED_MAX: usize = 64;
    /// Addresses of an announced transport; those with more are ignored.
    pub const ADDRESSES_MAX: usize = 64;
    /// Associations that come up and bring no answer before the next hunt waits for T5 first.
    pub const FRUITLESS_MAX: u32 = 3;
    /// Associations that come up within one T5, answers or not, before the next hunt waits for T5
    /// first.
    pub const FOUND_MAX: u32 = 16;

    /// A hunt that has not begun, among `configured` registrars and those that announce themselves.
    pub fn new(configured: usize, timing: &Timing, seed: u64) -> Self {
        let candidate = |n| Candidate { target: Target::Configured(n), dialed: 0, expires: None };
        Self {
            hunt_timeout: timing.hunt_timeout,
            backoff_max: timing.backoff_max,
            announce_lifetime: timing.announce_lifetime,
            rng: StdRng::seed_from_u64(seed),
            state: State::Off,
            candidates: (0..configured).map(candidate).collect(),
            attempts: Vec::new(),
            rotation: 0,
            timeout: timing.hunt_timeout,
            fruitless: 0,
            found: (Time::ZERO, 0),
            rest: None,
            begun: Time::ZERO,
            avoided: Vec::new(),
            round_start: 0,
            stats: HuntStats::default(),
        }
    }

    /// Begins to hunt; nothing where one is under way.
    pub fn start<E>(&mut self, now: Time, outputs: &mut VecDeque<Output<E>>) {
        if self.state != State::Off {
            return;
        }
        // Registrars that take associations and drop or ignore them are not dialed in a circle.
        if now - self.found.0 >= self.hunt_timeout {
            self.found = (now, 0);
        }
        if self.fruitless < Self::FRUITLESS_MAX && self.found.1 < Self::FOUND_MAX {
            return self.begin_round(now, outputs);
        }
        let until = self.rest.unwrap_or_else(|| self.begin_rest(now));
        self.state = State::Resting { until };
        if until <= now {
            self.end_rest(now, outputs);
        }
    }

    /// Ends the hunt and its attempts.
    pub fn stop<E>(&mut self, outputs: &mut VecDeque<Output<E>>) {
        if let State::Round { .. } = self.state {
            self.rest = Some(self.begun + self.timeout);
        }
        self.state = State::Off;
        self.abort_attempts(outputs);
    }

    /// Leaves a registrar that has fallen silent, or refuses its owner, out of the next round,
    /// unless there is no other: its kernel may still take associations, sooner than another
    /// registrar does. Ends with that round, and when a registrar [is of use](Self::settle).
    pub fn avoid(&mut self, target: Option<Target>) {
        let is_candidate = |target: &Target| self.candidates.iter().any(|it| it.target == *target);
        if let Some(target) = target.filter(is_candidate)
            && !self.avoided.contains(&target)
        {
            self.avoided.push(target);
        }
    }

    /// True where these are all registrars that it knows.
    pub fn are_all(&self, targets: &[&Target]) -> bool {
        self.candidates.iter().all(|candidate| targets.contains(&&candidate.target))
    }

    /// The registrar that was found has answered: it is of use, and T5 starts anew (SH3).
    pub fn settle(&mut self) {
        self.timeout = self.hunt_timeout;
        self.fruitless = 0;
        self.avoided.clear();
    }

    /// Takes an association that came up: what it goes to where it is the first of this hunt, which
    /// thereby ends; `None` where the hunt did not dial it.
    pub fn up<E>(&mut self, peer: Peer, outputs: &mut VecDeque<Output<E>>) -> Option<Target> {
        let row = self.attempts.iter().position(|attempt| attempt.peer == peer)?;
        let winner = self.attempts.swap_remove(row);
        self.fruitless = self.fruitless.saturating_add(1);
        self.found.1 = self.found.1.saturating_add(1);
        // RFC 5352 §3.6 SH6: one home; the other attempts end.
        self.stop(outputs);
        self.rest = None;
        Some(winner.target)
    }

    /// Takes an association that could not be set up, and dials another; false where the hunt did
    /// not dial it.
    pub fn down<E>(&mut self, peer: Peer, outputs: &mut VecDeque<Output<E>>) -> bool {
        let Some(row) = self.attempts.iter().position(|attempt| attempt.peer == peer) else {
            return false;
        };
        self.attempts.swap_remove(row);
        // RFC 5352 §3.6 SH4.
        self.fill(outputs);
        true
    }

    /// Learns from an announce (RFC 5352 §3.6); dials it where a round has room.
    pub fn announced<E>(
        &mut self,
        now: Time,
        source: IpAddr,
        announce: &Announce,
        outputs: &mut VecDeque<Output<E>>,
    ) {
        self.stats.announces += 1;
        self.forget_outdated(now);
        if announce.transports.is_empty() {
            // RFC 5352 §3.6: SCTP, where it came from, at the assigned port.
            let addresses = source.into();
            let transport_use = TransportUse::DataOnly;
            let sctp = SctpTransport { port: ASAP_PORT, transport_use, addresses };
            self.learn(now, &Transport::Sctp(sctp));
        }
        for transport in &announce.transports {
            self.learn(now, transport);
        }
        self.fill(outputs);
    }

    /// Lets a timer expire that is due; true where a round ended without an association.
    pub fn timeout<E>(&mut self, now: Time, outputs: &mut VecDeque<Output<E>>) -> bool {
        match self.state {
            State::Round { .. } if self.next_timeout().is_some_and(|until| until <= now) => {
                self.stats.dry_rounds += 1;
                self.avoided.clear();
                // RFC 5352 §3.6 SH5.
                self.abort_attempts(outputs);
                self.back_off();
                self.begin_round(now, outputs);
                true
            }
            State::Resting { until } if until <= now => {
                self.end_rest(now, outputs);
                false
            }
            State::Off | State::Round { .. } | State::Resting { .. } => false,
        }
    }

    /// When [`timeout`](Self::timeout) is due.
    pub fn next_timeout(&self) -> Option<Time> {
        match self.state {
            State::Off => None,
            State::Round { early, .. } if self.has_dialed_all() => Some(early),
            State::Round { until, .. } | State::Resting { until } => Some(until),
        }
    }

    /// What was counted.
    pub fn stats(&self) -> HuntStats {
        self.stats
    }

    fn begin_rest(&mut self, now: Time) -> Time {
        self.stats.rests += 1;
        let until = now + self.some_of_timeout().max(self.hunt_timeout);
        self.rest = Some(until);
        until
    }

    /// No association of this round is under way, and there is nobody else to dial.
    fn has_dialed_all(&self) -> bool {
        self.attempts.is_empty() && !self.candidates.is_empty()
    }

    /// Half of T5 to all of it.
    fn some_of_timeout(&mut self) -> Duration {
        self.timeout.mul_f64(self.rng.random_range(0.5..=1.0))
    }

    fn end_rest<E>(&mut self, now: Time, outputs: &mut VecDeque<Output<E>>) {
        self.back_off();
        self.begin_round(now, outputs);
    }

    fn begin_round<E>(&mut self, now: Time, outputs: &mut VecDeque<Output<E>>) {
        self.forget_outdated(now);
        self.rest = None;
        self.begun = now;
        // A registrar has T5 to take an association, however long or short the round.
        let until = now + self.some_of_timeout().max(self.hunt_timeout);
        let early = now + self.some_of_timeout();
        self.state = State::Round { until, early };
        self.round_start = self.stats.dials;
        self.rotation = self.rng.random_range(0..self.candidates.len().max(1));
        self.fill(outputs);
    }

    fn back_off(&mut self) {
        let longest = self.backoff_max.max(self.hunt_timeout);
        self.timeout = self.timeout.saturating_mul(2).min(longest);
    }

    fn fill<E>(&mut self, outputs: &mut VecDeque<Output<E>>) {
        if !matches!(self.state, State::Round { .. }) {
            return;
        }
        while self.attempts.len() < Self::PARALLEL_MAX {
            let Some(row) = self.next_candidate() else { return };
            self.dial(row, outputs);
        }
    }

    fn dial<E>(&mut self, row: usize, outputs: &mut VecDeque<Output<E>>) {
        self.stats.dials += 1;
        self.candidates[row].dialed = self.stats.dials;
        let peer = Peer::dialed(self.stats.dials);
        let target = self.candidates[row].target.clone();
        self.attempts.push(Attempt { peer, target: target.clone() });
        outputs.push_back(Output::Connect(peer, target, Protocol::Asap));
    }

    fn next_candidate(&self) -> Option<usize> {
        // A flood of announces takes at most every other attempt from the configured ones.
        let configured =
            self.attempts.iter().filter(|a| matches!(a.target, Target::Configured(_))).count();
        let configured_first = configured <= self.attempts.len() - configured;
        let count = self.candidates.len();
        let rank = |&row: &usize| {
            let candidate = &self.candidates[row];
            let wrong_kind = candidate.expires.is_none() != configured_first;
            (wrong_kind, candidate.dialed, (row + count - self.rotation) % count)
        };
        let untried = (0..count).filter(|&row| self.candidates[row].dialed <= self.round_start);
        let avoided = |row: &usize| self.avoided.contains(&self.candidates[*row].target);
        let best = untried.clone().filter(|row| !avoided(row)).min_by_key(rank);
        // Better a registrar that was silent than none.
        best.or_else(|| untried.filter(|_| self.attempts.is_empty()).min_by_key(rank))
    }

    fn abort_attempts<E>(&mut self, outputs: &mut VecDeque<Output<E>>) {
        outputs.extend(self.attempts.drain(..).map(|attempt| Output::Abort(attempt.peer)));
    }

    fn learn(&mut self, now: Time, transport: &Transport) {
        let dialable = matches!(transport, Transport::Sctp(_) | Transport::Tcp { .. });
        let addresses = transport.addresses();
        let usable = |address: &IpAddr| !address.is_unspecified() && !address.is_multicast();
        if !dialable
            || transport.port() == Some(0)
            || addresses.len() > Self::ADDRESSES_MAX
            || !addresses.iter().all(usable)
        {
            self.stats.announced_ignored += 1;
            return;
        }
        let expires = Some(now + self.announce_lifetime);
        let is_known = |candidate: &&mut Candidate| match &candidate.target {
            Target::Learned(known) => known == transport,
            Target::Configured(_) => false,
        };
        if let Some(known) = self.candidates.iter_mut().find(is_known) {
            known.expires = expires;
            return;
        }
        let learned = self.candidates.iter().filter(|c| c.expires.is_some()).count();
        if learned >= Self::LEARNED_MAX {
            self.stats.announced_ignored += 1;
            return;
        }
        let target = Target::Learned(transport.clone());
        self.candidates.push(Candidate { target, dialed: 0, expires });
    }

    fn forget_outdated(&mut self, now: Time) {
        self.candidates.retain(|candidate| candidate.expires.is_none_or(|expires| now < expires));
        self.rotation = self.rotation.min(self.candidates.len().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests;
