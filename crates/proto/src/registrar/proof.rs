//! Who is believed to be which registrar.
//!
//! Nothing in ENRP says that a sender has the identifier that it names. What can be known without
//! keys is where somebody is: an identifier belongs to the associations that show most, and nobody
//! who shows less gets in between, is listened to, or counts as a sign of life.
//!
//! Of two registrars that dial each other over TCP each has shown to one of them only who it is.
//! Only one of their two associations stays, that of the larger identifier: the other end sees that
//! its own one is ended by somebody who was dialed, and so knows that the other one is genuine.

use rserpool_wire::param::RegistrarId;

use super::dials::Dial;
use super::peers::Status;
use super::{Association, Deadline, Misbehaviour, Registrar};
use crate::machine::Peer;
use crate::time::Time;

/// What shows that the other end of an association is the registrar that it says it is. The order
/// is that of strength.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Proof {
    /// Nothing: it comes from somewhere else than that registrar is known to be.
    #[default]
    Nothing,
    /// It comes from an address of that registrar, or is the first to have this identifier.
    Address,
    /// It is where that registrar says it is: it answered there, or comes from that address and
    /// port.
    Place,
    /// It answered where a configured registrar says it is.
    Listed,
    /// It answered where it is configured.
    Configured,
    /// It has the key or the name that a rule binds to its identifier.
    Key,
}

impl Proof {
    /// True where the operator knows of this registrar, or one does that he knows of.
    pub const fn is_vouched_for(self) -> bool {
        matches!(self, Self::Listed | Self::Configured | Self::Key)
    }
}

/// Associations of one registrar that are not believed, and that may be proved right yet.
const DOUBTED_MAX: usize = 2;
/// Associations with one registrar.
const LINKS_MAX: usize = 8;

/// What becomes of an association once its other end says who it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    /// It is one of that registrar's.
    Accept,
    /// It may be, if what is known of that registrar proves wrong.
    Doubt,
    Refuse,
}

impl Registrar {
    /// What shows that this association is with that registrar.
    fn proof_of(&self, link: Peer, id: RegistrarId) -> Proof {
        let Some(association) = self.associations.get(&link) else { return Proof::Nothing };
        if self.is_bound(link, id) {
            return Proof::Key;
        }
        let peer = self.peers.get(&id);
        match association.dial {
            Some(Dial::Configured(_)) => return Proof::Configured,
            Some(Dial::Listed(expected)) if expected == id => return Proof::Listed,
            Some(Dial::Registrar(expected)) if expected == id => return Proof::Place,
            Some(Dial::Listed(_) | Dial::Registrar(_) | Dial::Elements(_)) | None => {}
        }
        let Some(peer) = peer else { return Proof::Address };
        let told = peer.transport.as_ref().map_or(&[][..], |told| &told.addresses);
        let is_known = |ip: &_| told.contains(ip) || peer.seen_at.contains(ip);
        let comes_from_there = association.link.remote.iter().any(is_known);
        let port = peer.transport.as_ref().map(|told| told.port);
        match (comes_from_there, port == Some(association.link.remote_port)) {
            (true, true) => Proof::Place,
            (true, false) => Proof::Address,
            (false, _) if peer.links.is_empty() && !peer.met => Proof::Address,
            (false, _) => Proof::Nothing,
        }
    }

    /// The other end of an association says for the first time who it is. True where it is
    /// believed.
    pub(super) fn introduce(&mut self, now: Time, link: Peer, id: RegistrarId) -> bool {
        let proof = self.proof_of(link, id);
        match self.judge(id, proof) {
            Verdict::Accept => {
                self.accept_link(now, link, id, proof);
                true
            }
            Verdict::Doubt => {
                self.doubt_link(now, link, id);
                false
            }
            Verdict::Refuse => {
                self.stats.impostors += 1;
                self.complain_of_claim(link);
                self.refuse_link(now, link);
                false
            }
        }
    }

    fn judge(&self, id: RegistrarId, proof: Proof) -> Verdict {
        let Some(peer) = self.peers.get(&id) else { return Verdict::Refuse };
        let doubted_max = peer.doubted.len() >= DOUBTED_MAX;
        let doubt = if doubted_max { Verdict::Refuse } else { Verdict::Doubt };
        if peer.links.is_empty() {
            return match proof {
                // Nobody is there whose place it could take.
                _ if !peer.met || proof >= Proof::Place => Verdict::Accept,
                Proof::Nothing => Verdict::Refuse,
                // It was here and is gone: whether it lives is found out where it says it is.
                _ if peer.transport.is_some() => doubt,
                _ => Verdict::Accept,
            };
        }
        let best = self.best_proof(id);
        let is_full = peer.links.len() >= LINKS_MAX && self.weakest_link(id) >= Some(proof);
        match proof {
            Proof::Nothing => Verdict::Refuse,
            _ if is_full && proof < Proof::Place => Verdict::Refuse,
            _ if proof >= Proof::Place => Verdict::Accept,
            // Both have dialed, and the association of the larger identifier stays.
            _ if best >= Proof::Place && self.id > id => Verdict::Refuse,
            _ => doubt,
        }
    }

    /// The strongest proof among the associations with a registrar.
    fn best_proof(&self, id: RegistrarId) -> Proof {
        let links = self.peers.get(&id).map_or(&[][..], |peer| &peer.links);
        links.iter().map(|link| self.proof(*link)).max().unwrap_or_default()
    }

    fn weakest_link(&self, id: RegistrarId) -> Option<Proof> {
        self.peers.get(&id)?.links.iter().map(|link| self.proof(*link)).min()
    }

    pub(super) fn proof(&self, link: Peer) -> Proof {
        self.associations.get(&link).map(|association| association.proof).unwrap_or_default()
    }

    /// True where a registrar is known to the operator, or to one that he knows.
    pub(super) fn is_vouched_for(&self, id: RegistrarId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.proof.is_vouched_for())
    }

    /// True where what a registrar says counts as that of any other: the operator knows of it, or
    /// has named none.
    pub(super) fn is_believed(&self, id: RegistrarId) -> bool {
        self.config.peers == 0 || self.is_vouched_for(id)
    }

    fn accept_link(&mut self, now: Time, link: Peer, id: RegistrarId, proof: Proof) {
        if let Some(association) = self.associations.get_mut(&link) {
            association.registrar = Some(id);
            association.proof = proof;
            association.is_doubted = false;
            association.identified_at = Some(now);
        }
        self.deadlines.disarm(Deadline::Introduction(link));
        let best = self.best_proof(id);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.proof = peer.proof.max(proof);
        peer.doubted.retain(|other| *other != link);
        if best < Proof::Place && proof >= Proof::Place {
            peer.links.insert(0, link);
        } else {
            peer.links.push(link);
        }
        self.links_have_changed(now, id);
        self.prune_links(now, id);
        if proof >= Proof::Place {
            self.settle(now, id);
        }
    }

    /// There are too many associations with a registrar: the oldest of the weakest makes room.
    fn prune_links(&mut self, now: Time, id: RegistrarId) {
        let Some(peer) = self.peers.get(&id).filter(|peer| peer.links.len() > LINKS_MAX) else {
            return;
        };
        let surplus = peer.links.iter().copied().min_by_key(|link| self.proof(*link));
        if let Some(surplus) = surplus {
            self.abort_link(now, surplus);
        }
    }

    /// A registrar has shown who it is over one association: the weaker ones are surplus. Where
    /// this registrar has the larger identifier they end at once; else the other one ends what is
    /// surplus, if they are its own.
    fn settle(&mut self, now: Time, id: RegistrarId) {
        let Some(peer) = self.peers.get(&id) else { return };
        let all = peer.links.iter().chain(&peer.doubted);
        let weaker: Vec<Peer> =
            all.copied().filter(|link| self.proof(*link) < Proof::Place).collect();
        if weaker.is_empty() {
            return;
        }
        if self.id > id {
            weaker.into_iter().for_each(|link| self.abort_link(now, link));
        } else {
            let wait = self.config.timing.response_timeout;
            self.deadlines.arm(Deadline::Settle(id), now + wait);
        }
    }

    /// The other registrar has had time to end the association that it was dialed over. It did not:
    /// it knows nothing of the weaker ones.
    pub(super) fn on_settle_timeout(&mut self, now: Time, id: RegistrarId) {
        let is_proved = self.best_proof(id) >= Proof::Place;
        let Some(peer) = self.peers.get(&id).filter(|_| is_proved) else { return };
        let all = peer.links.iter().chain(&peer.doubted);
        let weaker: Vec<Peer> =
            all.copied().filter(|link| self.proof(*link) < Proof::Place).collect();
        for link in weaker {
            self.stats.impostors += 1;
            self.complain_of_claim(link);
            self.abort_link(now, link);
        }
    }

    /// Somebody says that it is a registrar which is connected already, or which was lost: nothing
    /// that it says counts, until it is known better.
    fn doubt_link(&mut self, now: Time, link: Peer, id: RegistrarId) {
        self.stats.doubted += 1;
        if let Some(association) = self.associations.get_mut(&link) {
            association.registrar = Some(id);
            association.proof = Proof::Nothing;
            association.is_doubted = true;
        }
        self.deadlines.disarm(Deadline::Introduction(link));
        let is_proved = self.best_proof(id) >= Proof::Place;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.doubted.push(link);
        let is_missed = peer.links.is_empty() || peer.status != Status::Active;
        if is_proved {
            let wait = self.config.timing.response_timeout;
            self.deadlines.arm(Deadline::Settle(id), now + wait);
        } else if is_missed {
            self.dial_registrar(now, id);
        }
    }

    /// A registrar was dialed, and the association has ended. Where that was soon after it had said
    /// who it is, it keeps the one that it has dialed itself: if there is just one that may be it,
    /// that one is believed.
    pub(super) fn believe_other(&mut self, now: Time, id: RegistrarId, lost: &Association) {
        let was_young =
            lost.identified_at.is_some_and(|at| now - at <= self.config.timing.response_timeout);
        if lost.proof < Proof::Place || !was_young || self.best_proof(id) >= Proof::Place {
            return;
        }
        self.deadlines.disarm(Deadline::Settle(id));
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let candidates: Vec<Peer> = peer.links.iter().chain(&peer.doubted).copied().collect();
        match candidates[..] {
            [link] if peer.links.is_empty() => {
                self.accept_link(now, link, id, Proof::Address);
                self.send_presence(link, Some(id), true);
            }
            [] | [_] => {}
            // Nobody can tell which of them is genuine. That one comes again.
            _ => candidates.into_iter().for_each(|link| self.abort_link(now, link)),
        }
    }

    /// A registrar is not known any more. Who had its identifier and was not believed begins anew.
    pub(super) fn forget_doubts(&mut self, now: Time, doubted: Vec<Peer>) {
        for link in doubted {
            if let Some(association) = self.associations.get_mut(&link) {
                association.registrar = None;
                association.is_doubted = false;
                self.await_introduction(now, link);
            }
        }
    }

    /// An association that this registrar asked for was there already (SCTP), so its other end is
    /// where it was dialed.
    pub(super) fn raise_proof(&mut self, now: Time, link: Peer, dial: &Dial) {
        let Some(association) = self.associations.get_mut(&link) else { return };
        association.dial.get_or_insert_with(|| dial.clone());
        let Some(id) = association.registrar else { return };
        let proof = match dial {
            Dial::Configured(_) => Proof::Configured,
            Dial::Listed(expected) if *expected == id => Proof::Listed,
            Dial::Registrar(expected) if *expected == id => Proof::Place,
            Dial::Listed(_) | Dial::Registrar(_) | Dial::Elements(_) => return,
        };
        if self.associations.get(&link).is_some_and(|association| association.is_doubted) {
            self.accept_link(now, link, id, proof);
            return;
        }
        if let Some(association) = self.associations.get_mut(&link) {
            association.proof = association.proof.max(proof);
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.proof = peer.proof.max(proof);
        }
        if proof >= Proof::Place {
            self.settle(now, id);
        }
    }

    /// Someone with the identifier of a registrar that is connected is not listened to, but is told
    /// that this one lives, as it asks: it may be that registrar, and must not take this one for
    /// dead.
    pub(super) fn answer_doubted(&mut self, link: Peer, id: RegistrarId, asks: bool) {
        self.stats.doubted_messages += 1;
        if asks {
            self.send_presence(link, Some(id), false);
        }
    }

    fn complain_of_claim(&mut self, link: Peer) {
        self.complain(link, Misbehaviour::TakesIdentifier);
    }
}
