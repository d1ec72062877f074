//! The associations with registrars: the home, former homes, and those that came to the element.

use super::supervision::HomeLiveness;
use super::{Goal, Home, PoolElement, State};
use crate::machine::{Link, Output, Peer, Target};
use crate::time::Time;

/// An association with a registrar.
#[derive(Clone, Debug)]
pub(super) struct Association {
    pub(super) peer: Peer,
    pub(super) home: Home,
    /// It is, or was, the home.
    pub(super) was_home: bool,
    pub(super) liveness: HomeLiveness,
}

impl PoolElement {
    pub(super) fn up(&mut self, now: Time, peer: Peer, link: Link) {
        if let Some(target) = self.hunt.up(peer, &mut self.outputs) {
            self.add_association(peer, Some(target), link);
            match self.state {
                State::Hunting { goal: Goal::Deregister } => self.deregister(now, peer),
                State::Hunting { goal: Goal::Register } => {
                    self.register(now, peer);
                    self.leave_earlier_associations(peer);
                }
                // The hunt ends with that state; what it dialed is aborted.
                State::Idle
                | State::Registering { .. }
                | State::Registered { .. }
                | State::Reregistering { .. }
                | State::Deregistering { .. } => {}
            }
        } else if peer.is_dialed() {
            // The hunt was over before this came up; its end is under way.
        } else if self.state == State::Idle {
            // A registrar that looks after an element which has left.
            self.outputs.push_back(Output::Close(peer));
        } else {
            self.add_association(peer, None, link);
        }
    }

    pub(super) fn down(&mut self, now: Time, peer: Peer) {
        if self.hunt.down(peer, &mut self.outputs) {
            return;
        }
        self.associations.retain(|association| association.peer != peer);
        if self.state.home() == Some(peer) {
            self.stats.homes_lost += 1;
            self.lose_home(now);
        }
    }

    /// Ends former associations with the registrar to which this one goes, too: it would ask over
    /// them whether the element that comes over this one is another one.
    fn leave_earlier_associations(&mut self, peer: Peer) {
        let target = self.association(peer).and_then(|it| it.home.target.clone());
        let outputs = &mut self.outputs;
        self.associations.retain(|association| {
            let is_earlier = association.peer != peer && association.home.target == target;
            if is_earlier {
                outputs.push_back(Output::Abort(association.peer));
            }
            !is_earlier
        });
    }

    fn add_association(&mut self, peer: Peer, target: Option<Target>, link: Link) {
        let home = Home { id: None, target, link };
        let was_home = home.target.is_some();
        let liveness = HomeLiveness::default();
        self.associations.push(Association { peer, home, was_home, liveness });
        if self.associations.len() > Self::ASSOCIATIONS_MAX {
            let home = self.state.home();
            if let Some(row) = self.associations.iter().position(|a| Some(a.peer) != home) {
                let peer = self.associations.remove(row).peer;
                self.outputs.push_back(Output::Abort(peer));
            }
        }
    }

    pub(super) fn association(&self, peer: Peer) -> Option<&Association> {
        self.associations.iter().find(|association| association.peer == peer)
    }

    pub(super) fn association_mut(&mut self, peer: Peer) -> Option<&mut Association> {
        self.associations.iter_mut().find(|association| association.peer == peer)
    }

    pub(super) fn close_all(&mut self) {
        let close = |association: Association| Output::Close(association.peer);
        self.outputs.extend(self.associations.drain(..).map(close));
    }
}
