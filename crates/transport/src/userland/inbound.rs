//! What happens to packets and ICMP errors before the protocol gets them: what strangers may take of
//! the endpoint is bounded here.

use std::net::IpAddr;

use rserpool_sctp::chunk::kind;
use rserpool_sctp::packet::{HEADER, Packet};
use rserpool_sctp::{Input, Way};

use super::encapsulation::{Route, Unreachable};
use super::endpoint::UserlandEndpoint;
use super::limits::{FRAGMENTS_OF_ONE, Network};
use super::table::{association_id, name};
use crate::endpoint::AssocId;
use crate::source_limit::Source;

impl UserlandEndpoint {
    /// Handles one datagram; what comes of it is done by [`flush`](Self::flush).
    pub(super) fn on_datagram(&mut self, route: Route, octets: &[u8]) {
        let now = self.now();
        let from = route.remote.ip();
        match octets.get(HEADER) {
            Some(&kind::INIT) if !self.inits.take(Network::of(from), now) => {
                return self.statistics.inits_dropped += 1;
            }
            Some(&(kind::INIT | kind::COOKIE_ECHO)) => {
                let listens = self.listening && !self.refuses(&route, octets);
                self.engine.listen(listens);
            }
            _ => self.bound_fragments(octets),
        }
        let way = Way { local: route.local, remote: route.remote };
        self.engine.handle(now, Input::Packet { way, octets });
    }

    /// Whether a stranger that wants an association comes from a source that has as many as it may.
    fn refuses(&mut self, route: &Route, octets: &[u8]) -> bool {
        let max = self.options.associations_max;
        // Where there are as many as may be in all, the protocol refuses them itself.
        if self.engine.len() >= max || self.sources.may_come(Source::of(route.remote.ip()), max) {
            return false;
        }
        let port = Packet::parse(octets).map_or(0, |packet| packet.header.source);
        let is_stranger = port != 0 && self.engine.with_remote(route.remote, port).is_none();
        self.statistics.over_source_limit += u64::from(is_stranger);
        is_stranger
    }

    /// Says how much of unfinished messages the association may keep that a packet is for. While there
    /// is room for a whole window of one, nobody has to look.
    fn bound_fragments(&mut self, octets: &[u8]) {
        let is_tight = self.fragments.all() + self.window_max >= FRAGMENTS_OF_ONE;
        if !is_tight && self.restricted == 0 {
            return;
        }
        let tag = octets.get(4..8).and_then(|tag| tag.first_chunk().copied());
        let tag = tag.map_or(0, u32::from_be_bytes);
        let Some(id) = self.engine.with_tag(tag).map(name) else { return };
        let Some(association) = self.table.get_mut(id) else { return };
        self.restricted -= usize::from(association.restricted);
        self.restricted += usize::from(is_tight);
        association.restricted = is_tight;
        let room = match association.network {
            Some(network) if is_tight => self.fragments.room(network) + association.charged,
            _ => usize::MAX,
        };
        self.engine.set_room(association_id(id), room);
    }

    /// Counts what an association keeps of unfinished messages.
    pub(super) fn charge(&mut self, id: AssocId) {
        let Some(association) = self.table.get_mut(id) else { return };
        let kept = self.engine.held(association_id(id));
        let before = std::mem::replace(&mut association.charged, kept);
        if let Some(network) = association.network {
            self.fragments.change(network, before, kept);
        }
    }

    /// RFC 9260 §10, RFC 6951 §5.5: nobody is at the port that an association sends to.
    pub(super) fn on_unreachable(&mut self, unreachable: &Unreachable) {
        let Unreachable { remote, quote } = unreachable;
        self.engine.handle(self.now(), Input::Unreachable { remote: *remote, quote });
    }

    /// Which socket leads to `remote`, from the own address `local` where that is known.
    pub(super) fn socket(&self, remote: IpAddr, local: Option<IpAddr>) -> Option<usize> {
        let leads = |local| self.sockets.iter().position(|socket| socket.reaches(remote, local));
        leads(local).or_else(|| leads(None))
    }
}
