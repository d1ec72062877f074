//! What other registrars do and should not: all of it is counted, each kind of it is told once, and
//! none of it changes anything here.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use rserpool_wire::Protocol;
use rserpool_wire::param::RegistrarId;

use super::supervision::LATENESS_TOLERATED;
use super::{Deadline, Event, Registrar};
use crate::machine::{Output, Peer};
use crate::time::Time;

/// What a registrar should not do.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// It wants to change things before it has introduced itself by a presence.
    Stranger,
    /// Its messages are for another registrar.
    Misaddressed,
    /// It has one identifier now and another one then.
    Impostor,
    /// It says that it is a registrar which is known to be elsewhere.
    TakesIdentifier,
    /// It takes over registrars that live.
    TakesOverLiving,
    /// It tells of elements whose home is another registrar, as it says itself.
    ForeignElements,
    /// It says again and again that elements are its own which have registered here and live.
    ClaimsElements,
    /// Its table goes on and on.
    EndlessTable,
    /// Its checksum is another one each time, or is never that of what it tells.
    NeverAgrees,
    /// It sets up an association, or takes one, and says nothing.
    Mute,
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stranger => "changes things before it has said who and where it is",
            Self::Misaddressed => "sends what is for another registrar",
            Self::Impostor => "changes its identifier",
            Self::TakesIdentifier => "has the identifier of a registrar that is elsewhere",
            Self::TakesOverLiving => "takes over registrars that live",
            Self::ForeignElements => "tells of elements that are not its own",
            Self::ClaimsElements => "claims elements of this registrar",
            Self::EndlessTable => "tells a table without end",
            Self::NeverAgrees => "never agrees with what it tells",
            Self::Mute => "says nothing",
        })
    }
}

/// What was told to the application, by registrar, or by addresses where nobody knows who it is.
#[derive(Debug, Default)]
pub(super) struct Complaints(BTreeSet<(Option<RegistrarId>, Vec<IpAddr>, Misbehaviour)>);

impl Complaints {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// So many are told; whoever has another identifier each time is not told of for ever.
pub(super) const COMPLAINTS_MAX: usize = 256;
/// An association for ENRP over which nobody has said who it is ends after so many times of
/// MAX-TIME-LAST-HEARD.
const MUTE_SILENCES: u32 = 4;

impl Registrar {
    /// Tells the application once what the other end of an association does.
    pub(super) fn complain(&mut self, link: Peer, what: Misbehaviour) {
        let Some(association) = self.associations.get(&link) else { return };
        let (addresses, port) = (association.link.remote.clone(), association.link.remote_port);
        self.complain_of(association.registrar, addresses, Some(port), what);
    }

    /// Tells the application once what a registrar does that is known.
    pub(super) fn complain_of_peer(&mut self, id: RegistrarId, what: Misbehaviour) {
        let peer = self.peers.get(&id);
        let addresses = peer.map(|peer| peer.seen_at.clone()).unwrap_or_default();
        let link = peer.and_then(|peer| self.associations.get(peer.links.first()?));
        let port = link.map(|association| association.link.remote_port);
        self.complain_of(Some(id), addresses, port, what);
    }

    fn complain_of(
        &mut self,
        peer: Option<RegistrarId>,
        addresses: Vec<IpAddr>,
        port: Option<u16>,
        what: Misbehaviour,
    ) {
        let key = (peer, if peer.is_some() { Vec::new() } else { addresses.clone() }, what);
        if self.complaints.0.len() < COMPLAINTS_MAX && self.complaints.0.insert(key) {
            self.outputs.push_back(Output::Event(Event::Misbehaviour {
                peer,
                addresses,
                port,
                what,
            }));
        }
    }

    /// An association for ENRP is up: there is an end to waiting for who it is.
    pub(super) fn await_introduction(&mut self, now: Time, link: Peer) {
        let wait = self.config.timing.peer_silence_max.saturating_mul(MUTE_SILENCES);
        self.deadlines.arm(Deadline::Introduction(link), now + wait);
    }

    /// That wait is over.
    pub(super) fn on_introduction_timeout(&mut self, now: Time, due: Time, link: Peer) {
        let Some(association) = self.associations.get(&link) else { return };
        let is_enrp = association.link.protocol == Protocol::Enrp;
        if !is_enrp || association.registrar.is_some() || association.is_observer {
            return;
        }
        if now - due > LATENESS_TOLERATED {
            // It may have said so long ago, and this registrar had no time to read.
            self.await_introduction(now, link);
            return;
        }
        self.stats.mutes += 1;
        self.complain(link, Misbehaviour::Mute);
        self.abort_link(now, link);
    }
}
