//! Setting up associations: to configured registrars for ever, to learned ones while they are
//! wanted, to elements that are taken over.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use rserpool_wire::Protocol;
use rserpool_wire::param::RegistrarId;

use super::dials::{Dial, Dials};
use super::peers::{PeerRegistrar, Status};
use super::{Deadline, Phase, Registrar, State};
use crate::machine::{Output, Peer, Target};
use crate::time::Time;

/// A registrar that the driver knows by number.
#[derive(Debug, Default)]
pub(super) struct ConfiguredPeer {
    /// Who answered there last.
    pub(super) id: Option<RegistrarId>,
    /// The association to it, up or under way.
    pub(super) peer: Option<Peer>,
    /// Attempts that failed since it last answered.
    pub(super) failures: u32,
    /// So often it was dialed before its pause was over, since that began.
    hurried: u8,
    /// The dial that is under way is one of these.
    is_hurried: bool,
    /// It is this registrar itself: never dialed again.
    pub(super) is_self: bool,
    /// It is no longer configured: not dialed again unless it is once more.
    pub(super) is_removed: bool,
}

impl ConfiguredPeer {
    /// Somebody answered there.
    pub(super) fn answered(&mut self) {
        (self.failures, self.hurried, self.is_hurried) = (0, 0, false);
    }
}

/// Whom this registrar dials.
#[derive(Debug)]
pub(super) struct Dialing {
    /// By number.
    pub(super) configured: Vec<ConfiguredPeer>,
    /// Associations that are being set up.
    pub(super) under_way: Dials,
}

impl Dialing {
    /// So many registrars are configured, and none is dialed yet.
    pub(super) fn new(configured: usize) -> Self {
        let configured = (0..configured).map(|_| ConfiguredPeer::default()).collect();
        Self { configured, under_way: Dials::default() }
    }
}

/// A configured registrar is dialed so often before its pause is over: other registrars come, and each
/// may be the one.
const HURRIED_MAX: u8 = 8;
/// The longest pause between two attempts, whatever the profile.
const PAUSE_MAX: Duration = Duration::from_secs(5);
const PAUSE_MIN: Duration = Duration::from_millis(5);

impl Registrar {
    /// Asks for an association; its name.
    pub(super) fn dial(&mut self, target: Target, protocol: Protocol, dial: Dial) -> Peer {
        let peer = self.dialing.under_way.begin(dial);
        self.outputs.push_back(Output::Connect(peer, target, protocol));
        peer
    }

    /// Dials a configured registrar, unless there is an association to it already.
    pub(super) fn dial_configured(&mut self, now: Time, number: usize) {
        let Some(configured) = self.dialing.configured.get(number) else { return };
        let is_wanted = !configured.is_self && !configured.is_removed;
        if configured.peer.is_some() || !is_wanted || self.state == State::Departed {
            return;
        }
        // It may have dialed this registrar.
        let known = configured.id.and_then(|id| self.peers.get(&id));
        let is_here =
            |known: &PeerRegistrar| !known.links.is_empty() && known.status == Status::Active;
        if known.is_some_and(is_here) {
            self.redial(number, now + self.pause_max());
            return;
        }
        self.stats.peer_dials += 1;
        let target = Target::Configured(number);
        let peer = self.dial(target, Protocol::Enrp, Dial::Configured(number));
        self.dialing.configured[number].peer = Some(peer);
    }

    /// The pause before a configured registrar is dialed again is over.
    pub(super) fn on_redial(&mut self, now: Time, number: usize) {
        if let Some(configured) = self.dialing.configured.get_mut(number) {
            configured.hurried = 0;
        }
        self.dial_configured(now, number);
    }

    /// Somebody came by itself who may be a configured registrar that did not listen yet when it was
    /// dialed. Those are dialed now: until one has answered there, what it has counts for little.
    /// So often in each pause, whoever comes.
    pub(super) fn look_for_configured(&mut self, now: Time) {
        for number in 0..self.dialing.configured.len() {
            let configured = &mut self.dialing.configured[number];
            let is_missed = configured.id.is_none() && configured.peer.is_none();
            if is_missed && configured.failures > 0 && configured.hurried < HURRIED_MAX {
                configured.hurried += 1;
                configured.is_hurried = true;
                self.dial_configured(now, number);
            }
        }
    }

    /// The numbers of the configured registrars.
    pub(super) fn configured_numbers(&self) -> impl Iterator<Item = usize> {
        let rows = self.dialing.configured.iter().enumerate();
        rows.filter(|(_, configured)| !configured.is_removed).map(|(number, _)| number)
    }

    /// From now on these are configured, and no others: new ones are dialed, and others no longer.
    /// Associations that are up stay.
    pub(super) fn configure_peers(&mut self, now: Time, numbers: &BTreeSet<usize>) {
        let len = numbers.last().map_or(0, |last| last + 1).max(self.dialing.configured.len());
        let unknown = || ConfiguredPeer { is_removed: true, ..ConfiguredPeer::default() };
        self.dialing.configured.resize_with(len, unknown);
        for number in 0..len {
            let (is_wanted, configured) =
                (numbers.contains(&number), &mut self.dialing.configured[number]);
            if std::mem::replace(&mut configured.is_removed, !is_wanted) != is_wanted {
                continue;
            }
            if is_wanted {
                configured.failures = 0;
                // A registrar that was not started yet dials when it is.
                if !matches!(self.state, State::Starting(Phase::Waiting) | State::Leaving) {
                    self.dial_configured(now, number);
                }
                continue;
            }
            let dialing = configured.peer.filter(|peer| self.dialing.under_way.contains_key(peer));
            if let Ok(number) = u32::try_from(number) {
                self.deadlines.disarm(Deadline::Redial(number));
            }
            if let Some(dialing) = dialing {
                self.abort_link(now, dialing);
            }
        }
    }

    /// Dials a registrar whose associations have all ended.
    pub(super) fn dial_registrar(&mut self, now: Time, id: RegistrarId) {
        let is_one = |c: &ConfiguredPeer| c.id == Some(id) && !c.is_self && !c.is_removed;
        let row = self.dialing.configured.iter().position(is_one);
        if let Some(number) = row {
            self.dial_configured(now, number);
            return;
        }
        let Some(peer) = self.peers.get(&id).filter(|peer| peer.dialing.is_none()) else {
            return;
        };
        let dial = match peer.listed {
            Some(_) if !peer.proof.is_vouched_for() => Dial::Listed(id),
            _ => Dial::Registrar(id),
        };
        let Some(target) = peer.target() else { return };
        self.stats.peer_dials += 1;
        let dialing = self.dial(target, Protocol::Enrp, dial);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.dialing = Some(dialing);
        }
    }

    /// The other end had set up what this registrar asked for.
    pub(super) fn on_known(&mut self, now: Time, dialed: Peer, there: Peer) {
        let Some(dial) = self.dialing.under_way.remove(&dialed) else { return };
        let Some(association) = self.associations.get(&there) else {
            self.dial_failed(now, dial);
            return;
        };
        let registrar = association.registrar;
        self.raise_proof(now, there, &dial);
        match &dial {
            Dial::Configured(number) => {
                if let Some(configured) = self.dialing.configured.get_mut(*number) {
                    configured.peer = Some(there);
                    configured.id = registrar.or(configured.id);
                }
                // Its answer says who it is.
                self.send_presence(there, registrar, true);
            }
            Dial::Registrar(id) | Dial::Listed(id) => {
                if let Some(peer) = self.peers.get_mut(id) {
                    peer.dialing = None;
                }
                self.send_presence(there, registrar, true);
            }
            Dial::Elements(transport) => self.elements_reached(now, there, transport),
        }
    }

    /// An association could not be set up, or ended before the other end said who it is.
    pub(super) fn dial_failed(&mut self, now: Time, dial: Dial) {
        match dial {
            Dial::Configured(number) => {
                self.redial_later(now, number);
                if let Some(id) = self.dialing.configured.get(number).and_then(|c| c.id) {
                    self.is_unreachable(now, id);
                }
                self.seek_mentor(now);
            }
            Dial::Registrar(id) | Dial::Listed(id) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.dialing = None;
                }
                self.is_unreachable(now, id);
                self.seek_mentor(now);
            }
            Dial::Elements(transport) => self.elements_unreachable(now, &transport),
        }
    }

    /// The association to a configured registrar is over: another one comes, later each time.
    pub(super) fn redial_later(&mut self, now: Time, number: usize) {
        let Some(configured) = self.dialing.configured.get_mut(number) else { return };
        configured.peer = None;
        if configured.is_self || configured.is_removed {
            return;
        }
        let was_hurried = std::mem::take(&mut configured.is_hurried);
        let row = u32::try_from(number).unwrap_or(u32::MAX);
        if was_hurried && self.deadlines.deadline(Deadline::Redial(row)).is_some() {
            // The pause that it was in goes on.
            return;
        }
        let doublings = configured.failures.min(16);
        configured.failures = configured.failures.saturating_add(1);
        let first = self.config.timing.response_timeout / 3;
        let pause = first.saturating_mul(1 << doublings).min(self.pause_max()).max(PAUSE_MIN);
        let pause = pause.mul_f64(self.rng.random_range(0.5..=1.0));
        self.redial(number, now + pause);
    }

    /// An association has ended: each configured registrar that was reached over it is dialed again,
    /// whichever end had set it up, and whatever for.
    pub(super) fn redial_over(&mut self, now: Time, link: Peer) {
        let rows = self.dialing.configured.iter().enumerate();
        let numbers: Vec<usize> =
            rows.filter(|(_, it)| it.peer == Some(link)).map(|(number, _)| number).collect();
        for number in numbers {
            self.redial_later(now, number);
        }
    }

    fn redial(&mut self, number: usize, at: Time) {
        // Nobody configures so many that it would not.
        if let Ok(number) = u32::try_from(number) {
            self.deadlines.arm(Deadline::Redial(number), at);
        }
    }

    fn pause_max(&self) -> Duration {
        self.config.timing.peer_silence_max.clamp(PAUSE_MIN, PAUSE_MAX)
    }
}
