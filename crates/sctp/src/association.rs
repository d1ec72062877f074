//! One association: what it consists of, and what becomes of each chunk (RFC 9260 §4).
//!
//! | state | file |
//! |---|---|
//! | CLOSED to ESTABLISHED, restart, collision | `setup` |
//! | SHUTDOWN-PENDING to CLOSED, ABORT | `shutdown` |
//! | addresses that come and go | `asconf` |
//! | what is sent, in which packet | `transmit` |
//! | what happens when nothing happens | `deadlines` |

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::asconf::Asconf;
use crate::auth::{Auth, PROTECTED, Verdict};
use crate::cause::{cause, code};
use crate::chunk::{self, Chunk, Data, Sack, kind};
use crate::config::{Config, REPLIES_MAX};
use crate::event::{Command, DownReason, Event, Message, PathChange, SendError, Statistics, Way};
use crate::packet::{Header, Packet};
use crate::parameter::{Parameters, kind as parameter};
use crate::path::{Health, Paths};
use crate::random::Random;
use crate::read::u64_at;
use crate::receive::{Receive, Taken, Violation};
use crate::send::Send;
use crate::setup::Setup;

/// How far an association is (RFC 9260 §4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    CookieWait,
    CookieEchoed,
    Established,
    ShutdownPending,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
    Closed,
}

/// A chunk that answers something, to where that came from.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) way: Way,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) value: Vec<u8>,
}

/// One association.
pub(crate) struct Association {
    pub(crate) config: Arc<Config>,
    pub(crate) state: State,
    /// Own port and peer's.
    pub(crate) ports: [u16; 2],
    pub(crate) own_tag: u32,
    /// 0 until it is known.
    pub(crate) peer_tag: u32,
    /// The own first TSN, as INITs say it.
    pub(crate) initial: u32,
    pub(crate) dialed: bool,
    pub(crate) random: Random,
    /// Own addresses that may be used; none where the system chooses.
    pub(crate) own: Vec<IpAddr>,
    pub(crate) paths: Paths,
    pub(crate) setup: Option<Box<Setup>>,
    pub(crate) send: Send,
    pub(crate) receive: Receive,
    pub(crate) streams_out: u16,
    pub(crate) auth: Option<Box<Auth>>,
    pub(crate) asconf: Asconf,
    /// Answers that are missing in a row, on all paths.
    pub(crate) errors: u32,
    /// T2-shutdown.
    pub(crate) t2: Option<Duration>,
    /// T5-shutdown-guard.
    pub(crate) t5: Option<Duration>,
    /// SHUTDOWN or SHUTDOWN ACK is to be sent.
    pub(crate) shutdown_due: bool,
    pub(crate) events: VecDeque<Event>,
    pub(crate) replies: VecDeque<Reply>,
    /// Paths that get a HEARTBEAT now.
    pub(crate) beats: u16,
    /// Packets with new DATA that may leave before something else happens.
    pub(crate) burst: usize,
    /// The user takes no messages.
    pub(crate) paused: bool,
    /// The user was refused a message.
    pub(crate) was_full: bool,
    pub(crate) statistics: Statistics,
}

impl Association {
    /// Whether messages pass.
    pub(crate) fn is_up(&self) -> bool {
        !matches!(self.state, State::CookieWait | State::CookieEchoed | State::Closed)
    }

    /// Whether DATA is taken.
    fn receives(&self) -> bool {
        matches!(self.state, State::Established | State::ShutdownPending | State::ShutdownSent)
    }

    /// The header of its packets.
    pub(crate) fn header(&self) -> Header {
        Header { source: self.ports[0], destination: self.ports[1], tag: self.peer_tag }
    }

    /// Takes a packet with its own tag. COOKIE ECHO and INIT are the endpoint's.
    pub(crate) fn packet(&mut self, way: Way, packet: &Packet<'_>, now: Duration) {
        self.burst = self.burst.max(self.config.burst_max);
        let mut authentic = false;
        let mut has_data = false;
        let mut chunks = packet.chunks();
        for chunk in &mut chunks {
            if self.state == State::Closed {
                return;
            }
            if PROTECTED.contains(&chunk.kind) && !authentic {
                self.statistics.not_authentic += 1;
                continue;
            }
            let goes_on = match chunk.kind {
                kind::AUTH => {
                    let verdict = self.auth.as_ref().map(|a| a.verify(packet.octets, &chunk));
                    authentic = verdict == Some(Verdict::Authentic);
                    self.not_authentic(way, verdict);
                    authentic || verdict.is_none()
                }
                kind::DATA => {
                    has_data |= self.receives();
                    self.data(way, &chunk, now)
                }
                _ => self.chunk(way, &chunk, now),
            };
            if !goes_on {
                break;
            }
        }
        if has_data && self.is_up() {
            let config = Arc::clone(&self.config);
            self.doubt(way);
            self.receive.packet(way, now, &config);
            // RFC 9260 §9.2: what waits for the end says at once what has arrived.
            if self.state == State::ShutdownSent {
                self.receive.due = true;
                self.shutdown_due = true;
                self.arm_t2(now);
            }
        }
        self.follow(way);
        self.settle(now);
    }

    fn not_authentic(&mut self, way: Way, verdict: Option<Verdict>) {
        match verdict {
            None | Some(Verdict::Authentic) => {}
            Some(Verdict::Forged) => self.statistics.not_authentic += 1,
            Some(Verdict::Unsupported(number)) => {
                self.statistics.not_authentic += 1;
                self.report(way, code::UNSUPPORTED_HMAC, &number.to_be_bytes());
            }
        }
    }

    /// Takes any chunk but DATA and AUTH. False where the rest of the packet is not looked at.
    fn chunk(&mut self, way: Way, chunk: &Chunk<'_>, now: Duration) -> bool {
        match chunk.kind {
            kind::SACK => self.sack(chunk, now),
            kind::HEARTBEAT => self.heartbeat(way, chunk),
            kind::HEARTBEAT_ACK => self.heartbeat_ack(chunk, now),
            kind::INIT_ACK => self.init_ack(way, chunk, now),
            kind::COOKIE_ACK => self.cookie_ack(now),
            kind::ABORT => self.aborted(way, chunk, now),
            kind::ERROR => self.error(chunk, now),
            kind::SHUTDOWN => self.peer_shutdown(chunk, now),
            kind::SHUTDOWN_ACK => self.shutdown_ack(way),
            kind::SHUTDOWN_COMPLETE => self.shutdown_complete(chunk),
            kind::ASCONF => self.on_asconf(way, chunk, now),
            kind::ASCONF_ACK => self.on_asconf_ack(chunk, now),
            // The endpoint has seen to it.
            kind::COOKIE_ECHO | kind::INIT => {}
            other => {
                let unknown = chunk::unknown(other);
                self.statistics.ignored += 1;
                if unknown.report {
                    self.report(way, code::UNRECOGNIZED_CHUNK, chunk.whole);
                }
                return !unknown.stop;
            }
        }
        true
    }

    /// Takes a DATA chunk (RFC 9260 §6.2).
    fn data(&mut self, way: Way, chunk: &Chunk<'_>, now: Duration) -> bool {
        let receives =
            matches!(self.state, State::Established | State::ShutdownPending | State::ShutdownSent);
        // Once the peer has said SHUTDOWN there is none, and before COOKIE ACK its COOKIE ACK is lost.
        if !receives {
            self.statistics.ignored += 1;
            return true;
        }
        let Some(data) = Data::read(chunk) else {
            self.statistics.malformed += 1;
            return true;
        };
        if data.payload.is_empty() {
            self.abort_with(code::NO_USER_DATA, &data.tsn.to_be_bytes(), DownReason::Violation);
            return false;
        }
        let config = Arc::clone(&self.config);
        match self.receive.data(&data, now, &config, &mut self.statistics) {
            Ok(Taken::Yes | Taken::Dropped) => {}
            Ok(Taken::NoStream) => {
                let [a, b] = data.stream.to_be_bytes();
                self.report(way, code::INVALID_STREAM, &[a, b, 0, 0]);
            }
            Err(violation) => {
                self.violated(violation);
                return false;
            }
        }
        true
    }

    fn sack(&mut self, chunk: &Chunk<'_>, now: Duration) {
        if !self.is_up() {
            return;
        }
        match Sack::read(chunk) {
            Some(sack) => self.acknowledge(&sack, true, now),
            None => self.statistics.malformed += 1,
        }
    }

    /// Takes what a SACK or a SHUTDOWN acknowledges.
    pub(crate) fn acknowledge(&mut self, sack: &Sack<'_>, is_whole: bool, now: Duration) {
        let config = Arc::clone(&self.config);
        match self.send.sack(sack, is_whole, &mut self.paths, now, &config) {
            Ok(acknowledged) if acknowledged.ignored => self.statistics.ignored += 1,
            Ok(acknowledged) => {
                if acknowledged.octets > 0 {
                    self.errors = 0;
                }
                self.burst += acknowledged.octets / self.paths.mtu(&config).max(1);
                if acknowledged.healed {
                    self.choose();
                }
            }
            Err(violation) => self.violated(violation),
        }
    }

    /// RFC 9260 §8.3: what it says goes back to where it came from.
    fn heartbeat(&mut self, way: Way, chunk: &Chunk<'_>) {
        self.reply(way, kind::HEARTBEAT_ACK, 0, chunk.value.to_vec());
    }

    fn heartbeat_ack(&mut self, chunk: &Chunk<'_>, now: Duration) {
        let info = Parameters::new(chunk.value).next();
        let info = info.filter(|info| info.kind == parameter::HEARTBEAT_INFO);
        let Some(nonce) = info.and_then(|info| u64_at(info.value, 0)) else {
            return self.statistics.malformed += 1;
        };
        let asked = |path: &crate::path::Path| path.heartbeat.is_some_and(|h| h.nonce == nonce);
        let Some(id) = self.paths.iter().find(|path| asked(path)).map(|path| path.id) else {
            // An old one, or one that nobody asked for.
            return self.statistics.ignored += 1;
        };
        let jitter = self.jitter();
        let Some(path) = self.paths.get_mut(id) else { return };
        path.answered(now, &self.config);
        let (was, health) = (path.confirmed, path.health(&self.config));
        path.confirmed = true;
        path.errors = 0;
        path.schedule(now, jitter, &self.config);
        self.errors = 0;
        let ip = path.way.remote.ip();
        if !was {
            self.events.push_back(Event::Path(ip, PathChange::Confirmed));
        } else if health != Health::Active {
            self.events.push_back(Event::Path(ip, PathChange::Reachable));
        }
        self.choose();
    }

    /// RFC 9260 §3.3.10: what the peer could not use. Most of it is only worth knowing.
    fn error(&mut self, chunk: &Chunk<'_>, now: Duration) {
        let stale = Parameters::new(chunk.value).any(|cause| cause.kind == code::STALE_COOKIE);
        if stale && self.state == State::CookieEchoed {
            return self.begin_again(now);
        }
        self.statistics.ignored += 1;
    }

    /// RFC 6951 §5.4: the peer's packets come from another port of the encapsulation now; and what is
    /// sent to it leaves from the own address that it sends to.
    fn follow(&mut self, way: Way) {
        if self.peer_tag == 0 {
            return;
        }
        let own = &self.own;
        let Some(path) = self.paths.find_mut(way.remote.ip()) else { return };
        path.way.remote = way.remote;
        if let Some(local) = way.local
            && (own.is_empty() || own.contains(&local))
        {
            path.way.local = Some(local);
        }
    }

    /// Where the peer sends DATA over another path than before, and the one before is the one that is
    /// used, that path is asked whether it is there, and not used before it has answered: the peer may
    /// have noticed already what would cost a timeout here.
    fn doubt(&mut self, way: Way) {
        let ip = way.remote.ip();
        let before = self.receive.way.map(|way| way.remote.ip());
        let is_left = before.is_some_and(|before| before != ip);
        let is_confirmed = self.paths.find(ip).is_some_and(|path| path.confirmed);
        let current = self.paths.current;
        let Some(path) = self.paths.get_mut(current).filter(|_| is_left && is_confirmed) else {
            return;
        };
        if Some(path.way.remote.ip()) == before && path.errors == 0 && !path.doubted {
            path.doubted = true;
            if path.heartbeat.is_none() {
                self.beats |= 1 << (current % 16);
            }
            self.choose();
        }
    }

    /// Queues an answer; too many at once are dropped as if they had been lost.
    pub(crate) fn reply(&mut self, way: Way, kind: u8, flags: u8, value: Vec<u8>) {
        if self.replies.len() >= REPLIES_MAX {
            return self.statistics.ignored += 1;
        }
        self.replies.push_back(Reply { way, kind, flags, value });
    }

    /// Queues an ERROR.
    pub(crate) fn report(&mut self, way: Way, code: u16, information: &[u8]) {
        let mut value = Vec::new();
        cause(&mut value, code, information);
        self.reply(way, kind::ERROR, 0, value);
    }

    /// The peer broke a rule: it gets an ABORT.
    pub(crate) fn violated(&mut self, violation: Violation) {
        let information = violation.0.as_bytes();
        self.abort_with(code::PROTOCOL_VIOLATION, information, DownReason::Violation);
    }

    /// Uses the path that does best, and says so where it is another one.
    pub(crate) fn choose(&mut self) {
        let Some(best) = self.paths.best(&self.config) else { return };
        if best != self.paths.current {
            self.paths.current = best;
            if let Some(path) = self.paths.get(best) {
                let used = Event::Path(path.way.remote.ip(), PathChange::Used);
                self.events.push_back(used);
            }
        }
    }

    /// Queues a message.
    pub(crate) fn send_message(&mut self, message: Message) -> Result<(), SendError> {
        if self.state != State::Established {
            return Err(SendError::NotUp);
        }
        let length = message.octets.len();
        if length == 0 {
            return Err(SendError::Empty);
        }
        if length > self.config.message_max {
            return Err(SendError::TooLong);
        }
        if message.stream >= self.streams_out {
            return Err(SendError::NoStream);
        }
        if !self.send.has_room(length, &self.config) {
            self.was_full = true;
            return Err(SendError::Full);
        }
        self.burst = self.burst.max(self.config.burst_max);
        self.send.push(message);
        Ok(())
    }

    /// Does what the user wants.
    pub(crate) fn command(&mut self, command: Command, now: Duration) {
        match command {
            Command::Shutdown => self.shut_down(now),
            Command::Abort => self.abort_with(code::USER_INITIATED, &[], DownReason::UserAborted),
            Command::Pause => self.paused = true,
            Command::Resume => self.paused = false,
            Command::SetPrimary(ip) => {
                if let Some(id) = self.paths.find(ip).map(|path| path.id) {
                    self.paths.primary = id;
                    self.choose();
                }
            }
            Command::AddAddress(ip) => self.add_address(ip),
            Command::DeleteAddress(ip) => self.delete_address(ip),
            Command::SetPeerPrimary(ip) => self.set_peer_primary(ip),
            Command::Heartbeat(ip) => {
                let asked = |path: &&crate::path::Path| {
                    ip.is_none_or(|ip| path.way.remote.ip() == ip) && path.heartbeat.is_none()
                };
                let bits = self.paths.iter().filter(asked).map(|path| 1 << (path.id % 16));
                self.beats |= bits.fold(0, |all, bit| all | bit);
            }
        }
        self.settle(now);
    }

    /// The next thing to tell the user.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if self.paused || self.state == State::Closed {
            return None;
        }
        self.receive.next_message(&self.config).map(Event::Message)
    }

    /// Hands out all messages that are there, in front of what ends the association.
    pub(crate) fn hand_out(&mut self) {
        while let Some(message) = self.receive.next_message(&self.config) {
            self.events.push_back(Event::Message(message));
        }
    }

    /// It is over.
    pub(crate) fn close(&mut self, reason: DownReason) {
        if self.state == State::Closed {
            return;
        }
        self.hand_out();
        self.state = State::Closed;
        self.events.push_back(Event::Down(reason));
    }

    /// What follows from any input.
    pub(crate) fn settle(&mut self, now: Duration) {
        self.shutdown_goes_on(now);
        if self.was_full && self.send.waiting() <= self.config.send_queue_max / 2 {
            self.was_full = false;
            self.events.push_back(Event::Writable);
        }
    }

    /// Gives back what queues took that are empty most of the time: there may be very many
    /// associations.
    pub(crate) fn shrink(&mut self) {
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        if self.replies.is_empty() {
            self.replies = VecDeque::new();
        }
    }

    /// 256 parts of the spread of a HEARTBEAT.
    pub(crate) fn jitter(&mut self) -> u8 {
        self.random.octets()[0]
    }

    /// Octets that messages which cannot be delivered count for.
    pub(crate) fn held(&self) -> usize {
        self.receive.held()
    }
}
