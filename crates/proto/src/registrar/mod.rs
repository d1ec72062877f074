//! A registrar: keeps the handlespace, supervises elements, answers users (RFC 5352 §3, 5353).
//!
//! | module | what it holds | source |
//! |---|---|---|
//! | `asap` | registration, deregistration, resolution | RFC 5352 §3.1 to §3.3 |
//! | `access` | rules: who may do what | RFC 5355 |
//! | `holds` | what operators say of single elements | |
//! | `holders` | who has and was refused what | |
//! | `permission` | what they say of each request | |
//! | `admission` | what a registration must bring along | RFC 5352 §2.2.1 |
//! | `contest` | who has an identifier that two want | RFC 5352 §3.1 |
//! | `evidence` | why an element was removed | |
//! | `supervision` | keep-alives, expiry, removal | RFC 5352 §3.5 |
//! | `lost` | elements whose association has ended | RFC 5352 §3.5 |
//! | `fair_share` | in which order, and how often, elements are asked | |
//! | `reports` | users that cannot reach an element | RFC 5352 §3.5 |
//! | `subscription` | users that are told of changes | RFC 5352 §2.2.5 |
//! | `announce` | telling where this registrar is | RFC 5352 §3.6 |
//! | `association` | what comes up and goes down | |
//! | `quota` | what one source may take | |
//! | `reload` | what of the configuration can change while it runs | |
//! | `reach` | who may be told of which addresses | RFC 4007 |
//! | `idle` | associations that nobody uses | |
//! | `held` | requests that wait while it starts | |
//! | `dialing`, `dials` | setting up associations; those under way | |
//! | `join` | mentor, list and table: becoming a registrar among others | RFC 5353 §3.2 |
//! | `enrp` | what other registrars send, and who may | RFC 5353 §2 |
//! | `notices` | what the application is told once | |
//! | `misbehaviour` | what they should not do | |
//! | `peers` | the peer list | RFC 5353 §3.4.1 |
//! | `proof` | who is believed to be which registrar | |
//! | `hearsay` | registrars that others tell of | RFC 5353 §3.2.2.2 |
//! | `foreign_claim` | elements that two registrars claim | |
//! | `presence` | heartbeat, failure detection, audit | RFC 5353 §3.4, §3.6 |
//! | `update` | telling and being told of changes | RFC 5353 §3.3 |
//! | `sync`, `table` | fetching a handle table, telling one | RFC 5353 §3.2.3, §3.6.3 |
//! | `takeover` | who takes over a dead registrar | RFC 5353 §3.5 |
//! | `adoption` | becoming the home of its elements | RFC 5353 §3.5.2 |
//! | `handover` | leaving on purpose | |
//! | `sizes` | how much there is of everything that grows | |
//! | `view` | what operators see, a page at a time | RFC 5525 |
//! | `suggestion` | giving elements to registrars that are better for them | |

pub mod access;
mod admission;
mod adoption;
mod announce;
mod asap;
mod association;
mod config;
mod contest;
mod dialing;
mod dials;
mod enrp;
mod event;
mod evidence;
mod fair_share;
mod foreign_claim;
mod handover;
mod hearsay;
mod held;
mod holders;
mod holds;
mod idle;
mod join;
mod lost;
mod misbehaviour;
mod notices;
mod peers;
mod permission;
mod presence;
mod proof;
mod quota;
mod reach;
mod reload;
mod reports;
mod round_trip;
mod sizes;
mod stats;
mod subscription;
mod suggestion;
mod supervision;
mod sync;
mod table;
mod takeover;
#[cfg(test)]
mod tests;
mod token_bucket;
mod update;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rserpool_wire::asap::{Asap, RegistrationResponse};
use rserpool_wire::enrp::Body;
use rserpool_wire::param::RegistrarId;
use rserpool_wire::registry::{AsapType, EnrpType};
use rserpool_wire::{Message, Protocol};

use crate::deadlines::{Deadlines, Key};
use crate::handlespace::{ElementIndex, Handlespace, PerElement, Reach};
use crate::machine::{Input, Machine, Malformed, Output, Peer};
use crate::time::Time;

pub use config::{AddressScope, Config};
pub use event::{Command, Event, LeaveReason};
pub use evidence::Evidence;
pub use holders::Holder;
pub use holds::{Evicted, HOLD_MOST, HOLDS_MAX, Hold, HoldRow, NotHeld};
pub use join::Phase;
pub use misbehaviour::Misbehaviour;
pub use peers::{PeerState, PeerView};
pub use proof::Proof;
pub use quota::{Quota, QuotaCounts, Quotas};
pub use reload::{CONFIGURED_MAX, Reloadable};
pub use sizes::Size;
pub use stats::Stats;
pub use suggestion::aptitude;
pub use sync::SyncFailure;
pub use view::{
    AssociationRow, ElementQuery, ElementRow, Overview, PAGE_MAX, Page, PeerCounts, PoolQuery,
    PoolRow, SupervisionView,
};

use adoption::Adopting;
use announce::Announcing;
use association::Association;
use contest::Contests;
use dialing::Dialing;
use fair_share::KeepAliveRate;
use foreign_claim::ForeignClaims;
use handover::Handover;
use hearsay::Hearsay;
use held::Held;
use holders::Holders;
use holds::Holds;
use idle::Silent;
use join::Join;
use lost::Lost;
use misbehaviour::Complaints;
use notices::Notices;
use peers::PeerRegistrar;
use presence::Heartbeat;
use quota::Usage;
use reports::Reports;
use subscription::Subscriptions;
use suggestion::Suggesting;
use supervision::Supervised;

/// The registrar.
///
/// It takes part in any number of associations at once; what it knows of one is an `Association`,
/// of an element of its own a `Supervised`. All else is in the [`Handlespace`].
#[derive(Debug)]
pub struct Registrar {
    config: Config,
    id: RegistrarId,
    handlespace: Handlespace,
    associations: BTreeMap<Peer, Association>,
    supervised: PerElement<Supervised>,
    subscriptions: Subscriptions,
    /// What each source has.
    usage: Usage,
    /// Whom rules are about.
    holders: Holders,
    holds: Holds,
    /// Somebody has proved who it is.
    is_keyed: bool,
    silent: Silent,
    /// Requests of elements and users that wait until it serves.
    held: Held,
    announcing: Announcing,
    deadlines: Deadlines<Deadline>,
    /// How often elements are asked whether they live.
    keep_alive_rate: KeepAliveRate,
    lost: Lost,
    /// Registrations with identifiers that elements have which are being asked.
    contests: Contests,
    /// Reports that elements are unreachable, since they answered or registered.
    reports: PerElement<Reports>,
    state: State,
    join: Join,
    /// The other registrars.
    peers: BTreeMap<RegistrarId, PeerRegistrar>,
    dialing: Dialing,
    /// Associations over which handle tables are being told.
    downloads: BTreeSet<Peer>,
    heartbeat: Heartbeat,
    adopting: Adopting,
    foreign_claims: ForeignClaims,
    hearsay: Hearsay,
    handover: Handover,
    suggesting: Suggesting,
    notices: Notices,
    complaints: Complaints,
    outputs: VecDeque<Output<Event>>,
    /// When the last input came.
    clock: Time,
    /// Over which association the last message came, and how far its other end is.
    arrival: Option<(Peer, Reach)>,
    stats: Stats,
    rng: StdRng,
}

/// What a registrar does just now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It joins a scope: other registrars' questions are rejected, those of elements and users
    /// wait.
    Starting(Phase),
    /// It answers everyone.
    Serving,
    /// It serves, and hands its elements over.
    Leaving,
    /// It has left, for good.
    Departed,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Deadline {
    /// T6-Serverannounce.
    Announce,
    /// The pace allows the next keep-alive.
    Pace,
    /// The next keep-alive of an element, the end of the wait for its answer, or that of its
    /// Registration Life.
    Supervision(ElementIndex),
    /// The end of the wait for an element whose identifier somebody else wants.
    Contest(ElementIndex),
    /// There are elements to take out whose associations are gone.
    Lost,
    /// The search for a mentor has lasted long enough.
    Start,
    /// The end of the wait for a mentor's list, or the next attempt.
    Join,
    /// PEER-HEARTBEAT-CYCLE.
    Presence,
    /// MAX-TIME-LAST-HEARD, MAX-TIME-NO-RESPONSE or the wait for agreement to a takeover.
    Peer(RegistrarId),
    /// The end of the wait for the next part of a table.
    Sync(RegistrarId),
    /// The end of the wait for the next request for a part of a table.
    Download(Peer),
    /// The end of the wait for whoever is at the other end to say who it is.
    Introduction(Peer),
    /// The next attempt to dial a configured registrar.
    Redial(u32),
    /// The pace allows the next questions to elements that are to be adopted.
    Adoption,
    /// The next elements are looked at, whether another registrar is better for them.
    Suggestion,
    /// A registrar that was dialed has had time to end what is surplus.
    Settle(RegistrarId),
    /// The pace allows to dial the next registrar that others told of.
    Hearsay,
    /// An element has had time to show which registrar it belongs to.
    ForeignClaim,
    /// Others have had time to take this registrar's elements.
    Leave,
    /// Requests that waited for this registrar are to be answered.
    Held,
    /// Subscribers are to be told.
    Push,
    /// An association may be of no use.
    Idle(Peer),
    /// What an operator said of an element ends.
    Hold,
}

impl Key for Deadline {
    fn row(self) -> Option<usize> {
        match self {
            Self::Announce
            | Self::Pace
            | Self::Contest(_)
            | Self::Lost
            | Self::Start
            | Self::Join
            | Self::Presence
            | Self::Peer(_)
            | Self::Sync(_)
            | Self::Download(_)
            | Self::Introduction(_)
            | Self::Redial(_)
            | Self::Adoption
            | Self::Suggestion
            | Self::Leave
            | Self::Settle(_)
            | Self::Hearsay
            | Self::ForeignClaim
            | Self::Held
            | Self::Push
            | Self::Idle(_)
            | Self::Hold => None,
            Self::Supervision(index) => Some(index.slot()),
        }
    }
}

impl Registrar {
    /// A registrar with an empty handlespace. `seed` decides everything that is random.
    pub fn new(config: Config, seed: u64) -> Self {
        let config = config.within_bounds();
        let mut rng = StdRng::seed_from_u64(seed);
        let drawn = RegistrarId::from(rng.random::<NonZeroU32>());
        let id = config.id.unwrap_or(drawn);
        let is_alone = config.peers == 0 && !config.discover;
        Self {
            handlespace: Handlespace::new(config.handlespace, rng.random()),
            id,
            associations: BTreeMap::new(),
            supervised: PerElement::default(),
            subscriptions: Subscriptions::default(),
            usage: Usage::default(),
            holders: Holders::default(),
            holds: Holds::default(),
            is_keyed: false,
            silent: Silent::default(),
            held: Held::default(),
            announcing: Announcing::default(),
            deadlines: Deadlines::default(),
            keep_alive_rate: KeepAliveRate::new(config.supervision_rate_max),
            lost: Lost::default(),
            contests: Contests::default(),
            reports: PerElement::default(),
            state: if is_alone { State::Serving } else { State::Starting(Phase::Waiting) },
            join: Join::default(),
            peers: BTreeMap::new(),
            dialing: Dialing::new(config.peers),
            downloads: BTreeSet::new(),
            heartbeat: Heartbeat::default(),
            adopting: Adopting::new(config.adoption_rate_max),
            foreign_claims: ForeignClaims::default(),
            hearsay: Hearsay::default(),
            handover: Handover::default(),
            suggesting: Suggesting::new(config.suggestion_rate_max),
            notices: Notices::default(),
            complaints: Complaints::default(),
            outputs: VecDeque::new(),
            clock: Time::ZERO,
            arrival: None,
            stats: Stats::default(),
            rng,
            config,
        }
    }

    /// Its identifier.
    pub fn id(&self) -> RegistrarId {
        self.id
    }

    /// What it knows of pools and elements.
    pub fn handlespace(&self) -> &Handlespace {
        &self.handlespace
    }

    /// What it counted since it was made.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How many associations it takes part in.
    pub fn associations(&self) -> usize {
        self.associations.len()
    }

    /// What it does just now.
    pub fn state(&self) -> State {
        self.state
    }

    /// A message of an element or a user; one that `may_wait` does where this registrar is not ready.
    fn on_asap(&mut self, now: Time, peer: Peer, message: Asap, may_wait: bool) {
        if self.config.access.is_some() && !self.permits(now, peer, &message, may_wait) {
            return;
        }
        match message {
            Asap::Registration(_)
            | Asap::Deregistration(_)
            | Asap::HandleResolution(_)
            | Asap::Unreachable(_)
                if may_wait && self.has_to_wait(peer) =>
            {
                self.hold(now, peer, message);
            }
            Asap::Registration(message) => self.register(now, peer, message),
            Asap::Deregistration(message) => self.deregister(now, peer, message),
            Asap::HandleResolution(message) => self.resolve(peer, message),
            Asap::KeepAliveAck(message) => self.acknowledge(now, peer, message),
            Asap::Unreachable(message) => self.on_report(now, peer, message),
            Asap::Error(_) => self.stats.errors_received += 1,
            // What registrars send, and what users and elements tell each other.
            Asap::RegistrationResponse(_)
            | Asap::DeregistrationResponse(_)
            | Asap::HandleResolutionResponse(_)
            | Asap::KeepAlive(_)
            | Asap::Announce(_)
            | Asap::Cookie(_)
            | Asap::CookieEcho(_)
            | Asap::BusinessCard(_) => self.stats.unexpected += 1,
        }
    }

    /// RFC 5352 §2.2.14, 5353 §3.7, 5354 §4: what could not be read is reported where the RFC has a report.
    fn on_malformed(&mut self, peer: Peer, malformed: Malformed) {
        self.stats.malformed += 1;
        let is_error = malformed.message_type == Some(AsapType::ERROR.0);
        if malformed.protocol == Protocol::Asap && !malformed.causes.is_empty() && !is_error {
            let causes = malformed.causes.clone();
            let answer = match malformed.subject.clone() {
                Some((handle, id)) => Asap::RegistrationResponse(RegistrationResponse {
                    rejected: true,
                    handle,
                    id,
                    causes,
                }),
                None => Asap::Error(causes),
            };
            self.send(peer, answer);
        }
        let is_error = malformed.message_type == Some(EnrpType::ERROR.0);
        if malformed.protocol == Protocol::Enrp && !malformed.causes.is_empty() && !is_error {
            self.send_enrp(peer, Body::Error(malformed.causes.clone()));
        }
        let from = self.remote_addr(peer);
        self.outputs.push_back(Output::Event(Event::Malformed { peer, from, malformed }));
    }

    fn on_timeout(&mut self, now: Time) {
        // How late the first one is says for all how far this registrar is behind: answers may wait
        // in a queue that it had no time to read.
        let Some(due) = self.deadlines.next() else { return };
        while let Some(deadline) = self.deadlines.pop_due(now) {
            match deadline {
                Deadline::Announce => self.announce(now),
                Deadline::Pace => self.probe_waiting(now),
                Deadline::Supervision(index) => self.supervise(now, due, index),
                Deadline::Contest(index) => self.on_contest_timeout(now, due, index),
                // That follows each input, but the end of an association.
                Deadline::Lost => {}
                Deadline::Start => self.on_start_timeout(now),
                Deadline::Join => self.on_join_timeout(now, due),
                Deadline::Presence => self.tell_presence(now),
                Deadline::Peer(id) => self.on_peer_deadline(now, due, id),
                Deadline::Sync(id) => self.on_sync_timeout(now, due, id),
                Deadline::Download(link) => self.on_download_timeout(now, due, link),
                Deadline::Introduction(link) => self.on_introduction_timeout(now, due, link),
                Deadline::Redial(number) => self.on_redial(now, number as usize),
                Deadline::Adoption => self.ask_elements(now),
                Deadline::Suggestion => self.make_suggestions(now),
                Deadline::Settle(id) => self.on_settle_timeout(now, id),
                Deadline::Hearsay => self.dial_hearsay(now),
                Deadline::ForeignClaim => self.decide_claims(now),
                Deadline::Leave => self.depart(),
                Deadline::Held => self.answer_held(now),
                Deadline::Push => self.on_push_timeout(),
                Deadline::Idle(peer) => self.on_idle_timeout(now, due, peer),
                Deadline::Hold => self.on_hold_timeout(now),
            }
        }
    }

    fn send(&mut self, peer: Peer, message: Asap) {
        self.outputs.push_back(Output::Send(peer, Message::Asap(message)));
    }
}

impl Machine for Registrar {
    type Command = Command;
    type Event = Event;

    fn handle(&mut self, now: Time, input: Input<Command>) {
        if self.state == State::Departed {
            self.turn_away(&input);
            return;
        }
        self.clock = now;
        self.subscriptions.allow();
        // Very many associations may end together: whoever asks is not to wait for all of that.
        let takes_out = !matches!(input, Input::Down(_));
        match input {
            Input::Command(Command::Start) => self.start(now),
            Input::Command(Command::Leave) => self.leave(now),
            Input::Command(Command::Reconfigure(new)) => self.reconfigure(now, &new),
            Input::Command(Command::Rules(rules)) => self.change_rules(now, rules),
            Input::Command(Command::Hold { handle, id, hold }) => {
                self.hold_element(now, handle, id, hold);
            }
            Input::Command(Command::Release { handle, id }) => self.release_element(handle, id),
            Input::Command(Command::Evict { handle, id, ban }) => {
                self.evict_element(now, handle, id, ban);
            }
            Input::Up(peer, link) => self.on_up(now, peer, link),
            Input::Down(peer) => self.on_down(now, peer),
            Input::Known(dialed, there) => self.on_known(now, dialed, there),
            Input::Addresses(peer, remote) => self.on_addresses(peer, remote),
            Input::OwnAddresses(peer, local) => self.on_own_addresses(peer, local),
            Input::Congested(peer) => self.on_congested(peer),
            Input::Drained(peer) => {
                self.on_drained(peer);
                self.resume(now, peer);
            }
            // After an association ended, what it had sent may still be on its way here. And who
            // came to the ASAP port has no business with ENRP: elements are not registrars.
            Input::Message(peer, ref message) if !self.is_used(now, peer, message.protocol()) => {
                self.stats.unexpected += 1;
            }
            Input::Malformed(peer, ref malformed) if !self.speaks(peer, malformed.protocol) => {
                self.stats.unexpected += 1;
            }
            Input::Message(peer, Message::Asap(message)) => self.on_asap(now, peer, message, true),
            Input::Message(peer, Message::Enrp(message)) => self.on_enrp(now, peer, message),
            Input::Malformed(peer, malformed) => self.on_malformed(peer, malformed),
            Input::Announce(source, Message::Enrp(message)) => {
                self.on_multicast_presence(now, source, message);
            }
            Input::Announce(_, message) => self.on_announce(now, message),
            Input::Timeout => self.on_timeout(now),
        }
        if takes_out && !self.lost.is_empty() {
            self.remove_lost(now);
        }
        self.ask_disputed(now);
        if self.state == State::Departed {
            self.forget_timers();
        }
    }

    fn poll(&mut self) -> Option<Output<Event>> {
        if self.outputs.is_empty() {
            self.push_update();
        }
        self.outputs.pop_front()
    }

    fn next_timeout(&self) -> Option<Time> {
        self.deadlines.next()
    }
}
