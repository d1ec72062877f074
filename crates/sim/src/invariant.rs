//! What has to hold, whatever happens.

mod duplicate_id;
mod honest;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rserpool_proto::registrar::{PeerState, State};
use rserpool_proto::time::Time;
use rserpool_wire::param::{PeChecksum, PeId, PoolHandle, RegistrarId};

use honest::Honest;

use crate::hostile::LINKS_MAX;
use crate::node::{NodeId, Program};
use crate::world::{Application, World};

/// Something that has to hold.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Invariant {
    /// At every step: no machine panics.
    NoPanic,
    /// At every step: time never runs backwards, and no timer stays due however often it is
    /// handed in.
    TimeAdvances,
    /// At every step: what a machine wants done after one round is bounded
    /// ([`OUTPUTS_PER_ROUND_MAX`], and one more for each input).
    OutputsAreBounded,
    /// At every step: the machines of no node send more than [`MESSAGES_PER_SECOND_MAX`].
    TrafficIsBounded,
    /// At every step: a machine never uses the name of an association twice.
    NamesAreUsedOnce,
    /// At every step: nothing is sent over, and nothing done to, an association that the machine
    /// has ended, or was told to be gone.
    NothingToTheDeparted,
    /// At every step: a registrar that was taken over gets presences at most, until it is heard of
    /// again (design 9.13).
    TakenOverAreLeftAlone,
    /// At every step: what one machine sends another can read.
    MessagesAreLegible,
    /// At every step: the associations that a registrar believes in are those that its driver has.
    AssociationsAreCounted,
    /// At every step of a world in which nothing worse happens to living elements than what their
    /// transports repair ([`World::forbid_removals`]): no registrar takes one of them out.
    LivingStay,
    /// At every step: nothing that a registrar holds is more than there may be
    /// ([`Registrar::sizes`](rserpool_proto::registrar::Registrar::sizes)).
    SizesAreBounded,
    /// At every step: a user's request ends within [`Bounds::answer`](crate::bounds::Bounds).
    RequestsEnd,
    /// At every step: a user's request ends once.
    RequestsEndOnce,
    /// In quiet: an element that wants to be in its pool and has a path to a registrar is known to
    /// every registrar.
    LivingAreKnown,
    /// In quiet: an element that is dead or has left is known to no registrar.
    DeadAreNowhere,
    /// In quiet: all registrars, and the element, agree on one home that lives.
    OneHome,
    /// In quiet: every registrar has an element that lives at the address of its host.
    EntriesAreTrue,
    /// In quiet: every registrar serves, and knows all others and nobody else.
    RegistrarsKnowEachOther,
    /// In quiet: all registrars have the same checksum for each of them.
    ChecksumsAgree,
    /// In quiet: of two registrars with one identifier each has told its application.
    TwinsAreTold,
    /// In quiet: what users are told is how things are, by answers and by updates.
    AnswersAreTrue,
    /// In quiet: no node has more associations than it needs.
    NothingLeaks,
    /// At every step: the replies that the application of a session gets have no gap and no repeat,
    /// whichever servers they are of.
    RepliesInSequence,
    /// At every step: a client has an association with one server at most, the one that it believes
    /// to have its session or that it dials.
    OneServerAtOnce,
    /// At every step: a cookie has at most [`COOKIE_OCTETS_MAX`], after however many failovers.
    CookiesAreBounded,
    /// At every step: the cookie of one server is taken by the next, and comes before all else.
    CookiesAreTaken,
    /// At every step: a server that has answered keep-alives and falls silent is left within
    /// [`Bounds::silence`](crate::bounds::Bounds::silence).
    SilentAreLeft,
    /// At every step: a session that finds no server asks for its pool less often than
    /// [`SESSION_QUESTIONS_MAX`] in a second.
    SearchesRest,
    /// From quiet: a session whose server is killed, and nothing else, goes on with another one
    /// within [`Bounds::failover`](crate::bounds::Bounds::failover).
    FailoversAreQuick,
    /// In quiet: a session with a pool that has members is with one of them and gets replies.
    SessionsGoOn,
    /// In quiet: the server of a session with keep-alives has answered one, however much else it
    /// has to say.
    KeepAlivesAreAnswered,
    /// In quiet: a session stays with its server.
    SessionsStay,
}

/// Besides one for each input: outputs of a machine in one round.
pub const OUTPUTS_PER_ROUND_MAX: usize = 1000;

/// Outputs of the machine of a session for one input.
pub const SESSION_OUTPUTS_MAX: usize = 8;

/// Questions about its pool of one session in a second: pauses double from 20 ms, and begin anew
/// with each search that the application wants.
pub const SESSION_QUESTIONS_MAX: u32 = 150;

/// Octets of the longest cookie that the service of a world makes: 16 of state, sealed, encrypted,
/// in a pool with a handle of up to 32 octets.
pub const COOKIE_OCTETS_MAX: usize = 16 + (20 + 32 + 32 + 3) + (24 + 16);

/// At the default timers; quicker ones allow more in proportion, and so do the elements of crowds.
pub const MESSAGES_PER_SECOND_MAX: u64 = 2000;

/// So much more for each element of a crowd.
pub const MESSAGES_PER_SECOND_AND_ELEMENT_MAX: u64 = 40;

/// So many outputs in one round more for each element of a crowd.
pub const OUTPUTS_PER_ROUND_AND_ELEMENT_MAX: usize = 8;

/// Because of what strangers say, a registrar may dial so many registrars and elements at once.
const DIALS_FOR_STRANGERS_MAX: usize = 256 + 256;

/// For each message of a hostile node, others may send so many in the same second or the next.
pub(crate) const ANSWERS_TO_STRANGERS_MAX: u64 = 8;

/// So often a timeout may be handed in at one time.
pub(crate) const TIMEOUTS_AT_ONCE_MAX: u32 = 100;

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{self:?}");
        for (place, letter) in name.char_indices() {
            if letter.is_uppercase() && place > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{}", letter.to_lowercase())?;
        }
        Ok(())
    }
}

/// Something that did not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// What.
    pub invariant: Invariant,
    /// When.
    pub at: Time,
    /// Whom it concerned, and how.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.since_origin().as_secs_f64();
        write!(f, "{} at {at:.3} s: {}", self.invariant, self.detail)
    }
}

/// An element that wants to be in its pool, and lives.
struct Inhabitant<'a> {
    node: NodeId,
    handle: &'a PoolHandle,
    id: PeId,
    /// Where it believes to be at home; who that is, where it knows.
    home: Option<Option<RegistrarId>>,
}

type Members = BTreeMap<PoolHandle, BTreeSet<PeId>>;

impl World {
    /// Who has to be in which pool, once everything has settled.
    pub fn members(&self) -> Members {
        let mut members = Members::new();
        for Inhabitant { handle, id, .. } in self.inhabitants() {
            members.entry(handle.clone()).or_default().insert(id);
        }
        members
    }

    /// All elements that want to be in their pools and that live.
    fn inhabitants(&self) -> Vec<Inhabitant<'_>> {
        let mut all = Vec::new();
        for node in self.nodes() {
            if let (Some(handle), Some(element)) = (self.membership(node), self.element(node)) {
                let home = element.home().map(|home| home.id);
                all.push(Inhabitant { node, handle, id: element.id(), home });
            }
            if let (Program::Crowd(config), Some(crowd)) =
                (self.program(node), self.node(node).crowd())
            {
                let handle = &config.handle;
                let one = |(id, home)| Inhabitant { node, handle, id, home };
                all.extend(crowd.homes().map(one));
            }
        }
        all
    }

    /// From now on, until something happens, everybody has to know how things are.
    pub fn expect_quiet(&mut self) {
        // Where two registrars have one identifier, others know what they can.
        self.expected = (!self.has_twins()).then(|| self.members());
    }

    /// Checks what has to hold in quiet.
    pub fn check_quiet(&mut self) {
        let registrars: Vec<NodeId> =
            self.nodes().filter(|node| self.registrar(*node).is_some()).collect();
        let mut findings = Vec::new();
        if self.has_twins() {
            self.check_twins(&registrars, &mut findings);
        } else {
            for &registrar in &registrars {
                self.check_members(registrar, &mut findings);
            }
            self.check_homes(&registrars, &mut findings);
            self.check_checksums(&registrars, &mut findings);
            self.check_peers(&registrars, &mut findings);
        }
        for node in self.nodes() {
            self.check_node(node, registrars.len(), &mut findings);
            self.check_session(node, &mut findings);
        }
        for (invariant, detail) in findings {
            self.violate(invariant, || detail);
        }
        for user in self.nodes() {
            self.check_requests(user);
        }
    }

    fn check_members(&self, node: NodeId, findings: &mut Vec<(Invariant, String)>) {
        let known = self.honest(node).members;
        let missing = surplus(&self.members(), &known);
        if !missing.is_empty() {
            let detail = format!("{} does not know {missing}", self.name(node));
            findings.push((Invariant::LivingAreKnown, detail));
        }
        let dead = surplus(&known, &self.members());
        if !dead.is_empty() {
            let detail = format!("{} still knows {dead}", self.name(node));
            findings.push((Invariant::DeadAreNowhere, detail));
        }
    }

    fn check_homes(&self, registrars: &[NodeId], findings: &mut Vec<(Invariant, String)>) {
        let living: BTreeSet<RegistrarId> =
            registrars.iter().filter_map(|node| self.registrar(*node)).map(|r| r.id()).collect();
        for Inhabitant { node, handle, id, home } in self.inhabitants() {
            let mut homes: BTreeSet<Option<RegistrarId>> = BTreeSet::new();
            for registrar in registrars.iter().filter_map(|node| self.registrar(*node)) {
                let handlespace = registrar.handlespace();
                let found = handlespace.find(handle, id).and_then(|it| handlespace.element(it));
                homes.extend(found.map(|view| view.element.home));
                let at = found.map(|view| view.element.user_transport.addresses());
                let own = &self.network().hosts[node.0].addresses;
                if let Some(at) = at.filter(|at| !at.iter().all(|address| own.contains(address))) {
                    let detail = format!("{id} of {} is said to be at {at:?}", self.name(node));
                    findings.push((Invariant::EntriesAreTrue, detail));
                }
            }
            homes.extend(home.flatten().map(Some));
            let is_alive = |home: &Option<RegistrarId>| home.is_some_and(|it| living.contains(&it));
            let settled = home.is_some() && homes.len() <= 1;
            if !settled || !homes.iter().all(is_alive) {
                let has = if home.is_some() { "a home" } else { "no home" };
                let detail = format!("{id} of {} has {has}, and is at {homes:?}", self.name(node));
                findings.push((Invariant::OneHome, detail));
            }
        }
    }

    fn check_peers(&self, registrars: &[NodeId], findings: &mut Vec<(Invariant, String)>) {
        for &node in registrars {
            let Some(registrar) = self.registrar(node) else { continue };
            let others = registrars.iter().filter(|other| **other != node);
            let wanted: BTreeSet<RegistrarId> =
                others.filter_map(|other| self.registrar(*other)).map(|it| it.id()).collect();
            let connected = registrar
                .peers()
                .filter(|peer| peer.state == PeerState::Active && peer.associations > 0);
            let connected: BTreeSet<RegistrarId> = connected.map(|peer| peer.id).collect();
            let known: BTreeSet<RegistrarId> = registrar.peers().map(|peer| peer.id).collect();
            // Strangers may say that they are registrars.
            let knows_all = match self.hostile {
                0 => connected == wanted && known == wanted,
                _ => connected.is_superset(&wanted),
            };
            if registrar.state() != State::Serving || !knows_all {
                let state = registrar.state();
                let detail = format!(
                    "{} is {state:?}, knows {known:?}, is connected to {connected:?}, not {wanted:?}",
                    self.name(node)
                );
                findings.push((Invariant::RegistrarsKnowEachOther, detail));
            }
        }
    }

    fn check_checksums(&self, registrars: &[NodeId], findings: &mut Vec<(Invariant, String)>) {
        let known: Vec<Honest> = registrars.iter().map(|node| self.honest(*node)).collect();
        for home in registrars.iter().filter_map(|node| self.registrar(*node)).map(|it| it.id()) {
            let sums: BTreeSet<PeChecksum> = known.iter().map(|it| it.checksum(home)).collect();
            if sums.len() > 1 {
                let detail = format!("of the elements of {home}: {sums:?}");
                findings.push((Invariant::ChecksumsAgree, detail));
            }
        }
    }

    fn check_node(&self, node: NodeId, registrars: usize, findings: &mut Vec<(Invariant, String)>) {
        let count = self.network().associations_of(node);
        let others = self.nodes().count();
        let most = match self.program(node) {
            // One with each element and user, and with each other registrar one either way.
            Program::Registrar(_) if self.hostile > 0 => {
                others + registrars + LINKS_MAX * self.hostile + DIALS_FOR_STRANGERS_MAX
            }
            Program::Registrar(_) => others + registrars,
            Program::Hostile(_) => LINKS_MAX + DIALS_FOR_STRANGERS_MAX,
            // The home, and one that a registrar has which looked after it before.
            Program::Element(_) => 2 + self.callers_of(node),
            // Its elements may be at home at each, on an association that either side dialed.
            Program::Crowd(_) => 2 * registrars,
            Program::User(_) => 1 + usize::from(self.caller(node).is_some()),
        };
        if count > most {
            let detail = format!("{} has {count} associations", self.name(node));
            findings.push((Invariant::NothingLeaks, detail));
        }
        let Application::User(asking, asked) = &self.node(node).application else { return };
        let is_told = self.is_running(node) && !self.has_twins();
        let (Some(handle), true) = (&asking.subscribed, is_told) else { return };
        let members = self.members();
        let wanted: Vec<PeId> = members.get(handle).into_iter().flatten().copied().collect();
        let is_true = asked.told.as_ref().is_some_and(|told| match self.hostile {
            0 => *told == wanted,
            _ => wanted.iter().all(|id| told.contains(id)),
        });
        if !is_true {
            let told = &asked.told;
            let detail = format!("{} was told {told:?}, not {wanted:?}", self.name(node));
            findings.push((Invariant::AnswersAreTrue, detail));
        }
    }
}

/// What the first has beyond the second, in words.
fn surplus(first: &Members, second: &Members) -> String {
    let mut words = Vec::new();
    for (handle, ids) in first {
        let known = second.get(handle);
        let missing = ids.iter().filter(|id| known.is_none_or(|known| !known.contains(id)));
        words.extend(missing.map(|id| format!("{id} of {handle}")));
    }
    words.join(", ")
}
