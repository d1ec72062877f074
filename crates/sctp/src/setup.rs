//! The beginning of an association, on both sides (RFC 9260 §5), and beginning anew.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::asconf::Asconf;
use crate::association::{Association, State};
use crate::auth::{Auth, PROTECTED, Vector};
use crate::cause::{cause, code};
use crate::chunk::{Chunk, Init, kind};
use crate::config::Config;
use crate::cookie::Cookie;
use crate::event::{DownReason, Event, PathChange, Statistics, Up, Way};
use crate::parameter::{self, Offer, kind as parameter_kind};
use crate::path::{Paths, source};
use crate::random::Random;
use crate::receive::Receive;
use crate::send::Send;

/// What is known of an association that is being set up by this side.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The addresses that are dialed and have not refused; those in front have got an INIT.
    candidates: Vec<Way>,
    /// How many of them have.
    tried: usize,
    /// INITs, or COOKIE ECHOs, that all of them have got.
    attempts: u32,
    /// T1-init or T1-cookie.
    pub(crate) t1: Duration,
    rto: Duration,
    /// When the last INIT or COOKIE ECHO was sent, where its answer can be told from others.
    sent: Option<Duration>,
    /// INITs to be sent now.
    pub(crate) inits: VecDeque<Way>,
    /// The peer's cookie.
    pub(crate) cookie: Vec<u8>,
    /// A COOKIE ECHO is to be sent now.
    pub(crate) cookie_due: bool,
    /// The causes of an ERROR that goes with it.
    pub(crate) unrecognized: Vec<u8>,
    own_random: [u8; 32],
}

/// What an INIT means to an association that there is already (RFC 9260 §5.2).
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Meeting {
    /// Both dial: the answer has the tag and TSN that our INIT had.
    Collision { tag: u32, tsn: u32, random: [u8; 32], is_known: bool },
    /// Perhaps the peer has restarted.
    Restart,
    /// The same, with addresses that the association does not have: it may be somebody else.
    NewAddresses(Vec<IpAddr>),
    /// It is nearly over: a SHUTDOWN ACK is the answer.
    TooLate,
}

/// The parameters that we send in INIT and INIT ACK, but the cookie.
pub(crate) fn write_parameters(octets: &mut Vec<u8>, own: &[IpAddr], random: Option<&[u8; 32]>) {
    // Where there is one address only, it is the one that the packet comes from.
    if own.len() > 1 {
        own.iter().for_each(|address| parameter::write_address(octets, *address));
    }
    if let Some(random) = random {
        parameter::write(octets, parameter_kind::SUPPORTED_EXTENSIONS, |octets| {
            octets.extend_from_slice(&PROTECTED);
            octets.push(kind::AUTH);
        });
        Vector::own(random).write(octets);
    }
}

impl Association {
    /// An association with nobody yet.
    fn blank(config: &Arc<Config>, ports: [u16; 2], own: Vec<IpAddr>, random: Random) -> Self {
        Self {
            config: Arc::clone(config),
            state: State::CookieWait,
            ports,
            own_tag: 0,
            peer_tag: 0,
            initial: 0,
            dialed: false,
            random,
            own,
            paths: Paths::default(),
            setup: None,
            send: Send::new(0, 0),
            receive: Receive::new(0, 0, config),
            streams_out: 0,
            auth: None,
            asconf: Asconf::default(),
            errors: 0,
            t2: None,
            t5: None,
            shutdown_due: false,
            events: VecDeque::new(),
            replies: VecDeque::new(),
            beats: 0,
            burst: 0,
            paused: false,
            was_full: false,
            statistics: Statistics::default(),
        }
    }

    /// Dials these addresses of a peer, one after the other.
    pub(crate) fn dial(
        config: &Arc<Config>,
        ports: [u16; 2],
        own: &[IpAddr],
        candidates: Vec<Way>,
        mut random: Random,
        now: Duration,
    ) -> Self {
        let (own_tag, initial, own_random) = (random.tag(), random.word(), random.octets());
        let peer = candidates.first().map(|way| way.remote.ip());
        let sources = sources(&candidates);
        // Who leaves from several addresses is to be found at all of them.
        let own = if own.is_empty() && sources.len() > 1 { &sources } else { own };
        let own = peer.map_or_else(Vec::new, |peer| parameter::told(own, peer));
        let mut association = Self::blank(config, ports, own, random);
        association.dialed = true;
        association.own_tag = own_tag;
        association.initial = initial;
        association.setup = Some(Box::new(Setup {
            candidates,
            tried: 0,
            attempts: 0,
            t1: now,
            rto: config.rto_initial,
            sent: None,
            inits: VecDeque::new(),
            cookie: Vec::new(),
            cookie_due: false,
            unrecognized: Vec::new(),
            own_random,
        }));
        association.t1_init(now);
        association
    }

    /// An association whose cookie has come back.
    pub(crate) fn accept(
        config: &Arc<Config>,
        own: &[IpAddr],
        cookie: &Cookie,
        way: Way,
        random: Random,
        now: Duration,
    ) -> Self {
        let own = parameter::told(own, way.remote.ip());
        let mut association = Self::blank(config, cookie.ports, own, random);
        association.adopt(cookie, way, now);
        association.reply(way, kind::COOKIE_ACK, 0, Vec::new());
        association.established(now, Event::Up);
        association
    }

    /// The addresses that are dialed.
    pub(crate) fn dialed_addresses(&self) -> &[Way] {
        self.setup.as_ref().map_or(&[], |setup| &setup.candidates)
    }

    /// Appends the INIT to a packet.
    pub(crate) fn write_init(&self, packet: &mut Vec<u8>) {
        let mut parameters = Vec::new();
        let random = self.setup.as_ref().map(|setup| &setup.own_random);
        write_parameters(&mut parameters, &self.own, random);
        init(&self.config, self.own_tag, self.initial, &parameters).write(packet, kind::INIT);
    }

    /// T1-init has expired, or begins: the next address has its turn, or all of them again.
    pub(crate) fn t1_init(&mut self, now: Duration) {
        let config = Arc::clone(&self.config);
        let Some(setup) = &mut self.setup else { return };
        if let Some(way) = setup.candidates.get(setup.tried).copied() {
            setup.tried += 1;
            setup.inits.push_back(way);
            let has_more = setup.tried < setup.candidates.len();
            let wait = if has_more { config.head_start.min(setup.rto) } else { setup.rto };
            setup.t1 = now + wait;
            setup.sent = (setup.tried == 1).then_some(now);
            return;
        }
        setup.attempts += 1;
        if setup.attempts > config.init_retransmits_max {
            return self.close(DownReason::Timeout);
        }
        setup.inits = setup.candidates.iter().copied().collect();
        setup.rto = (2 * setup.rto).min(config.rto_max);
        setup.t1 = now + setup.rto;
        setup.sent = None;
    }

    /// T1-cookie has expired.
    pub(crate) fn t1_cookie(&mut self, now: Duration) {
        let other = self.paths.other(self.paths.current, &self.config);
        let Some(setup) = &mut self.setup else { return };
        setup.attempts += 1;
        if setup.attempts > self.config.init_retransmits_max {
            return self.close(DownReason::Timeout);
        }
        setup.cookie_due = true;
        setup.rto = (2 * setup.rto).min(self.config.rto_max);
        setup.t1 = now + setup.rto;
        setup.sent = None;
        self.paths.current = other.unwrap_or(self.paths.current);
    }

    /// One address refuses: it is over where there is no other one.
    pub(crate) fn refused(&mut self, ip: IpAddr, now: Duration) {
        let Some(setup) = &mut self.setup else { return };
        let Some(at) = setup.candidates.iter().position(|way| way.remote.ip() == ip) else {
            return;
        };
        setup.candidates.remove(at);
        setup.tried -= usize::from(at < setup.tried);
        if setup.candidates.is_empty() {
            self.close(DownReason::Refused);
        } else if setup.tried == 0 {
            self.t1_init(now);
        }
    }

    /// The peer answers the INIT (§5.1 C).
    pub(crate) fn init_ack(&mut self, way: Way, chunk: &Chunk<'_>, now: Duration) {
        if self.state != State::CookieWait {
            return self.statistics.ignored += 1;
        }
        let offer = Init::read(chunk)
            .and_then(|init| Some((init, Offer::read(init.parameters, way.remote.ip())?)));
        let Some((init, offer)) = offer else { return self.statistics.malformed += 1 };
        // §3.3.3: it knows our tag, and cannot be spoken with.
        if init.tag == 0 {
            return self.close(DownReason::Violation);
        }
        self.peer_tag = init.tag;
        let missing = [0, 0, 0, 1, 0, 7];
        let fault = if init.streams_out == 0 || init.streams_in == 0 {
            Some((code::INVALID_PARAMETER, &[][..]))
        } else if offer.unresolvable {
            Some((code::UNRESOLVABLE_ADDRESS, &[][..]))
        } else if offer.cookie.is_none() {
            Some((code::MISSING_PARAMETER, &missing[..]))
        } else {
            None
        };
        let (ready, cookie) = (fault.is_none(), offer.cookie.unwrap_or_default().to_vec());
        self.paths = Paths::default();
        self.learn(way, &offer.addresses, now);
        if let (false, Some((code, information))) = (ready, fault) {
            return self.abort_with(code, information, DownReason::Violation);
        }
        self.agree(
            [
                self.config.streams_out.min(init.streams_in),
                self.config.streams_in.min(init.streams_out),
            ],
            [self.initial, init.tsn],
            init.window,
        );
        let own_random = self.setup.as_ref().map(|setup| setup.own_random);
        let vectors = own_random.zip(offer.vector);
        self.secure(vectors.as_ref(), offer.asconf, init.tsn);
        let rto = self.first_round_trip(now);
        if let Some(setup) = &mut self.setup {
            setup.cookie = cookie;
            setup.cookie_due = true;
            setup.attempts = 0;
            setup.rto = rto;
            setup.t1 = now + rto;
            setup.sent = Some(now);
            setup.inits.clear();
            setup.unrecognized.clear();
            if !offer.unrecognized.is_empty() {
                cause(&mut setup.unrecognized, code::UNRECOGNIZED_PARAMETERS, &offer.unrecognized);
            }
        }
        self.state = State::CookieEchoed;
    }

    /// The time from INIT or COOKIE ECHO to its answer is a round trip, where neither was repeated.
    fn first_round_trip(&mut self, now: Duration) -> Duration {
        let sent = self.setup.as_mut().and_then(|setup| setup.sent.take());
        let current = self.paths.current;
        let Some(path) = self.paths.get_mut(current) else { return self.config.rto_initial };
        if let Some(sent) = sent {
            path.measure(now.saturating_sub(sent), &self.config);
        }
        path.rto
    }

    /// The peer has taken the cookie (§5.1 E).
    pub(crate) fn cookie_ack(&mut self, now: Duration) {
        if self.state != State::CookieEchoed {
            return self.statistics.ignored += 1;
        }
        self.first_round_trip(now);
        self.established(now, Event::Up);
    }

    /// The peer's cookie was too old when it came back (§5.2.6): another one is asked for.
    pub(crate) fn begin_again(&mut self, now: Duration) {
        self.state = State::CookieWait;
        self.peer_tag = 0;
        self.auth = None;
        if let Some(setup) = &mut self.setup {
            setup.cookie_due = false;
            setup.tried = setup.candidates.len();
        }
        self.t1_init(now);
    }

    /// Notes the peer's addresses: `way` is where it spoke from, the others have to answer first.
    fn learn(&mut self, way: Way, others: &[IpAddr], now: Duration) {
        let ip = way.remote.ip();
        let local = way.local.filter(|local| self.own.is_empty() || self.own.contains(local));
        let local = local.or_else(|| source(&self.own, ip));
        let first = self.paths.add(Way { local, remote: way.remote }, now, &self.config);
        let Some(first) = first else { return };
        if let Some(path) = self.paths.get_mut(first) {
            path.confirmed = true;
        }
        self.paths.primary = first;
        self.paths.current = first;
        for other in others {
            self.add_path(*other, way, now);
        }
    }

    /// Adds another address of the peer, at the port of the encapsulation that `way` has.
    pub(crate) fn add_path(&mut self, remote: IpAddr, way: Way, now: Duration) -> Option<u8> {
        let local = source(&self.own, remote);
        let remote = std::net::SocketAddr::new(remote, way.remote.port());
        self.paths.add(Way { local, remote }, now, &self.config)
    }

    /// Streams (own, peer's), first TSNs and the peer's window.
    fn agree(&mut self, streams: [u16; 2], tsns: [u32; 2], window: u32) {
        self.streams_out = streams[0];
        self.receive = Receive::new(tsns[1], streams[1], &self.config);
        self.send = Send::new(tsns[0], window);
    }

    fn secure(&mut self, vectors: Option<&([u8; 32], Vector)>, asconf: bool, peer_tsn: u32) {
        let auth = vectors.and_then(|(random, peer)| Auth::new(&Vector::own(random), peer));
        self.auth = auth.map(Box::new);
        let can = asconf && self.auth.is_some();
        self.asconf = Asconf::new(can, self.initial, peer_tsn);
    }

    /// Takes over what a cookie says.
    fn adopt(&mut self, cookie: &Cookie, way: Way, now: Duration) {
        self.own_tag = cookie.own_tag;
        self.peer_tag = cookie.peer_tag;
        self.initial = cookie.own_tsn;
        self.paths = Paths::default();
        self.learn(way, &cookie.addresses, now);
        // The INIT ACK has reached it there.
        let inits = Way { local: None, remote: cookie.remote };
        let ip = cookie.remote.ip();
        self.add_path(ip, inits, now);
        if let Some(path) = self.paths.find_mut(ip) {
            path.confirmed = true;
        }
        self.agree(cookie.streams, [cookie.own_tsn, cookie.peer_tsn], cookie.window);
        self.secure(cookie.auth.as_ref(), cookie.asconf, cookie.peer_tsn);
        self.errors = 0;
        self.t2 = None;
        self.t5 = None;
        self.shutdown_due = false;
        self.replies.clear();
    }

    /// The own addresses; where the system chooses them, the one that is used.
    fn local_addresses(&self) -> Vec<IpAddr> {
        if self.own.is_empty() {
            return self.paths.current().and_then(|path| path.way.local).into_iter().collect();
        }
        self.own.clone()
    }

    /// Messages pass from now on.
    fn established(&mut self, now: Duration, event: fn(Up) -> Event) {
        self.state = State::Established;
        self.setup = None;
        let jitter = self.jitter();
        for path in self.paths.iter_mut().filter(|path| path.confirmed) {
            path.schedule(now, jitter, &self.config);
        }
        self.events.push_back(event(Up {
            dialed: self.dialed,
            peer_port: self.ports[1],
            remote: self.paths.addresses(),
            local: self.local_addresses(),
            streams_out: self.streams_out,
            streams_in: self.config.streams_in,
            address_changes: self.asconf.can,
        }));
        for path in self.paths.iter().filter(|path| !path.confirmed) {
            self.events.push_back(Event::Path(path.way.remote.ip(), PathChange::Added));
        }
    }

    /// An INIT from the peer's address (§5.2.1, §5.2.2).
    pub(crate) fn meet_init(&self, offer: &Offer<'_>, way: Way) -> Meeting {
        match (&self.setup, self.state) {
            (Some(setup), State::CookieWait | State::CookieEchoed) => Meeting::Collision {
                tag: self.own_tag,
                tsn: self.initial,
                random: setup.own_random,
                is_known: self.state == State::CookieEchoed,
            },
            (_, State::ShutdownAckSent) => Meeting::TooLate,
            _ => {
                let all = offer.addresses.iter().copied().chain([way.remote.ip()]);
                let new: Vec<IpAddr> = all.filter(|ip| self.paths.find(*ip).is_none()).collect();
                if new.is_empty() { Meeting::Restart } else { Meeting::NewAddresses(new) }
            }
        }
    }

    /// A cookie comes back to an association that there is already (§5.2.4). False where it is not
    /// taken; `is_tied` says whether it was made for this association.
    pub(crate) fn meet_cookie(
        &mut self,
        cookie: &Cookie,
        is_tied: bool,
        way: Way,
        now: Duration,
    ) -> bool {
        let own = cookie.own_tag == self.own_tag;
        let peer = cookie.peer_tag == self.peer_tag;
        let sets_up = matches!(self.state, State::CookieWait | State::CookieEchoed);
        match (own, peer, sets_up) {
            // Action D: ours, and perhaps for the second time.
            (true, true, false) => {}
            // Actions B and D: both dial at once.
            (true, _, true) => {
                self.adopt(cookie, way, now);
                self.established(now, Event::Up);
            }
            // Action A: the peer has begun anew.
            (false, false, false) if is_tied => {
                if self.state == State::ShutdownAckSent {
                    self.report(way, code::COOKIE_WHILE_SHUTTING_DOWN, &[]);
                    self.shutdown_due = true;
                    return true;
                }
                self.hand_out();
                self.adopt(cookie, way, now);
                self.established(now, Event::Restarted);
            }
            // Action C and what cannot be: silence.
            _ => return false,
        }
        self.reply(way, kind::COOKIE_ACK, 0, Vec::new());
        true
    }
}

/// The own addresses that these ways leave from, as far as they say.
fn sources(ways: &[Way]) -> Vec<IpAddr> {
    let mut sources = Vec::new();
    for local in ways.iter().filter_map(|way| way.local) {
        if !sources.contains(&local) {
            sources.push(local);
        }
    }
    sources
}

/// The fixed part of our INITs and INIT ACKs.
pub(crate) fn init<'a>(config: &Config, tag: u32, tsn: u32, parameters: &'a [u8]) -> Init<'a> {
    Init {
        tag,
        window: u32::try_from(config.receive_window).unwrap_or(u32::MAX),
        streams_out: config.streams_out,
        streams_in: config.streams_in,
        tsn,
        parameters,
    }
}
