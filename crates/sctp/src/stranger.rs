//! Packets that belong to no association: INITs and cookies, which may begin one, and what comes out
//! of the blue (RFC 9260 §5.1, §8.4). Nothing is kept of who sends them.

use crate::association::{Association, State};
use crate::cause::{cause, code};
use crate::chunk::{self, Chunk, Init, REFLECTED, kind};
use crate::cookie::{Cookie, CookieError};
use crate::endpoint::Endpoint;
use crate::event::{AssociationId, Way};
use crate::packet::{Header, Packet};
use crate::parameter::{self, Offer, kind as parameter_kind};
use crate::setup::{Meeting, init, write_parameters};

/// Octets of parameters that were not understood and go back in an INIT ACK.
const UNRECOGNIZED_MAX: usize = 128;

/// What an INIT ACK says of ourselves.
struct Identity {
    tag: u32,
    tsn: u32,
    random: [u8; 32],
    /// What stands for the association that there is.
    tie: u64,
}

impl Endpoint {
    /// An INIT (§5.1 B, §5.2): its answer carries all that is to be remembered.
    pub(crate) fn on_init(&mut self, way: Way, packet: &Packet<'_>) {
        let read = packet.chunks().next().as_ref().and_then(Init::read);
        let Some(init) = read.filter(|init| init.tag != 0) else {
            return self.statistics.malformed += 1;
        };
        let Some(offer) = Offer::read(init.parameters, way.remote.ip()) else {
            return self.statistics.malformed += 1;
        };
        let to = Header { tag: init.tag, ..answer_to(packet) };
        let source = packet.header.source;
        let known = self.with_remote(way.remote, source);
        let identity = match known.and_then(|id| Some((id, self.association(id)?))) {
            None if !self.listening => {
                self.statistics.out_of_the_blue += 1;
                return self.refuse(way, to, None);
            }
            None if self.len() >= self.config.associations_max => {
                self.statistics.over_limit += 1;
                return self.refuse(way, to, Some((code::OUT_OF_RESOURCE, Vec::new())));
            }
            None => self.identity(0),
            Some((id, association)) => match association.meet_init(&offer, way) {
                Meeting::TooLate => return self.repeat_shutdown_ack(id),
                Meeting::NewAddresses(new) => {
                    let mut list = Vec::new();
                    new.iter().for_each(|ip| parameter::write_address(&mut list, *ip));
                    let cause = (code::RESTART_WITH_NEW_ADDRESSES, list);
                    return self.refuse(way, to, Some(cause));
                }
                Meeting::Restart => {
                    let tie = self.cookies.tie(association.own_tag, association.peer_tag);
                    self.identity(tie)
                }
                Meeting::Collision { tag, tsn, random, is_known } => {
                    let peer = if is_known { association.peer_tag } else { 0 };
                    let tie = self.cookies.tie(tag, peer);
                    Identity { tag, tsn, random, tie }
                }
            },
        };
        if init.streams_out == 0 || init.streams_in == 0 {
            return self.refuse(way, to, Some((code::INVALID_PARAMETER, Vec::new())));
        }
        if offer.unresolvable {
            return self.refuse(way, to, Some((code::UNRESOLVABLE_ADDRESS, Vec::new())));
        }
        let answer = self.init_ack(way, to, &init, offer, &identity);
        self.answer(way, answer);
    }

    fn identity(&mut self, tie: u64) -> Identity {
        let (tsn, random) = (self.random.word(), self.random.octets());
        let mut tag = self.random.tag();
        while self.with_tag(tag).is_some() {
            tag = self.random.tag();
        }
        Identity { tag, tsn, random, tie }
    }

    fn init_ack(
        &mut self,
        way: Way,
        to: Header,
        peer: &Init<'_>,
        offer: Offer<'_>,
        own: &Identity,
    ) -> Vec<u8> {
        let config = &self.config;
        let mut parameters = Vec::new();
        // What the peer cannot use is left out: who speaks in somebody else's name gets little.
        let random = offer.vector.is_some().then_some(&own.random);
        let told = parameter::told(&self.addresses, way.remote.ip());
        write_parameters(&mut parameters, &told, random);
        if !offer.unrecognized.is_empty() && offer.unrecognized.len() <= UNRECOGNIZED_MAX {
            parameter::write(&mut parameters, parameter_kind::UNRECOGNIZED, |octets| {
                octets.extend_from_slice(&offer.unrecognized);
            });
        }
        let mut addresses = offer.addresses;
        addresses.truncate(config.addresses_max.saturating_sub(1));
        let cookie = Cookie {
            created: self.now,
            remote: way.remote,
            ports: [to.source, to.destination],
            own_tag: own.tag,
            peer_tag: peer.tag,
            own_tsn: own.tsn,
            peer_tsn: peer.tsn,
            window: peer.window,
            streams: [
                config.streams_out.min(peer.streams_in),
                config.streams_in.min(peer.streams_out),
            ],
            tie: own.tie,
            asconf: offer.asconf,
            addresses,
            auth: offer.vector.map(|vector| (own.random, vector)),
        };
        parameter::write(&mut parameters, parameter_kind::STATE_COOKIE, |octets| {
            self.cookies.bake(&cookie, octets);
        });
        let mut answer = Vec::new();
        to.write(&mut answer);
        // §5.1.1: not more streams than the peer takes.
        let streams_out = cookie.streams[0];
        let ack = Init { streams_out, ..init(config, own.tag, own.tsn, &parameters) };
        ack.write(&mut answer, kind::INIT_ACK);
        crate::crc::seal(&mut answer);
        answer
    }

    /// Answers an INIT with an ABORT, which says why.
    fn refuse(&mut self, way: Way, to: Header, why: Option<(u16, Vec<u8>)>) {
        let mut value = Vec::new();
        if let Some((code, information)) = why {
            cause(&mut value, code, &information);
        }
        self.answer_with(way, to, kind::ABORT, 0, &value);
    }

    fn answer_with(&mut self, way: Way, to: Header, kind: u8, flags: u8, value: &[u8]) {
        let mut answer = Vec::new();
        to.write(&mut answer);
        chunk::write(&mut answer, kind, flags, |octets| octets.extend_from_slice(value));
        crate::crc::seal(&mut answer);
        self.answer(way, answer);
    }

    fn repeat_shutdown_ack(&mut self, id: AssociationId) {
        if let Some(association) = self.association_mut(id) {
            association.shutdown_due = true;
        }
        self.touch(id);
    }

    /// A cookie comes back (§5.1 D, §5.2.4): an association begins, or one begins anew.
    pub(crate) fn on_cookie_echo(&mut self, way: Way, packet: &Packet<'_>) {
        let Some(echo) = packet.chunks().next() else { return };
        let Some(cookie) = self.open(way, packet, &echo) else {
            return self.statistics.cookies_refused += 1;
        };
        let of_own_tag = self.with_tag(cookie.own_tag);
        let id = match self.with_remote(way.remote, packet.header.source).or(of_own_tag) {
            Some(id) => {
                if !self.meet(id, &cookie, way) {
                    return self.statistics.cookies_refused += 1;
                }
                id
            }
            None if self.is_spent(cookie.own_tag) => return self.statistics.cookies_refused += 1,
            None if !self.listening => return self.out_of_the_blue(way, packet),
            None if self.len() >= self.config.associations_max => {
                return self.statistics.over_limit += 1;
            }
            None => {
                let random = self.fork();
                let (config, own) = (&self.config, &self.addresses);
                let now = self.now;
                self.insert(Association::accept(config, own, &cookie, way, random, now))
            }
        };
        self.deliver(id, way, packet);
    }

    /// Reads a cookie: of this endpoint, fresh, and from where it was sent to (§5.1.5).
    fn open(&mut self, way: Way, packet: &Packet<'_>, echo: &Chunk<'_>) -> Option<Cookie> {
        let header = packet.header;
        match self.cookies.open(echo.value, self.now) {
            Ok(cookie) => {
                let ip = way.remote.ip();
                let from = cookie.remote.ip() == ip || cookie.addresses.contains(&ip);
                let ports = cookie.ports == [header.destination, header.source];
                (from && ports && cookie.own_tag == header.tag).then_some(cookie)
            }
            Err(CookieError::Stale(by)) => {
                let micros = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
                let mut value = Vec::new();
                cause(&mut value, code::STALE_COOKIE, &micros.to_be_bytes());
                // Its tag is the peer's: it is in the cookie, which is ours.
                if let Some(tag) = self.cookies.peer_tag(echo.value) {
                    let to = Header { tag, ..answer_to(packet) };
                    self.answer_with(way, to, kind::ERROR, 0, &value);
                }
                None
            }
            Err(CookieError::Forged) => None,
        }
    }

    fn meet(&mut self, id: AssociationId, cookie: &Cookie, way: Way) -> bool {
        let now = self.now;
        let Some(association) = self.association(id) else { return false };
        if association.state == State::Closed {
            return false;
        }
        let tie = self.cookies.tie(association.own_tag, association.peer_tag);
        // The tag of a restart may belong to another association by now.
        let is_taken = self.with_tag(cookie.own_tag).is_some_and(|other| other != id);
        let Some(association) = self.association_mut(id) else { return false };
        if is_taken || !association.meet_cookie(cookie, cookie.tie == tie, way, now) {
            return false;
        }
        self.index(id);
        true
    }

    /// A packet that belongs to no association (§8.4).
    pub(crate) fn out_of_the_blue(&mut self, way: Way, packet: &Packet<'_>) {
        self.statistics.out_of_the_blue += 1;
        let mut chunks = packet.chunks();
        let stale = |chunk: &Chunk<'_>| {
            let mut causes = parameter::Parameters::new(chunk.value);
            chunk.kind == kind::ERROR && causes.any(|cause| cause.kind == code::STALE_COOKIE)
        };
        let is_silent = |chunk: Chunk<'_>| {
            let silent = [kind::ABORT, kind::SHUTDOWN_COMPLETE, kind::COOKIE_ACK];
            silent.contains(&chunk.kind) || stale(&chunk)
        };
        if chunks.any(is_silent) {
            return;
        }
        let to = answer_to(packet);
        match packet.first {
            kind::INIT => {
                let tag = packet.chunks().next().as_ref().and_then(Init::read).map(|i| i.tag);
                if let Some(tag) = tag.filter(|tag| *tag != 0) {
                    self.refuse(way, Header { tag, ..to }, None);
                }
            }
            kind::SHUTDOWN_ACK => {
                self.answer_with(way, to, kind::SHUTDOWN_COMPLETE, REFLECTED, &[]);
            }
            _ => self.answer_with(way, to, kind::ABORT, REFLECTED, &[]),
        }
    }
}

/// The header of an answer, with the same tag.
fn answer_to(packet: &Packet<'_>) -> Header {
    let Header { source, destination, tag } = packet.header;
    Header { source: destination, destination: source, tag }
}
