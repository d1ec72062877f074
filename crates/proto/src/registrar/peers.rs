//! The peer list: the other registrars of the scope (RFC 5353 §3.4).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use rserpool_wire::codec::Codec;
use rserpool_wire::enrp::{Body, Enrp, ListResponse};
use rserpool_wire::param::{
    Cause, PeChecksum, RegistrarId, SctpTransport, ServerInformation, Transport,
};
use rserpool_wire::registry::CauseCode;
use rserpool_wire::{Message, Protocol};

use super::dials::Dial;
use super::presence::FULL_AUDIT_INTERVAL;
use super::proof::Proof;
use super::reach::within;
use super::sync::{Sync, SyncFailure};
use super::{Association, Deadline, Event, Misbehaviour, Registrar, State};
use crate::machine::{Carrier, Output, Peer, Source, Target};
use crate::time::Time;

/// What this registrar knows of another one.
#[derive(Debug)]
pub(super) struct PeerRegistrar {
    pub(super) status: Status,
    /// Its associations. Messages go over the first, the oldest as long as that is of use, so that
    /// they arrive in order.
    pub(super) links: Vec<Peer>,
    /// Associations whose other end says that it is this registrar, and is not believed.
    pub(super) doubted: Vec<Peer>,
    /// What has shown who it is, over any association.
    pub(super) proof: Proof,
    /// Whom its seat is counted for.
    pub(super) source: Option<Source>,
    /// Where it says it is.
    pub(super) transport: Option<SctpTransport>,
    /// Where one says it is that is known to the operator.
    pub(super) listed: Option<SctpTransport>,
    /// What it was heard over, and is dialed over.
    pub(super) carrier: Carrier,
    /// Where it was heard from.
    pub(super) seen_at: Vec<IpAddr>,
    pub(super) last_heard: Time,
    /// Since when it lives without doubt.
    pub(super) alive_since: Time,
    /// It has introduced itself by a presence.
    pub(super) met: bool,
    /// The association that is being set up to it.
    pub(super) dialing: Option<Peer>,
    /// It was asked for its peer list.
    pub(super) list_asked: bool,
    /// What is being fetched from it.
    pub(super) sync: Option<Sync>,
    /// Not before then is it audited again, and the pause after that.
    pub(super) audit_at: Time,
    pub(super) audit_pause: Duration,
    /// The application knows that its elements do not go with those here.
    pub(super) conflict_told: bool,
    /// How many of its tables in a row had elements that are this registrar's own.
    pub(super) claims_in_row: u8,
    /// It has missed updates while its association was congested. That it fetches what it lacks is
    /// all that has to be remembered, however much it is.
    pub(super) is_behind: bool,
    /// The checksum that it told last.
    pub(super) checksum_told: Option<PeChecksum>,
    /// Why it could not be audited, as the application knows.
    pub(super) failure_told: Option<SyncFailure>,
    /// How often a wait for it was extended because this registrar was late.
    pub(super) extensions: u8,
    /// Another registrar wants to take it over, or says that it has, while it is heard.
    pub(super) bid: Option<Bid>,
    /// How often it was left to others since it was heard.
    pub(super) times_left: u8,
    /// Until then elements agree to it that it has taken over.
    pub(super) adopts_until: Time,
    /// When its table is fetched although its checksum agrees.
    pub(super) full_audit_at: Time,
}

/// What another registrar says of one that is heard: that is found out first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Bid {
    /// Who wants to take it over.
    pub(super) by: RegistrarId,
    /// It says that it has.
    pub(super) is_done: bool,
    pub(super) at: Time,
}

/// What is thought of another registrar.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Status {
    /// It lives.
    Active,
    /// It was silent for too long, or its last association ended: it is asked whether it lives.
    Suspected,
    /// Dead; another registrar takes it over (RFC 5353 §3.5.1: "not active").
    LeftTo(RegistrarId),
    /// Dead; this registrar takes it over, once these have agreed.
    TakingOver { pending: BTreeSet<RegistrarId> },
}

/// Another registrar, as the application sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PeerView {
    /// Its identifier.
    pub id: RegistrarId,
    /// What is thought of it.
    pub state: PeerState,
    /// Where it says it is.
    pub transport: Option<SctpTransport>,
    /// Over how many associations it is connected.
    pub associations: usize,
    /// When it was last heard of.
    pub last_heard: Time,
    /// How many elements it is the home of.
    pub elements: usize,
    /// What it was heard over.
    pub carrier: Carrier,
    /// The checksum over its elements as they are known here.
    pub checksum_here: PeChecksum,
    /// The checksum that it told last; `None` before its first presence.
    pub checksum_told: Option<PeChecksum>,
    /// Whether its handle table is being fetched.
    pub is_downloading: bool,
}

/// What is thought of another registrar.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PeerState {
    /// It lives.
    Active,
    /// It is asked whether it lives.
    Suspected,
    /// Dead; its elements are being taken over.
    Dead,
}

impl PeerRegistrar {
    fn new(now: Time, carrier: Carrier, source: Option<Source>) -> Self {
        Self {
            status: Status::Suspected,
            links: Vec::new(),
            doubted: Vec::new(),
            proof: Proof::default(),
            source,
            transport: None,
            listed: None,
            bid: None,
            times_left: 0,
            carrier,
            seen_at: Vec::new(),
            last_heard: now,
            alive_since: now,
            met: false,
            dialing: None,
            list_asked: false,
            sync: None,
            audit_at: now,
            audit_pause: Duration::ZERO,
            conflict_told: false,
            claims_in_row: 0,
            is_behind: false,
            checksum_told: None,
            failure_told: None,
            extensions: 0,
            adopts_until: now,
            full_audit_at: now + FULL_AUDIT_INTERVAL,
        }
    }

    /// What to dial. Server Information can only say SCTP: who was heard over TCP is dialed so.
    pub(super) fn target(&self) -> Option<Target> {
        let listed = self.listed.as_ref().filter(|_| !self.proof.is_vouched_for());
        let told = listed.or(self.transport.as_ref())?;
        let seen = told.addresses.iter().find(|address| self.seen_at.contains(address));
        let &address = seen.or_else(|| told.addresses.first())?;
        Some(Target::Learned(match self.carrier {
            Carrier::Sctp => Transport::Sctp(told.clone()),
            Carrier::Tcp => {
                Transport::Tcp { port: told.port, transport_use: told.transport_use, address }
            }
        }))
    }
}

impl Registrar {
    /// The other registrars that this one knows, by identifier.
    pub fn peers(&self) -> impl Iterator<Item = PeerView> + '_ {
        self.peers.iter().map(|(&id, peer)| PeerView {
            id,
            state: match peer.status {
                Status::Active => PeerState::Active,
                Status::Suspected => PeerState::Suspected,
                Status::LeftTo(_) | Status::TakingOver { .. } => PeerState::Dead,
            },
            transport: peer.transport.clone(),
            associations: peer.links.len(),
            last_heard: peer.last_heard,
            elements: self.handlespace.owned_count(id),
            carrier: peer.carrier,
            checksum_here: self.handlespace.checksum(id),
            checksum_told: peer.checksum_told,
            is_downloading: peer.sync.is_some(),
        })
    }

    /// An association for ENRP is there: both ends introduce themselves (RFC 5353 §3.4.1).
    pub(super) fn link_up(&mut self, now: Time, link: Peer) {
        let carrier = self.associations.get(&link).map(|association| association.link.carrier);
        if carrier == Some(Carrier::Tcp) && !self.config.enrp_tcp {
            self.refuse_link(now, link);
            return;
        }
        self.arm_presence(now);
        self.await_introduction(now, link);
        self.send_presence(link, None, true);
    }

    /// An association for ENRP ended.
    pub(super) fn link_lost(&mut self, now: Time, link: Peer, association: &Association) {
        let Association { registrar, ref dial, is_doubted, .. } = *association;
        let Some(id) = registrar else {
            if let Some(dial) = dial.clone() {
                self.dial_failed(now, dial);
            }
            self.redial_over(now, link);
            return;
        };
        self.redial_over(now, link);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.doubted.retain(|other| *other != link);
        if is_doubted {
            return;
        }
        peer.links.retain(|other| *other != link);
        self.links_have_changed(now, id);
        self.believe_other(now, id, association);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let is_last = peer.links.is_empty();
        let peer_status = peer.status.clone();
        if peer.sync.as_ref().is_some_and(|sync| sync.link == link) {
            if !is_last {
                // It is still there, and can be asked again.
                self.join.may_ask_again(id);
            }
            self.sync_failed(now, id, SyncFailure::Lost);
        }
        // Where another registrar is about to take it over, that goes on.
        let is_left = matches!(peer_status, Status::LeftTo(_));
        if is_last {
            self.mentor_lost(now, id);
        }
        if is_last && !is_left {
            self.suspect(now, id);
        }
    }

    /// Something came from a registrar: it lives, and this is an association to it. False where it
    /// is not to be listened to.
    pub(super) fn heard(&mut self, now: Time, link: Peer, id: RegistrarId, asks: bool) -> bool {
        let Some(association) = self.associations.get(&link) else { return false };
        match association.registrar {
            Some(known) if known != id => {
                self.stats.impostors += 1;
                self.complain(link, Misbehaviour::Impostor);
                return false;
            }
            Some(_) if association.is_doubted => {
                self.answer_doubted(link, id, asks);
                return false;
            }
            Some(_) => {}
            None => {
                if !self.identify(now, link, id) {
                    return false;
                }
            }
        }
        self.is_alive(now, id);
        true
    }

    /// Who is at the other end of an association has become known. True where it is believed.
    fn identify(&mut self, now: Time, link: Peer, id: RegistrarId) -> bool {
        let Some(association) = self.associations.get(&link) else { return false };
        let (carrier, source) = (association.link.carrier, association.link.source());
        let dial = association.dial.clone();
        let is_configured = matches!(dial, Some(Dial::Configured(_)));
        if !self.add_peer(now, id, carrier, source, is_configured) {
            self.refuse_link(now, link);
            return false;
        }
        let expected = match dial {
            Some(Dial::Configured(number)) => {
                self.dialing.configured.get_mut(number).and_then(|c| {
                    c.answered();
                    c.id.replace(id)
                })
            }
            Some(Dial::Registrar(expected) | Dial::Listed(expected)) => {
                if let Some(peer) = self.peers.get_mut(&expected) {
                    peer.dialing = None;
                }
                Some(expected)
            }
            Some(Dial::Elements(_)) | None => None,
        };
        let is_believed = self.introduce(now, link, id);
        if is_believed && !self.is_vouched_for(id) {
            self.look_for_configured(now);
        }
        // Another one has come in its place: it has been restarted with another identifier.
        if let Some(expected) = expected.filter(|expected| *expected != id) {
            self.is_unreachable(now, expected);
        }
        is_believed
    }

    /// Someone asks whether this registrar lives: what it sent over another association did not
    /// arrive. From now on it sends over this one, if that shows as much of who is there.
    pub(super) fn prefer(&mut self, link: Peer, id: RegistrarId) {
        let proof = self.proof(link);
        let best = self.link_to(id).map(|link| self.proof(link));
        let Some(peer) = self.peers.get_mut(&id).filter(|_| best <= Some(proof)) else { return };
        if let Some(place) = peer.links.iter().position(|other| *other == link) {
            peer.links[..=place].rotate_right(1);
        }
    }

    /// Ends an association on this registrar's own account.
    pub(super) fn abort_link(&mut self, now: Time, link: Peer) {
        self.outputs.push_back(Output::Abort(link));
        self.on_down(now, link);
    }

    /// Ends an association that brings nothing: cause 0xa.
    pub(super) fn refuse_link(&mut self, now: Time, link: Peer) {
        self.send_enrp(link, Body::Error(vec![Cause::new(CauseCode::SECURITY)]));
        self.outputs.push_back(Output::Close(link));
        self.on_down(now, link);
    }

    /// Enters a registrar into the peer list; false where there is no room for one from there.
    pub(super) fn add_peer(
        &mut self,
        now: Time,
        id: RegistrarId,
        carrier: Carrier,
        source: Option<Source>,
        is_configured: bool,
    ) -> bool {
        if self.peers.contains_key(&id) {
            return true;
        }
        let has_room = is_configured || self.has_seat_for(source);
        if id == self.id || !has_room || self.peers.len() >= self.config.peers_max {
            self.stats.peers_refused += 1;
            if self.notices.peers_full() {
                self.outputs.push_back(Output::Event(Event::PeersFull));
            }
            return false;
        }
        self.peers.insert(id, PeerRegistrar::new(now, carrier, source));
        let silence_max = self.config.timing.peer_silence_max;
        self.deadlines.arm(Deadline::Peer(id), now + silence_max);
        true
    }

    /// Whoever is not configured leaves seats for those that are, and for others from elsewhere.
    fn has_seat_for(&self, source: Option<Source>) -> bool {
        let others = self.peers.values().filter(|peer| peer.proof < Proof::Configured);
        let reserved = self.config.peers.min(self.config.peers_max.saturating_sub(1));
        let from_there =
            others.clone().filter(|peer| source.is_some() && peer.source == source).count();
        from_there < self.config.peers_per_source_max
            && others.count() < self.config.peers_max - reserved
    }

    pub(super) fn is_dialable(&self, transport: &SctpTransport) -> bool {
        let addresses_max = self.config.handlespace.limits.addresses_per_transport_max as usize;
        let usable = |ip: &IpAddr| !ip.is_unspecified() && !ip.is_multicast();
        transport.port != 0
            && (1..=addresses_max).contains(&transport.addresses.len())
            && transport.addresses.iter().all(usable)
    }

    /// Takes a registrar out of the peer list (RFC 5353 §3.5.2). From here on it gets nothing more,
    /// but where it is configured it is dialed.
    pub(super) fn remove_peer(&mut self, now: Time, id: RegistrarId) {
        if self.peers.get(&id).is_some_and(|peer| peer.sync.is_some()) {
            self.sync_failed(now, id, SyncFailure::Lost);
        }
        let Some(peer) = self.peers.remove(&id) else { return };
        for deadline in [Deadline::Peer(id), Deadline::Sync(id), Deadline::Settle(id)] {
            self.deadlines.disarm(deadline);
        }
        for link in peer.links {
            self.abort_link(now, link);
        }
        self.forget_doubts(now, peer.doubted);
        if let Some(dialing) = peer.dialing {
            self.dialing.under_way.remove(&dialing);
            // It may be up already, and nobody has said yet who is there.
            self.abort_link(now, dialing);
        }
        for configured in &mut self.dialing.configured {
            if configured.id == Some(id) {
                configured.id = None;
            }
        }
    }

    /// The association over which messages to a registrar go.
    pub(super) fn link_to(&self, id: RegistrarId) -> Option<Peer> {
        self.peers.get(&id)?.links.first().copied()
    }

    /// Sends to the registrar at the other end of an association.
    pub(super) fn send_enrp(&mut self, link: Peer, body: Body) {
        let receiver = self.associations.get(&link).and_then(|association| association.registrar);
        let message = Enrp { sender: Some(self.id), receiver, body };
        self.outputs.push_back(Output::Send(link, message.into()));
    }

    /// Sends one message to every registrar but this one (RFC 5353 §3.1).
    pub(super) fn group_cast(&mut self, body: Body, except: Option<RegistrarId>) {
        let others = self.peers.iter().filter(|(id, _)| Some(**id) != except);
        let links: Vec<Peer> = others.filter_map(|(_, peer)| peer.links.first().copied()).collect();
        if !links.is_empty() {
            self.group_cast_over(links, body);
        }
    }

    /// Sends one message over each of these associations.
    pub(super) fn group_cast_over(&mut self, links: Vec<Peer>, body: Body) {
        let message = Enrp { sender: Some(self.id), receiver: None, body };
        self.outputs.push_back(Output::GroupCast(links, message.into()));
    }

    /// True where someone is connected who has not said yet who it is.
    pub(super) fn has_unidentified_link(&self) -> bool {
        let is_one = |association: &Association| {
            let is_unknown = association.registrar.is_none() && !association.is_observer;
            is_unknown && association.link.protocol == Protocol::Enrp
        };
        self.associations.values().any(is_one)
    }

    /// RFC 5353 §2.5, §2.6: all known registrars, this one included.
    pub(super) fn on_list_request(&mut self, link: Peer) {
        if !matches!(self.state, State::Serving) {
            self.reject_list(link);
            return;
        }
        let (own, reach) = (self.server_information(Some(link)), self.reach_of(link));
        let known = self.peers.iter().filter(|(_, peer)| peer.met && peer.status == Status::Active);
        let others = known.filter_map(|(&id, peer)| {
            let told = peer.transport.as_ref()?;
            let addresses = within(&told.addresses, reach);
            let transport = SctpTransport { addresses, ..*told };
            let has_one = !transport.addresses.is_empty();
            has_one.then_some(ServerInformation { id: Some(id), transport })
        });
        let mut octets = 0;
        let servers = own.into_iter().chain(others).take_while(|server| {
            octets += server.encoded_len();
            octets <= Message::MAX_LEN / 2
        });
        let servers = servers.collect();
        let response = ListResponse { rejected: false, servers };
        self.send_enrp(link, Body::ListResponse(response));
    }

    fn reject_list(&mut self, link: Peer) {
        self.stats.table_rejections += 1;
        let response = ListResponse { rejected: true, servers: Vec::new() };
        self.send_enrp(link, Body::ListResponse(response));
    }
}
