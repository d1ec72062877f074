//! The registrar that a user asks, and how it comes to another one.

use super::{Event, PoolUser, State};
use crate::machine::{Link, Output, Peer, Target};
use crate::time::Time;

/// The registrar that is asked.
#[derive(Clone, Debug)]
pub(super) struct Home {
    pub(super) target: Target,
    pub(super) link: Link,
}

impl PoolUser {
    /// True where a registrar is wanted.
    pub(super) fn needs_home(&self) -> bool {
        !self.questions.is_empty() || !self.subscriptions.is_empty() || self.reports.are_pending()
    }

    /// Something has to be asked: a hunt where there is no home (RFC 5352 §3.3 NR2).
    pub(super) fn want_home(&mut self, now: Time) {
        if self.state == State::Idle {
            self.state = State::Hunting;
            self.hunt.start(now, &mut self.outputs);
        }
    }

    /// Ends a hunt that nobody needs any more. A home that has not answered is left then.
    pub(super) fn rest_if_idle(&mut self) {
        if self.needs_home() {
            return;
        }
        match self.state {
            State::Idle | State::Homed { .. } => {}
            State::Hunting => {
                self.hunt.stop(&mut self.outputs);
                self.state = State::Idle;
            }
            State::Doubting { home } => {
                self.hunt.stop(&mut self.outputs);
                self.outputs.push_back(Output::Abort(home));
                self.forget_home();
                self.stats.homes_silent += 1;
                self.state = State::Idle;
            }
        }
    }

    pub(super) fn up(&mut self, now: Time, peer: Peer, link: Link) {
        let Some(target) = self.hunt.up(peer, &mut self.outputs) else {
            // Nobody has business to come to a user. What was dialed is being aborted already.
            if !peer.is_dialed() {
                self.outputs.push_back(Output::Abort(peer));
            }
            return;
        };
        if let State::Doubting { home } = self.state {
            // RFC 5352 §3.7.2: another registrar answers, so it is the home.
            self.stats.homes_silent += 1;
            self.outputs.push_back(Output::Abort(home));
        }
        self.state = State::Homed { home: peer };
        self.alone = false;
        self.outputs.push_back(Output::Event(Event::HomeFound { link: link.clone() }));
        self.home = Some(Home { target, link });
        self.lapse_subscriptions();
        self.ask_everything(now, peer);
        self.renew_subscriptions(now);
        self.send_pending_reports(peer);
    }

    pub(super) fn down(&mut self, now: Time, peer: Peer) {
        if self.hunt.down(peer, &mut self.outputs) || self.state.home() != Some(peer) {
            return;
        }
        self.stats.homes_lost += 1;
        self.outputs.push_back(Output::Event(Event::HomeLost));
        self.forget_home();
        // RFC 5352 §3.7.1: what was under way is not sent again on this path, but to another
        // registrar.
        match self.state {
            State::Homed { .. } if !self.needs_home() => self.state = State::Idle,
            State::Homed { .. } => {
                self.state = State::Hunting;
                self.hunt.start(now, &mut self.outputs);
            }
            State::Doubting { .. } => self.state = State::Hunting,
            State::Idle | State::Hunting => {}
        }
    }

    pub(super) fn forget_home(&mut self) {
        self.home = None;
        self.lapse_subscriptions();
    }

    /// T1 has expired: the home is asked again, and another one sought (RFC 5352 §3.7.2).
    pub(super) fn doubt_home(&mut self, now: Time) {
        if let State::Homed { home } = self.state {
            self.state = State::Doubting { home };
            self.hunt.avoid(self.home.as_ref().map(|home| home.target.clone()));
            self.hunt.start(now, &mut self.outputs);
        }
    }

    /// The home has answered.
    pub(super) fn trust_home(&mut self, home: Peer) {
        self.hunt.settle();
        if let State::Doubting { .. } = self.state {
            self.hunt.stop(&mut self.outputs);
            self.state = State::Homed { home };
            self.send_pending_reports(home);
        }
    }
}
