//! Who takes part in a scope with rules: what each one has, and what it was refused.

use std::collections::{BTreeMap, BTreeSet};

use super::access::Verb;
use super::token_bucket::TokenBucket;
use crate::machine::{Link, Peer, Source};
use crate::time::Time;

/// Whom requests and refusals are counted for: a key, or where nobody has proved anything, a source.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Holder {
    /// Who has this key.
    Key([u8; 32]),
    /// Who comes from there.
    Source(Option<Source>),
}

impl Holder {
    pub(super) fn of(link: &Link) -> Self {
        match link.identity() {
            Some(identity) => Self::Key(*identity.key()),
            None => Self::Source(link.source()),
        }
    }
}

/// What one holder has, and what it was refused.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// With elements and users, whoever set them up.
    associations: BTreeSet<Peer>,
    pub(super) refused: u64,
    pub(super) rates: BTreeMap<usize, TokenBucket>,
    pub(super) told: BTreeMap<Verb, Time>,
}

impl Held {
    /// The associations that came from the other end: those that rules bound.
    pub(super) fn accepted(&self) -> impl Iterator<Item = Peer> + '_ {
        self.associations.iter().copied().filter(|it| !it.is_dialed())
    }
}

/// Who takes part. Who is gone is remembered, so that it does not come back as somebody else; but
/// of so many only.
#[derive(Debug, Default)]
pub(super) struct Holders {
    held: BTreeMap<Holder, Held>,
    /// How many of them have no association.
    remembered: usize,
}

/// So many are remembered that have no association.
const REMEMBERED_MAX: usize = 1024;

impl Holders {
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// The most of them, with so many associations.
    pub(super) fn limit(associations: usize) -> usize {
        associations + REMEMBERED_MAX
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Holder, &Held)> {
        self.held.iter()
    }

    pub(super) fn get(&self, holder: Holder) -> Option<&Held> {
        self.held.get(&holder)
    }

    pub(super) fn get_mut(&mut self, holder: Holder) -> Option<&mut Held> {
        self.held.get_mut(&holder)
    }

    /// It has this association from now on.
    pub(super) fn join(&mut self, holder: Holder, peer: Peer) {
        let is_known = self.held.contains_key(&holder);
        let held = self.held.entry(holder).or_default();
        if is_known && held.associations.is_empty() {
            self.remembered -= 1;
        }
        held.associations.insert(peer);
    }

    /// It has this association no more.
    pub(super) fn leave(&mut self, holder: Holder, peer: Peer) {
        let Some(held) = self.held.get_mut(&holder) else { return };
        if !held.associations.remove(&peer) || !held.associations.is_empty() {
            return;
        }
        if self.remembered < REMEMBERED_MAX {
            self.remembered += 1;
        } else {
            self.held.remove(&holder);
        }
    }

    /// What one that may have no association has; `None` where it is not remembered, for there are
    /// so many of these already.
    pub(super) fn remember(&mut self, holder: Holder) -> Option<&mut Held> {
        if !self.held.contains_key(&holder) {
            if self.remembered >= REMEMBERED_MAX {
                return None;
            }
            self.remembered += 1;
        }
        Some(self.held.entry(holder).or_default())
    }

    /// Other rules have other bounds.
    pub(super) fn forget_rates(&mut self) {
        self.held.values_mut().for_each(|held| held.rates.clear());
    }
}
