//! The TLS side of a TCP endpoint: handshakes from their beginning to their end, and what a change
//! of the keys ends.

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::connection::Connection;
use super::dial::Dialed;
use super::handshake::{Failure, Handshake, Progress};
use super::stream::{Stream, Wanted};
use super::{Framing, Peer, State, TcpEndpoint};
use crate::address::{Address, Scheme};
use crate::endpoint::{AssocId, DownReason, Error, Event, Options, Remote};
use crate::source_limit::Source;
use crate::tls::{Config, Tls};

/// A dial, and who has to be there over TLS.
pub(super) struct Dial {
    pub(super) connecting: super::dial::Connecting,
    /// Who has to be there, and until when it may take to prove it.
    pub(super) secure: Option<(crate::tls::Expected, Instant)>,
}

/// The keys for this URL; `None` where it is plain.
pub(super) fn keys(scheme: Scheme, options: &Options) -> Result<Option<Tls>, Error> {
    match (scheme, &options.tls) {
        (Scheme::Tls, Some(tls)) => Ok(Some(tls.clone())),
        (Scheme::Tls, None) => {
            let why = "this node has no keys".into();
            Err(Error::Unsupported { what: "TLS", why })
        }
        (Scheme::Tcp, _) => Ok(None),
        _ => {
            let why = format!("{scheme}:// was asked for");
            Err(Error::Unsupported { what: "another transport at a TCP endpoint", why })
        }
    }
}

impl TcpEndpoint {
    /// An endpoint that only dials, over TLS; all its connections use `framing`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] without keys.
    pub fn tls_dialer(framing: Framing, options: &Options) -> Result<Self, Error> {
        let tls = keys(Scheme::Tls, options)?;
        let mut endpoint = Self::dialer(framing, options);
        endpoint.local.url = Address { scheme: Scheme::Tls, ..endpoint.local.url };
        endpoint.secure(tls);
        Ok(endpoint)
    }

    /// From now on everything is in TLS.
    pub(super) fn secure(&mut self, tls: Option<Tls>) {
        if let Some(tls) = &tls {
            tls.watch(self.ready.source(super::KEYS));
        }
        self.tls = tls;
    }

    /// What a dial of this peer has to prove, and until when.
    pub(super) fn wants(&self, remote: &Remote) -> Option<(crate::tls::Expected, Instant)> {
        self.tls.as_ref()?;
        let timeout = self.options.connect_timeout;
        Some((remote.expected.clone(), Instant::now() + timeout))
    }

    /// Lets a peer that came prove who it is.
    pub(super) fn begin_handshake(
        &mut self,
        stream: TcpStream,
        config: Arc<Config>,
        from: Source,
    ) -> Option<Event> {
        let max = self.options.handshakes_max;
        if self.handshakes.accepted >= max || !self.handshaking.may_come(from, max) {
            self.counters.over_handshakes += 1;
            return None;
        }
        let deadline = Instant::now() + self.options.handshake_timeout;
        let handshake = Handshake::accept(stream, config, deadline);
        self.sources.came(from);
        self.handshaking.came(from);
        let assoc = self.add(State::Down(DownReason::Closed), Some(from));
        self.shake_hands(assoc, handshake);
        None
    }

    fn shake_hands(&mut self, assoc: AssocId, handshake: Handshake) {
        self.handshakes.add(assoc, &handshake);
        if let Some(peer) = self.peers.get_mut(&assoc) {
            peer.state = State::Handshaking(Box::new(handshake));
            peer.source.queue();
        }
    }

    /// The event of a dial that succeeded, if that makes one.
    pub(super) fn dialed(&mut self, assoc: AssocId, stream: Dialed) -> Option<Event> {
        let Some(Peer { state: State::Dialing(dial), .. }) = self.peers.get_mut(&assoc) else {
            return None;
        };
        let (Some(tls), Some((expected, until))) = (&self.tls, dial.secure.take()) else {
            return Some(self.up(assoc, Stream::Plain(stream)));
        };
        let deadline = until.min(Instant::now() + self.options.handshake_timeout);
        let begun = stream.peer_addr().map_err(|_| DownReason::Reset).and_then(|remote| {
            let wanted = Wanted { expected, ip: remote.ip() };
            Handshake::dial(stream, tls.current(), wanted, deadline)
        });
        match begun {
            Ok(handshake) => {
                self.shake_hands(assoc, handshake);
                None
            }
            Err(reason) => Some(self.down(assoc, reason)),
        }
    }

    /// Goes on with a handshake; its event, if that makes one.
    pub(super) fn go_on(&mut self, assoc: AssocId) -> Option<Event> {
        let Peer { source, state: State::Handshaking(handshake), from } =
            self.peers.get_mut(&assoc)?
        else {
            return None;
        };
        let waker = source.waker();
        let cx = &mut Context::from_waker(&waker);
        let Poll::Ready(progress) = handshake.poll(cx, self.buffers.scratch()) else {
            return None;
        };
        let is_dialed = from.is_none();
        match progress {
            Progress::Done => self.proved(assoc),
            Progress::Failed(failure) => {
                self.counters.handshakes_failed += 1;
                tell(&self.local.url, handshake.remote(), is_dialed, &failure);
                if is_dialed {
                    return Some(self.down(assoc, failure.reason));
                }
                source.queue();
                None
            }
            Progress::Over => {
                self.forget(assoc);
                None
            }
        }
    }

    /// A handshake is done.
    fn proved(&mut self, assoc: AssocId) -> Option<Event> {
        let peer = self.peers.get_mut(&assoc)?;
        let state = std::mem::replace(&mut peer.state, State::Down(DownReason::Tls));
        let State::Handshaking(handshake) = state else { return None };
        self.handshakes.remove(assoc, &handshake);
        if let Some(from) = peer.from {
            self.handshaking.left(from);
        }
        let current = self.tls.as_ref()?.current();
        let is_current = Arc::ptr_eq(handshake.config(), &current);
        let (stream, is_resumed) = handshake.into_stream()?;
        // The keys have changed meanwhile.
        if let (false, Err(error)) = (is_current, stream.check(&current)) {
            self.counters.handshakes_failed += 1;
            let is_dialed = self.forget(assoc)?.from.is_none();
            let reason = DownReason::Identity(error);
            return is_dialed.then_some(Event::Down { assoc, reason });
        }
        match is_resumed {
            true => self.counters.handshakes_resumed += 1,
            false => self.counters.handshakes_full += 1,
        }
        let is_dialed = self.peers.get(&assoc)?.from.is_none();
        let event = self.up(assoc, stream);
        // Nobody knows yet of one that came.
        (is_dialed || matches!(event, Event::Up { .. })).then_some(event)
    }

    /// The connection of a peer is there.
    fn up(&mut self, assoc: AssocId, stream: Stream) -> Event {
        let is_dialed = self.peers.get(&assoc).is_some_and(|peer| peer.from.is_none());
        let connection = Connection::new(stream, is_dialed, &self.options);
        let info = match connection.info() {
            Ok(info) => info,
            Err(_already_reset) => return self.down(assoc, DownReason::Reset),
        };
        if let Some(peer) = self.peers.get_mut(&assoc) {
            peer.state = State::Up(Box::new(connection));
            peer.source.queue();
        }
        Event::Up { assoc, info }
    }

    /// Ends handshakes whose time is over; the event of one that was dialed.
    pub(super) fn end_late(&mut self, cx: &mut Context<'_>) -> Option<Event> {
        while let Some(assoc) = self.handshakes.poll_late(cx) {
            let Some(Peer { state: State::Handshaking(handshake), from, .. }) = self.forget(assoc)
            else {
                continue;
            };
            if from.is_none() {
                self.counters.handshakes_late += 1;
                return Some(Event::Down { assoc, reason: DownReason::Timeout });
            }
            if !handshake.is_refused() {
                self.counters.handshakes_late += 1;
                let detail = "not finished in time".into();
                let failure = Failure { reason: DownReason::Timeout, detail };
                tell(&self.local.url, handshake.remote(), false, &failure);
            }
        }
        None
    }

    /// The keys have changed: who is not trusted any more goes.
    pub(super) fn check_all(&mut self) {
        let Some(config) = self.tls.as_ref().map(Tls::current) else { return };
        let mut ended: Vec<(AssocId, DownReason)> = Vec::new();
        for (assoc, peer) in &self.peers {
            if let State::Up(connection) = &peer.state
                && let Err(error) = connection.check(&config)
            {
                ended.push((*assoc, DownReason::Identity(error)));
            }
        }
        ended.sort_by_key(|(assoc, _)| *assoc);
        for (assoc, reason) in ended {
            let event = self.cut_off(assoc, reason);
            self.events.push_back(event);
        }
    }
}

/// Tells the operator that somebody speaks TLS to a plain endpoint. Of a dial its owner tells.
pub(super) fn tell_of_tls(url: &Address, peer: Option<&Peer>) {
    if let Some(Peer { from: Some(_), state: State::Up(connection), .. }) = peer {
        let remote = connection.remote().map(tracing::field::display);
        tracing::warn!(%url, remote, "a peer speaks TLS where there is none");
    }
}

/// Tells the operator. Of a dial its owner tells.
fn tell(url: &Address, remote: Option<std::net::SocketAddr>, is_dialed: bool, failure: &Failure) {
    let Failure { reason, detail } = failure;
    let remote = remote.map(tracing::field::display);
    let text = "TLS handshake failed";
    // Who dials several and takes the first one is gone from the others.
    match is_dialed || *reason == DownReason::Reset {
        true => tracing::info!(%url, remote, %reason, detail, "{text}"),
        false => tracing::warn!(%url, remote, %reason, detail, "{text}"),
    }
}
