//! What has to hold where two registrars have one identifier. They do not believe each other, and
//! nobody else can tell one from the other: what one knows the other may never hear of. So less
//! holds than elsewhere, but nobody who lives is lost to its own home.

use rserpool_wire::param::RegistrarId;

use super::{Invariant, Members, surplus};
use crate::program::{NodeId, Program};
use crate::world::World;

impl World {
    /// True where two registrars were given one identifier.
    pub fn has_twins(&self) -> bool {
        let given = |node: NodeId| match self.program(node) {
            Program::Registrar(config) => config.id,
            _ => None,
        };
        let mut given: Vec<RegistrarId> = self.nodes().filter_map(given).collect();
        let count = given.len();
        given.sort_unstable();
        given.dedup();
        given.len() < count
    }

    pub(super) fn check_twins(
        &self,
        registrars: &[NodeId],
        findings: &mut Vec<(Invariant, String)>,
    ) {
        let id = |node: NodeId| self.registrar(node).map(|registrar| registrar.id());
        for &node in registrars {
            let is_twin = registrars.iter().any(|&other| other != node && id(other) == id(node));
            if is_twin && !self.has_told_of_twin(node) {
                let detail = format!("{} has not said that it has a twin", self.name(node));
                findings.push((Invariant::TwinsAreTold, detail));
            }
            let dead = surplus(&self.own_of(node), &self.members());
            if !dead.is_empty() {
                let detail = format!("{} is still the home of {dead}", self.name(node));
                findings.push((Invariant::DeadAreNowhere, detail));
            }
        }
        for node in self.nodes() {
            let (Some(handle), Some(element)) = (self.membership(node), self.element(node)) else {
                continue;
            };
            let home = element.home().and_then(|home| home.link.remote.first());
            let home = home.and_then(|address| self.network().host_of(*address));
            let known = home.map(|home| self.own_of(home)).unwrap_or_default();
            if !known.get(handle).is_some_and(|ids| ids.contains(&element.id())) {
                let home = home.map_or("nobody", |home| self.name(home));
                let detail = format!("{} is not at home at {home}", self.name(node));
                findings.push((Invariant::LivingAreKnown, detail));
            }
        }
    }

    /// The elements of which a registrar takes itself to be the home.
    fn own_of(&self, node: NodeId) -> Members {
        let mut own = Members::new();
        let Some(registrar) = self.registrar(node) else { return own };
        for (handle, element) in registrar.handlespace().table_after(None, Some(registrar.id())) {
            own.entry(handle.clone()).or_default().insert(element.id);
        }
        own
    }
}
