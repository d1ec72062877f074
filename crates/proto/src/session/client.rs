//! The user's side of a session.

use std::collections::VecDeque;
use std::time::Duration;

use rserpool_wire::Asap;
use rserpool_wire::asap;
use rserpool_wire::param::{Cookie, PeId, PoolElement, Transport, TransportUse};

use super::search::{GaveUp, Means, Search};
use super::watch::{Verdict, Watch};
use crate::machine::Peer;
use crate::stats::SessionStats;
use crate::time::Time;

pub use super::config::{Config, NextServer};
pub use super::event::{Event, FailureReason, Input, Loss, Output, Problem};

/// A session with a pool, as its user sees it.
///
/// ```text
///   +------+  Seek   +---------+   Up    +-----------+
///   | Idle | ------> | Seeking | ------> | Connected |
///   +------+ <------ +---------+ <------ +-----------+
///             GaveUp              Down, silence, FailOver, MoveOn
/// ```
///
/// As with a [`Machine`](crate::machine::Machine): after every [`handle`](Self::handle) call
/// [`poll`](Self::poll) until it returns `None`, then ask for [`next_timeout`](Self::next_timeout).
#[derive(Debug)]
pub struct Client {
    config: Config,
    state: State,
    search: Search,
    /// The newest cookie, octet for octet (RFC 5352 §3.5).
    cookie: Option<Cookie>,
    /// Whom the server of the moment named, in its order; that server's word only.
    named: Vec<PoolElement>,
    outputs: VecDeque<Output>,
    stats: SessionStats,
}

#[derive(Debug)]
enum State {
    Idle {
        lost: Option<(PeId, FailureReason)>,
    },
    Seeking {
        lost: Option<(PeId, FailureReason)>,
    },
    Connected {
        peer: Peer,
        server: Box<PoolElement>,
        since: Time,
        /// It has said something: it does more than accept.
        has_served: bool,
        /// It got a cookie, and has not said anything that follows from it.
        echoed: bool,
        watch: Option<Watch>,
    },
}

/// A session that has lived so long has found a server. One that ends earlier has only tried one:
/// who hangs up at once is not called again and again without a pause.
pub const SETTLED: Duration = Duration::from_secs(1);

impl Client {
    /// A session that seeks nobody yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            state: State::Idle { lost: None },
            search: Search::new(),
            cookie: None,
            named: Vec::new(),
            outputs: VecDeque::new(),
            stats: SessionStats::default(),
        }
    }

    /// The server of the moment, and the association to it.
    pub fn server(&self) -> Option<(Peer, &PoolElement)> {
        match &self.state {
            State::Connected { peer, server, .. } => Some((*peer, server)),
            State::Idle { .. } | State::Seeking { .. } => None,
        }
    }

    /// True where nobody is sought: at the start, and after [`Event::GaveUp`].
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle { .. })
    }

    /// The newest cookie: what the next server gets.
    pub fn cookie(&self) -> Option<&Cookie> {
        self.cookie.as_ref()
    }

    /// What was counted.
    pub fn stats(&self) -> SessionStats {
        self.stats
    }

    /// When to hand in [`Input::Timeout`] if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Time> {
        match &self.state {
            State::Idle { .. } => None,
            State::Seeking { .. } => self.search.next_timeout(),
            State::Connected { watch, .. } => watch.as_ref().and_then(Watch::next_timeout),
        }
    }

    /// Takes the next thing to do, in order.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes one input at `now`.
    pub fn handle(&mut self, now: Time, input: Input) {
        match (&mut self.state, input) {
            (State::Idle { lost }, Input::Seek) => {
                self.state = State::Seeking { lost: *lost };
                self.search(now, |search, means| {
                    search.begin(means);
                    Ok(())
                });
            }
            (State::Seeking { .. }, Input::Answer(question, answer)) => {
                self.search(now, |search, means| search.answered(means, question, answer));
            }
            (State::Seeking { lost }, Input::Up(peer)) => {
                let lost = *lost;
                if let Some(server) = self.search.up(peer) {
                    self.connected(now, peer, server, lost);
                }
            }
            (State::Seeking { .. }, Input::Down(peer, loss)) => {
                self.search(now, |search, means| search.down(means, peer, loss));
            }
            (State::Seeking { .. }, Input::Timeout) => self.search(now, Search::timeout),
            (State::Connected { peer, .. }, Input::Down(down, loss)) if *peer == down => {
                self.lose(now, loss.into());
            }
            (State::Connected { peer, has_served, echoed, .. }, Input::Data(from))
                if *peer == from =>
            {
                (*has_served, *echoed) = (true, false);
                self.heard(now);
            }
            (State::Connected { peer, .. }, Input::Malformed(from)) if *peer == from => {
                self.heard(now);
                self.stats.malformed += 1;
            }
            (State::Connected { peer, .. }, Input::Control(from, message)) if *peer == from => {
                self.control(now, message);
            }
            (State::Connected { .. }, Input::FailOver) => {
                self.leave(now, FailureReason::Reported);
            }
            (State::Connected { .. }, Input::MoveOn) => self.leave(now, FailureReason::Left),
            (State::Connected { .. }, Input::Timeout) => self.watch(now),
            // Of former servers; late answers; what is under way already.
            (
                State::Idle { .. } | State::Seeking { .. } | State::Connected { .. },
                Input::Seek
                | Input::Answer(..)
                | Input::Up(_)
                | Input::Down(..)
                | Input::Control(..)
                | Input::Malformed(_)
                | Input::Data(_)
                | Input::FailOver
                | Input::MoveOn
                | Input::Timeout,
            ) => {}
        }
    }

    /// Goes on with the search, which may end it.
    fn search(
        &mut self,
        now: Time,
        step: impl FnOnce(&mut Search, &mut Means<'_>) -> Result<(), GaveUp>,
    ) {
        let mut means = Means { now, config: &self.config, outputs: &mut self.outputs };
        let Err(GaveUp(problem)) = step(&mut self.search, &mut means) else { return };
        let lost = match self.state {
            State::Idle { lost } | State::Seeking { lost } => lost,
            State::Connected { .. } => None,
        };
        self.state = State::Idle { lost };
        self.outputs.push_back(Output::Event(Event::GaveUp(problem)));
    }

    fn connected(
        &mut self,
        now: Time,
        peer: Peer,
        server: PoolElement,
        lost: Option<(PeId, FailureReason)>,
    ) {
        let has_control = has_control_channel(&server);
        let mut resumed = false;
        if has_control {
            // RFC 5352 §3.5: the cookie goes before everything else.
            if let Some(cookie) = self.cookie.clone().filter(|_| lost.is_some()) {
                self.outputs.push_back(Output::Control(peer, Asap::CookieEcho(cookie)));
                self.stats.cookies_echoed += 1;
                resumed = true;
            }
            if let Some(card) = self.config.card.clone() {
                self.outputs.push_back(Output::Control(peer, Asap::BusinessCard(card)));
            }
        }
        let to = server.id;
        let event = match lost {
            None => Event::Connected { server: to },
            Some((from, reason)) => {
                self.stats.failovers += 1;
                Event::FailedOver { from, to, reason, resumed }
            }
        };
        self.outputs.push_back(Output::Event(event));
        let keep_alive = self.config.keep_alive.filter(|_| has_control);
        // Over TCP a control channel is our own extension: whoever has it answers.
        let answers = matches!(server.user_transport, Transport::Tcp { .. });
        if keep_alive.is_some() && !answers {
            self.ask(peer, server.id);
        }
        let watch = keep_alive.map(|keep_alive| Watch::new(keep_alive, now, answers));
        self.named.clear();
        let (server, has_served, echoed) = (Box::new(server), false, resumed);
        self.state = State::Connected { peer, server, since: now, has_served, echoed, watch };
    }

    /// Asks the server whether it is still there.
    fn ask(&mut self, peer: Peer, server: PeId) {
        let question = asap::KeepAlive {
            claim_home: false,
            sender: None,
            handle: self.config.handle.clone(),
            id: Some(server),
        };
        self.outputs.push_back(Output::Control(peer, Asap::KeepAlive(question)));
        self.stats.keep_alives += 1;
    }

    /// The server lives.
    fn heard(&mut self, now: Time) {
        if let State::Connected { watch: Some(watch), .. } = &mut self.state {
            watch.heard(now);
        }
    }

    fn control(&mut self, now: Time, message: Asap) {
        self.heard(now);
        let State::Connected { watch, server, echoed, .. } = &mut self.state else { return };
        match message {
            Asap::Cookie(cookie) => {
                let octets = cookie.as_bytes().len();
                *echoed = false;
                self.cookie = Some(cookie);
                self.stats.cookies += 1;
                self.outputs.push_back(Output::Event(Event::CookieStored { octets }));
            }
            Asap::BusinessCard(card) if card.handle == self.config.handle => {
                self.named = card.elements;
                self.stats.cards += 1;
            }
            Asap::KeepAliveAck(ack) if ack.handle == self.config.handle => {
                // It may have been started anew since it was listed under another identifier.
                server.id = ack.id;
                self.stats.keep_alives_answered += 1;
                watch.iter_mut().for_each(|watch| watch.answered(now));
            }
            // An error in answer to the cookie, before anything else of this server: our servers say
            // so that the session begins anew. Whatever comes next of them is a state that follows.
            Asap::Error(_) if std::mem::take(echoed) => {
                let by = server.id;
                self.cookie = None;
                self.stats.cookies_refused += 1;
                self.outputs.push_back(Output::Event(Event::CookieRefused { by }));
            }
            // Cards of other pools, and what belongs elsewhere.
            _ => self.stats.unexpected += 1,
        }
    }

    fn watch(&mut self, now: Time) {
        let State::Connected { peer, server, watch: Some(watch), .. } = &mut self.state else {
            return;
        };
        let (peer, server) = (*peer, server.id);
        match watch.timeout(now) {
            Verdict::Nothing => {}
            Verdict::Ask => self.ask(peer, server),
            Verdict::Silent => self.leave(now, FailureReason::Silent),
        }
    }

    /// Ends the association to the server, and seeks another.
    fn leave(&mut self, now: Time, reason: FailureReason) {
        if let State::Connected { peer, .. } = self.state {
            self.outputs.push_back(Output::Abort(peer));
            self.lose(now, reason);
        }
    }

    /// Gives the server up and seeks another. One that has ended the session in good order, or was
    /// left, is not reported: it may be well, and hang up on everybody when it has said what it has
    /// to say.
    fn lose(&mut self, now: Time, reason: FailureReason) {
        let State::Connected { server, since, has_served, .. } = &self.state else { return };
        let (from, has_served, is_settled) = (server.id, *has_served, now - *since >= SETTLED);
        if !matches!(reason, FailureReason::Closed | FailureReason::Left) {
            self.outputs.push_back(Output::Report(from));
        }
        if !matches!(reason, FailureReason::Reported | FailureReason::Left) {
            self.outputs.push_back(Output::Event(Event::FailoverNeeded { from, reason }));
        }
        self.state = State::Seeking { lost: Some((from, reason)) };
        let card = match self.config.next_server {
            NextServer::Card => std::mem::take(&mut self.named),
            NextServer::Policy => Vec::new(),
        };
        self.search(now, |search, means| {
            if is_settled || has_served {
                search.allow(means);
            }
            search.resume(means, from, is_settled, &card)
        });
    }
}

/// True where a server has a control channel beside the data (RFC 5354 §3.4, Transport Use).
pub fn has_control_channel(server: &PoolElement) -> bool {
    server.user_transport.transport_use() == TransportUse::DataPlusControl
}
