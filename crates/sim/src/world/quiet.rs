//! What has to hold once everything has settled.

mod duplicate_id;
mod honest;

use std::collections::{BTreeMap, BTreeSet};

use rserpool_proto::registrar::{PeerState, State};
use rserpool_wire::param::{PeChecksum, PeId, PoolHandle, RegistrarId};

use honest::Honest;

use super::World;
use crate::application::Application;
use crate::hostile::LINKS_MAX;
use crate::invariant::Invariant;
use crate::program::{NodeId, Program};

/// Because of what strangers say, a registrar may dial so many registrars and elements at once.
const DIALS_FOR_STRANGERS_MAX: usize = 256 + 256;

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
