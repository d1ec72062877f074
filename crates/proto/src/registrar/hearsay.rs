//! Registrars that others tell of, in lists (RFC 5353 §3.2.2.2) and by multicast: they are dialed
//! one after the other, for anyone may tell anything.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::num::NonZeroU32;

use rserpool_wire::param::{Addresses, RegistrarId, SctpTransport, ServerInformation};

use super::config::AddressScope;
use super::token_bucket::TokenBucket;
use super::{Deadline, Registrar};
use crate::machine::{Carrier, Source};
use crate::time::Time;

/// What others told and nobody has looked into.
#[derive(Debug)]
pub(super) struct Hearsay {
    waiting: VecDeque<Told>,
    pace: TokenBucket,
}

/// Who tells of a registrar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// Where it is.
    pub(super) addresses: &'a [IpAddr],
    /// It is known to the operator.
    pub(super) is_vouched_for: bool,
}

/// Who told of a registrar, and where it should be.
#[derive(Debug)]
struct Told {
    id: RegistrarId,
    transport: SctpTransport,
    carrier: Carrier,
    origin: Option<Source>,
    is_listed: bool,
}

/// Registrars that wait to be dialed, and those of them that one source told of.
pub(super) const WAITING_MAX: usize = 256;
const WAITING_PER_SOURCE_MAX: usize = 64;
/// Registrars dialed per second because others told of them.
const RATE_MAX: NonZeroU32 = NonZeroU32::new(20).unwrap();

impl Default for Hearsay {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), pace: TokenBucket::new(RATE_MAX) }
    }
}

impl Hearsay {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl Registrar {
    /// Learns of a registrar from another one, or by multicast, and dials it where it is new, or
    /// where nobody who is known to the operator has told before where it is.
    pub(super) fn learn(
        &mut self,
        now: Time,
        server: &ServerInformation,
        carrier: Carrier,
        origin: Origin<'_>,
    ) {
        let Some(id) = server.id.filter(|id| *id != self.id) else { return };
        let vouches = origin.is_vouched_for;
        let source = origin.addresses.first().copied().map(Source::of);
        let is_listed = vouches
            && self
                .peers
                .get(&id)
                .is_none_or(|peer| !peer.proof.is_vouched_for() && peer.listed.is_none());
        if self.peers.contains_key(&id) && !is_listed {
            return;
        }
        let told = &self.hearsay.waiting;
        if told.iter().any(|told| told.id == id && (told.is_listed || !is_listed)) {
            return;
        }
        let from_there = told.iter().filter(|told| told.origin == source).count();
        let is_full =
            told.len() >= WAITING_MAX || (!is_listed && from_there >= WAITING_PER_SOURCE_MAX);
        let transport = self.in_scope(&server.transport, origin.addresses);
        let Some(transport) = transport.filter(|_| !is_full) else {
            self.stats.hearsay_refused += 1;
            return;
        };
        let told = Told { id, transport, carrier, origin: source, is_listed };
        // Those first that are vouched for.
        match is_listed {
            true => self.hearsay.waiting.push_front(told),
            false => self.hearsay.waiting.push_back(told),
        }
        self.dial_hearsay(now);
    }

    /// Dials as many as the pace allows.
    pub(super) fn dial_hearsay(&mut self, now: Time) {
        while !self.hearsay.waiting.is_empty() {
            if let Err(at) = self.hearsay.pace.take(now) {
                self.deadlines.arm(Deadline::Hearsay, at);
                return;
            }
            if let Some(told) = self.hearsay.waiting.pop_front() {
                self.look_into(now, told);
            }
        }
    }

    fn look_into(&mut self, now: Time, told: Told) {
        let Told { id, transport, carrier, is_listed, .. } = told;
        if !self.peers.contains_key(&id) {
            // Whoever tells of many leaves room for those that come themselves.
            let unmet = self.peers.values().filter(|peer| !peer.met).count();
            let source = transport.addresses.first().copied().map(Source::of);
            if unmet > self.config.peers_max / 2 {
                self.stats.peers_refused += 1;
                return;
            }
            if !self.add_peer(now, id, carrier, source, false) {
                return;
            }
        } else if !is_listed {
            return;
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if is_listed {
            peer.listed = Some(transport.clone());
        }
        if !peer.met {
            peer.transport = Some(transport);
        }
        self.dial_registrar(now, id);
    }

    /// A transport with those of its addresses that reach as far as those of elements have to. Who
    /// is on this host may tell of others that are.
    fn in_scope(&self, transport: &SctpTransport, origin: &[IpAddr]) -> Option<SctpTransport> {
        let is_local = !origin.is_empty() && origin.iter().all(IpAddr::is_loopback);
        let reaches = |ip: &IpAddr| match AddressScope::of(*ip) {
            Some(AddressScope::Loopback) if is_local => true,
            Some(scope) => scope >= self.config.address_scope,
            None => false,
        };
        let addresses: Addresses = transport.addresses.iter().copied().filter(reaches).collect();
        let transport = SctpTransport { addresses, ..*transport };
        self.is_dialable(&transport).then_some(transport)
    }
}
