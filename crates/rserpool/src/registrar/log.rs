//! What a registrar's events are in the log.

use std::collections::BTreeSet;

use rserpool_proto::registrar::Event;
use rserpool_wire::param::RegistrarId;
use tracing::field::display;
use tracing::{debug, info, warn};

use crate::log::{addresses, pool};

/// What concerns other registrars has a name of its own, so that it can be logged alone:
/// `RUST_LOG=warn,rserpool::enrp=info`.
const ENRP: &str = "rserpool::enrp";

/// So many lost registrars are remembered, so that it can be said when they are back.
const LOST_MAX: usize = 256;

/// The log of one registrar.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Registrars that were said to be lost.
    lost: BTreeSet<RegistrarId>,
}

impl Log {
    pub(super) fn write(&mut self, event: &Event) {
        match event {
            Event::Joined { handle, id } => {
                info!(pool = pool(handle), element = %id, "joined");
            }
            Event::Left { handle, id, reason, .. } => {
                info!(pool = pool(handle), element = %id, %reason, "left");
            }
            // A stranger can have as many of them as he likes.
            Event::Rejected { handle, id, cause, from } => {
                let from = from.map(display);
                info!(pool = pool(handle), element = %id, %cause, from, "registration rejected");
            }
            Event::Malformed { from, malformed, .. } => match &malformed.error {
                Some(error) => info!(from = from.map(display), %error, "message not understood"),
                None => info!(from = from.map(display), "parameters not understood"),
            },
            Event::Held { handle, id, lasting } => {
                info!(pool = pool(handle), element = %id, ?lasting, "held: not listed");
            }
            Event::Released { handle, id, has_run_out } => {
                info!(pool = pool(handle), element = %id, has_run_out, "listed again");
            }
            Event::Banned { handle, id, lasting } => {
                info!(pool = pool(handle), element = %id, ?lasting, "banned: may not register");
            }
            Event::Moved { handle, id, to } => {
                debug!(pool = pool(handle), element = %id, %to, "moved");
            }
            Event::PeerUp(peer) if self.lost.remove(peer) => {
                warn!(target: ENRP, %peer, "peer is there again");
            }
            Event::PeerLost(peer) => {
                if self.lost.len() < LOST_MAX {
                    self.lost.insert(*peer);
                }
                warn!(target: ENRP, %peer, "peer lost");
            }
            other => scope(other),
        }
    }
}

/// What happens between registrars.
fn scope(event: &Event) {
    match event {
        Event::Serving { synchronised } => info!(target: ENRP, synchronised, "serving"),
        Event::PeerUp(peer) => info!(target: ENRP, %peer, "peer up"),
        Event::PeerSuspected(peer) => info!(target: ENRP, %peer, "peer suspected"),
        Event::PeerBack(peer) => info!(target: ENRP, %peer, "peer back"),
        Event::TakeoverBegun { target } => info!(target: ENRP, peer = %target, "takeover begun"),
        Event::TakeoverWon { target, elements } => {
            warn!(target: ENRP, peer = %target, elements, "takeover won");
        }
        Event::TakeoverLost { target, to } => {
            info!(target: ENRP, peer = %target, %to, "takeover lost");
        }
        Event::TakeoverStopped { target } => {
            info!(target: ENRP, peer = %target, "takeover stopped");
        }
        Event::TakenOver { target, by, elements } => {
            warn!(target: ENRP, peer = %target, %by, elements, "taken over");
        }
        Event::TakenForDead { by } => warn!(target: ENRP, %by, "taken for dead"),
        Event::Synchronised { peer, elements, removed } => {
            info!(target: ENRP, %peer, elements, removed, "synchronised");
        }
        Event::SyncFailed { peer, reason } => {
            info!(target: ENRP, %peer, %reason, "synchronisation failed");
        }
        Event::Reconfigured { changed } if changed.is_empty() => info!("nothing to change"),
        Event::Reconfigured { changed } => {
            info!(changed = changed.join(" "), "configuration changed");
        }
        Event::Departed { handed_over, left_behind } => {
            info!(target: ENRP, handed_over, left_behind, "departed");
        }
        other => complaint(other),
    }
}

/// What an operator should know of others.
fn complaint(event: &Event) {
    match event {
        Event::DuplicateId { addresses: at, port } => {
            let at = addresses(at, *port);
            warn!(target: ENRP, addresses = at, "another registrar has this identifier");
        }
        Event::Misbehaviour { peer, addresses: at, port, what } => {
            let (peer, at) = (peer.map(display), addresses(at, *port));
            warn!(target: ENRP, peer, addresses = at, %what, "a registrar misbehaves");
        }
        Event::Conflict { peer, handle, id, cause, from } => {
            let (pool, from) = (pool(handle), from.map(display));
            warn!(target: ENRP, %peer, from, pool, element = %id, %cause, "conflict");
        }
        Event::OtherDialect { peer, from } => warn!(
            target: ENRP, %peer, from = from.map(display),
            "this registrar seems to be rsplib's: start ours with --dialect rsplib, and elements too"
        ),
        Event::Refused { who, from, verb, handle, denial } => {
            let (who, from) = (who.as_ref().map(display), from.map(display));
            let pool = handle.as_ref().map(pool);
            warn!(who, from, pool, "refused to {verb}: {denial}");
        }
        Event::LimitReached { limit, by: Some(by) } => {
            warn!(limit, %by, "quota {limit} reached by {by}");
        }
        Event::LimitReached { limit, by: None } => warn!(limit, "quota {limit} reached"),
        Event::PeersFull => warn!(target: ENRP, "no room for more registrars"),
        // Events have no other form for people; this one is for developers.
        other => debug!(target: ENRP, ?other, "event"),
    }
}
