//! How much a registrar holds of everything that grows, and how much of it there may be.

use super::Registrar;
use super::contest::Contests;
use super::foreign_claim::CLAIMS_MAX;
use super::hearsay::WAITING_MAX;
use super::holders::Holders;
use super::holds::HOLDS_MAX;
use super::misbehaviour::COMPLAINTS_MAX;
use super::notices::DUPLICATES_MAX;

/// How much there is of one thing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size {
    /// What it is.
    pub name: &'static str,
    /// How many there are.
    pub len: usize,
    /// How many there may be, as things stand.
    pub limit: usize,
}

impl Size {
    /// True where there are no more than there may be.
    pub const fn is_bounded(&self) -> bool {
        self.len <= self.limit
    }
}

/// Associations of a registrar that are believed, and those that are not yet.
const LINKS_OF_PEER_MAX: usize = 8 + 2;
/// Of elements that wait for their turn some are gone, as many as there are at most.
const STALE: usize = 2;

impl Registrar {
    /// The length of each queue and map, with its limit. What depends on how many associations the
    /// driver lets in is measured by these. Looks at each association.
    pub fn sizes(&self) -> Vec<Size> {
        let queues = self.associations.values().map(|it| it.queue.elements.len());
        let limit = STALE * (self.supervised.len() + self.associations.len());
        let mut sizes = self.sizes_at_a_glance();
        sizes.push(Size { name: "waiting", len: queues.sum(), limit });
        sizes
    }

    /// The same but for what takes a look at each association.
    pub(super) fn sizes_at_a_glance(&self) -> Vec<Size> {
        let of = |name, len, limit| Size { name, len, limit };
        let limits = &self.config.handlespace.limits;
        let elements = self.handlespace.len();
        let elements_max = limits.elements_max as usize;
        let associations = self.associations.len();
        let peers_max = self.config.peers_max;
        let links = self.peers.values().map(|peer| peer.links.len() + peer.doubted.len());
        let links_of_one = links.clone().max().unwrap_or(0);
        let [adopting, to_ask, awaiting, disputed] = self.adopting.lens();
        let [lost, ended] = self.lost.lens();
        let dials_max = self.dialing.configured.len() + peers_max + 256;
        vec![
            of("elements", elements, elements_max),
            of("pools", self.handlespace.pool_count(), limits.pools_max as usize),
            of("supervised", self.supervised.len(), elements),
            of("reports", self.reports.len(), self.supervised.len()),
            // Some that are gone still wait.
            of("lost", lost, STALE * elements_max),
            of("ended", ended, lost),
            of("adopting", adopting, elements_max),
            of("to_ask", to_ask, adopting.max(elements)),
            of("awaiting", awaiting, elements_max),
            of("disputed", disputed, elements_max),
            of("contests", self.contests.len(), Contests::MAX),
            of("foreign_claims", self.foreign_claims.len(), CLAIMS_MAX),
            of("peers", self.peers.len(), peers_max),
            of("links", links.sum(), associations),
            of("links_of_one", links_of_one, LINKS_OF_PEER_MAX),
            of("dials", self.dialing.under_way.len(), dials_max),
            of("holders", self.holders.len(), Holders::limit(associations)),
            of("holds", self.holds.lens().0, HOLDS_MAX),
            of("bans", self.holds.lens().1, HOLDS_MAX),
            of("hearsay", self.hearsay.len(), WAITING_MAX),
            of("downloads", self.downloads.len(), associations),
            of("complaints", self.complaints.len(), COMPLAINTS_MAX),
            of("duplicates", self.notices.duplicates(), DUPLICATES_MAX),
            of("held_octets", self.held.octets(), self.config.quotas.held_octets),
            of(
                "subscriptions",
                self.subscriptions.len(),
                self.config.quotas.subscriptions as usize,
            ),
            of("outputs", self.outputs.len(), 0),
        ]
    }
}
