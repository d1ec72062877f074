//! Who lives (RFC 5353 §3.4.2, §3.4.3), and whether it has what this registrar has (§3.6.1).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use rand::RngExt;
use rserpool_wire::Message;
use rserpool_wire::enrp::{Body, Enrp, Presence};
use rserpool_wire::param::{PeChecksum, RegistrarId, SctpTransport, ServerInformation};

use super::hearsay::Origin;
use super::peers::Status;
use super::reach::within;
use super::supervision::LATENESS_TOLERATED;
use super::{Deadline, Event, Misbehaviour, Registrar, State};
use crate::advertised_addresses::advertised_addresses;
use crate::handlespace::Reach;
use crate::machine::{Carrier, Output, Peer};
use crate::time::Time;

/// Presences between two questions for a peer list: so, whom one registrar knows, all know soon.
const TICKS_PER_LIST: u32 = 8;
/// The longest pause between two audits of a registrar whose checksum never agrees.
const AUDIT_PAUSE_MAX: Duration = Duration::from_secs(60);
/// A pause of so many intervals says that a registrar's checksum has not agreed for long.
const AUDIT_PAUSES_DOUBTFUL: u32 = 16;
/// How often the table of a registrar is fetched although its checksum agrees. It has 16 bits, and
/// one element of 65 535 adds nothing to it (RFC 5353 §3.6): those are found so, if late.
pub(super) const FULL_AUDIT_INTERVAL: Duration = Duration::from_secs(600);
/// And so many presences after an association with it has come or gone.
const AUDIT_CALM: u32 = 4;
/// A registrar that is late each time, for more comes than it can read, waits for another one so many
/// times MAX-TIME-NO-RESPONSE: then it finds it dead all the same.
const EXTENSIONS_MAX: u8 = 32;
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// When this registrar told everyone that it lives.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    /// How many presences were told.
    ticks: u32,
    /// When everyone was last told beyond those.
    life_shown: Option<Time>,
}

impl Heartbeat {
    /// One more presence was told. True where it is time to ask for a peer list, too.
    fn tick(&mut self) -> bool {
        self.ticks = self.ticks.wrapping_add(1);
        self.ticks.is_multiple_of(TICKS_PER_LIST)
    }

    /// True where somebody who doubts that this registrar lives is to be answered: once in a pause.
    pub(super) fn may_show_life(&mut self, now: Time, pause: Duration) -> bool {
        let may = self.life_shown.is_none_or(|shown| now >= shown + pause);
        if may {
            self.life_shown = Some(now);
        }
        may
    }
}

impl Registrar {
    pub(super) fn arm_presence(&mut self, now: Time) {
        if self.deadlines.deadline(Deadline::Presence).is_none() {
            self.arm_next_presence(now);
        }
    }

    fn arm_next_presence(&mut self, now: Time) {
        // Never later than the interval, or others would have to allow for it.
        let spread = self.rng.random_range(0.875..=1.0);
        let interval = self.config.timing.presence_interval.max(INTERVAL_MIN).mul_f64(spread);
        self.deadlines.arm(Deadline::Presence, now + interval);
    }

    /// PEER-HEARTBEAT-CYCLE: tells everyone that this registrar lives.
    pub(super) fn tell_presence(&mut self, now: Time) {
        if self.state == State::Departed {
            return;
        }
        self.arm_next_presence(now);
        self.group_cast_presence();
        if self.config.discover {
            let body = Body::Presence(self.presence(None, false));
            let message = Enrp { sender: Some(self.id), receiver: None, body };
            self.outputs.push_back(Output::Announce(Message::Enrp(message)));
        }
        let asks_for_list = self.heartbeat.tick();
        if asks_for_list && self.is_serving() {
            self.ask_someone_for_list();
        }
    }

    fn ask_someone_for_list(&mut self) {
        let active = self.peers.iter().filter(|(_, p)| p.met && p.status == Status::Active);
        let active: Vec<RegistrarId> = active.map(|(&id, _)| id).collect();
        if active.len() > 1 {
            let row = self.rng.random_range(0..active.len());
            self.ask_for_list(active[row]);
        }
    }

    pub(super) fn ask_for_list(&mut self, id: RegistrarId) {
        let Some(link) = self.link_to(id) else { return };
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.list_asked = true;
        }
        self.send_enrp(link, Body::ListRequest);
    }

    /// Checklist 170 and the heartbeat: one presence for all.
    pub(super) fn group_cast_presence(&mut self) {
        let is_placed = |sctp: &SctpTransport| !sctp.addresses.iter().any(IpAddr::is_unspecified);
        if self.config.enrp.as_ref().is_none_or(is_placed) {
            // And what its checksum is over.
            let mut by_reach: BTreeMap<Reach, Vec<Peer>> = BTreeMap::new();
            let links = self.peers.values().filter_map(|peer| peer.links.first().copied());
            for link in links {
                by_reach.entry(self.reach_of(link)).or_default().push(link);
            }
            for links in by_reach.into_values() {
                let body = Body::Presence(self.presence(links.first().copied(), false));
                self.group_cast_over(links, body);
            }
            return;
        }
        // Each is told the addresses that it can see.
        let links: Vec<Peer> =
            self.peers.values().filter_map(|peer| peer.links.first().copied()).collect();
        for link in links {
            self.send_presence(link, None, false);
        }
    }

    pub(super) fn send_presence(
        &mut self,
        link: Peer,
        receiver: Option<RegistrarId>,
        reply_required: bool,
    ) {
        let body = Body::Presence(self.presence(Some(link), reply_required));
        let message = Enrp { sender: Some(self.id), receiver, body };
        self.outputs.push_back(Output::Send(link, message.into()));
    }

    fn presence(&self, link: Option<Peer>, reply_required: bool) -> Presence {
        let reach = link.map_or(Reach::Everywhere, |link| self.reach_of(link));
        let checksum = Some(self.handlespace.checksum_within(self.id, reach));
        Presence { reply_required, checksum, server: self.server_information(link) }
    }

    /// Where this registrar is, as the other end of an association can reach it.
    pub(super) fn server_information(&self, link: Option<Peer>) -> Option<ServerInformation> {
        let mut transport = self.config.enrp.clone()?;
        if transport.addresses.iter().any(IpAddr::is_unspecified) {
            let local = link.and_then(|link| self.associations.get(&link));
            let local = local.map_or(&[][..], |association| &association.link.local);
            transport.addresses = advertised_addresses(&transport.addresses, local).into();
        }
        // By multicast, whoever hears it goes by where it came from.
        if let Some(link) = link {
            transport.addresses = within(&transport.addresses, self.reach_of(link));
        }
        let has_one = !transport.addresses.is_empty();
        has_one.then_some(ServerInformation { id: Some(self.id), transport })
    }

    pub(super) fn on_presence(
        &mut self,
        now: Time,
        link: Peer,
        id: RegistrarId,
        presence: Presence,
    ) {
        let its_own = presence.server.filter(|server| server.id.is_none_or(|told| told == id));
        let told = its_own.map(|server| server.transport);
        let told = told.filter(|transport| self.is_dialable(transport));
        let ends = self.associations.get(&link).map(|association| &association.link);
        let ends = ends.map(|link| (link.carrier, link.remote.clone()));
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let is_new = !std::mem::replace(&mut peer.met, true);
        if told.is_some() {
            peer.transport = told;
        }
        if let Some((carrier, remote)) = ends {
            (peer.carrier, peer.seen_at) = (carrier, remote);
        }
        if presence.reply_required {
            // Checklist 142.
            self.send_presence(link, Some(id), false);
        }
        if is_new {
            self.outputs.push_back(Output::Event(Event::PeerUp(id)));
            if self.is_serving() {
                self.ask_for_list(id);
            }
        }
        self.seek_mentor(now);
        if let Some(checksum) = presence.checksum {
            self.audit(now, id, checksum);
        }
    }

    /// RFC 5353 §3.6.1. A registrar whose checksum does not agree however often its table was
    /// fetched is audited less often each time.
    fn audit(&mut self, now: Time, id: RegistrarId, checksum: PeChecksum) {
        let agrees = self.handlespace.checksum(id) == checksum;
        let interval = self.config.timing.presence_interval.max(INTERVAL_MIN);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.checksum_told = Some(checksum);
        if agrees {
            // Not at once: of two registrars that tell different things both agree in turn.
            if now >= peer.audit_at + peer.audit_pause * 4 {
                peer.audit_pause = Duration::ZERO;
            }
            self.audit_if_due(now, id);
            return;
        }
        self.stats.checksum_mismatches += 1;
        if !matches!(self.state, State::Serving) || peer.sync.is_some() || now < peer.audit_at {
            return;
        }
        let pause = (peer.audit_pause * 2).max(interval / 2);
        peer.audit_pause = pause.min(AUDIT_PAUSE_MAX);
        peer.audit_at = now + peer.audit_pause;
        if peer.audit_pause >= interval * AUDIT_PAUSES_DOUBTFUL {
            self.complain_of_peer(id, Misbehaviour::NeverAgrees);
        }
        self.start_sync(now, id, true);
    }

    /// An association with a registrar has come or gone, and updates with it: its checksum may not
    /// show that, so its table is fetched once things are calm.
    pub(super) fn links_have_changed(&mut self, now: Time, id: RegistrarId) {
        let calm = self.config.timing.presence_interval.max(INTERVAL_MIN) * AUDIT_CALM;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.full_audit_at = peer.full_audit_at.min(now + calm);
    }

    /// A checksum that agrees does not say that the tables do.
    fn audit_if_due(&mut self, now: Time, id: RegistrarId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let is_due = now >= peer.full_audit_at && now >= peer.audit_at;
        if !is_due || self.state != State::Serving || peer.sync.is_some() {
            return;
        }
        // Registrars that met together do not all ask together.
        let spread = self.rng.random_range(0.75..=1.0);
        peer.full_audit_at = now + FULL_AUDIT_INTERVAL.mul_f64(spread);
        self.start_sync(now, id, true);
    }

    /// A table that did not come to its end says nothing of whether it would agree: the next audit
    /// is not put off for long.
    pub(super) fn audit_soon(&mut self, now: Time, id: RegistrarId) {
        let pause_max = self.config.timing.presence_interval.max(INTERVAL_MIN) * 4;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.full_audit_at = peer.full_audit_at.min(now + pause_max);
        peer.audit_pause = peer.audit_pause.min(pause_max);
        peer.audit_at = peer.audit_at.min(now + pause_max);
    }

    /// A message of any kind came from a registrar (RFC 5353 §3.4.3).
    pub(super) fn is_alive(&mut self, now: Time, id: RegistrarId) {
        let silence_max = self.config.timing.peer_silence_max;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.last_heard = now;
        peer.extensions = 0;
        peer.times_left = 0;
        let has_bid = peer.bid.is_some();
        let was = std::mem::replace(&mut peer.status, Status::Active);
        let met = peer.met;
        if was != Status::Active {
            peer.alive_since = now;
        }
        if has_bid {
            self.bid_disproved(id);
        }
        match was {
            Status::Active => return,
            Status::Suspected if met => {
                self.outputs.push_back(Output::Event(Event::PeerBack(id)));
            }
            Status::Suspected => {}
            Status::LeftTo(_) | Status::TakingOver { .. } => {
                // RFC 5353 §3.5.1: a sign of life stops the takeover.
                self.stats.takeovers_abandoned += 1;
                self.outputs.push_back(Output::Event(Event::TakeoverStopped { target: id }));
            }
        }
        self.deadlines.arm(Deadline::Peer(id), now + silence_max);
    }

    /// The timer of a registrar fired; what for depends on what is thought of it.
    pub(super) fn on_peer_deadline(&mut self, now: Time, due: Time, id: RegistrarId) {
        let silence_max = self.config.timing.peer_silence_max.max(INTERVAL_MIN);
        let Some(peer) = self.peers.get(&id) else { return };
        let silent_until = peer.last_heard + silence_max;
        match peer.status {
            // Another registrar says that it is dead, and it did not answer.
            Status::Active if peer.bid.is_some() => {
                if !self.extend_peer(now, due, id) {
                    self.suspect(now, id);
                }
            }
            Status::Active if silent_until > now => {
                self.deadlines.arm(Deadline::Peer(id), silent_until);
            }
            Status::Active => self.suspect(now, id),
            Status::Suspected => {
                if !self.extend_peer(now, due, id) {
                    self.declare_dead(now, id);
                }
            }
            // Whoever wanted to take it over did not.
            Status::LeftTo(_) => self.suspect(now, id),
            Status::TakingOver { .. } => self.on_takeover_timeout(now, due, id),
        }
    }

    /// Waits on where the timer is late: this registrar was busy or stood still, and the answer may
    /// be in its queue. Nobody knows how long that is, so the whole wait begins anew.
    fn extend_peer(&mut self, now: Time, due: Time, id: RegistrarId) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        if now - due <= LATENESS_TOLERATED || peer.extensions >= EXTENSIONS_MAX {
            return false;
        }
        peer.extensions += 1;
        self.stats.peer_extensions += 1;
        let wait = self.config.timing.response_timeout.max(INTERVAL_MIN);
        self.deadlines.arm(Deadline::Peer(id), now + wait);
        true
    }

    /// MAX-TIME-LAST-HEARD is over, or the last association ended: the registrar is asked at once
    /// whether it lives.
    pub(super) fn suspect(&mut self, now: Time, id: RegistrarId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let is_new = match peer.status {
            Status::Active | Status::LeftTo(_) => true,
            Status::Suspected => false,
            // Its end is being decided.
            Status::TakingOver { .. } => return,
        };
        peer.status = Status::Suspected;
        let links = peer.links.clone();
        // Somebody says that it is this one, and was not believed: it may have been right.
        let may_be_elsewhere = links.is_empty() || !peer.doubted.is_empty();
        let wait = self.config.timing.response_timeout.max(INTERVAL_MIN);
        self.deadlines.arm(Deadline::Peer(id), now + wait);
        if is_new {
            self.stats.suspicions += 1;
            self.outputs.push_back(Output::Event(Event::PeerSuspected(id)));
        }
        for link in &links {
            self.send_presence(*link, Some(id), true);
        }
        if may_be_elsewhere {
            self.dial_registrar(now, id);
        }
    }

    /// A registrar could not be dialed. Where it is suspected, and no one who is connected may be
    /// it, it need not be waited for.
    pub(super) fn is_unreachable(&mut self, now: Time, id: RegistrarId) {
        let Some(peer) = self.peers.get(&id) else { return };
        let is_being_dialed = peer.dialing.is_some()
            || self.dialing.configured.iter().any(|c| c.id == Some(id) && c.peer.is_some());
        if peer.met
            && peer.status == Status::Suspected
            && peer.links.is_empty()
            && !is_being_dialed
            && !self.has_unidentified_link()
        {
            self.declare_dead(now, id);
        }
    }

    /// MAX-TIME-NO-RESPONSE is over.
    fn declare_dead(&mut self, now: Time, id: RegistrarId) {
        let Some(peer) = self.peers.get(&id) else { return };
        if !peer.met && self.handlespace.owned_count(id) == 0 {
            // Nobody but others ever heard of it.
            self.remove_peer(now, id);
            return;
        }
        if !self.is_serving() {
            // Who starts or leaves takes nobody over.
            let wait = self.config.timing.response_timeout.max(INTERVAL_MIN);
            self.deadlines.arm(Deadline::Peer(id), now + wait);
            return;
        }
        self.stats.peers_lost += 1;
        self.outputs.push_back(Output::Event(Event::PeerLost(id)));
        if !self.follow_bid(now, id) {
            self.start_takeover(now, id);
        }
    }

    /// A registrar is heard by multicast, as those of rsplib announce themselves.
    pub(super) fn on_multicast_presence(&mut self, now: Time, source: IpAddr, message: Enrp) {
        let (Some(id), Body::Presence(presence)) = (message.sender, message.body) else {
            self.stats.unexpected += 1;
            return;
        };
        let Some(told) = presence.server.filter(|_| self.config.discover) else { return };
        if id == self.id {
            self.on_own_id_announced(source, &told);
            return;
        }
        let addresses = source.into();
        let transport = SctpTransport { addresses, ..told.transport };
        let server = ServerInformation { id: Some(id), transport };
        let origin = Origin { addresses: &[source], is_vouched_for: false };
        self.learn(now, &server, Carrier::Sctp, origin);
    }
}
