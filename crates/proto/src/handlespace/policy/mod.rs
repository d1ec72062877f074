//! Pool member selection policies (RFC 5356).

mod round_robin;
mod seats;

use std::num::NonZeroU32;

use rand::rngs::StdRng;
use rserpool_wire::param::{PeId, Policy};
use rserpool_wire::registry::PolicyType;

use super::Config;
use round_robin::Ring;

/// What a resolution asks of a selection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// How many elements to list; not more than there are.
    items: usize,
    /// How many of them lose their turn.
    increment: usize,
}

impl Request {
    /// `items` as a question asks for, of `available` ones.
    pub(super) fn new(config: &Config, items: Option<u32>, available: usize) -> Self {
        let count = |limit: Option<NonZeroU32>| limit.map_or(usize::MAX, |it| it.get() as usize);
        let wanted = items.and_then(NonZeroU32::new).or(config.items_default);
        let items = count(wanted).min(count(Some(config.items_max))).min(available);
        Self { items, increment: count(config.max_increment) }
    }
}

/// A pool's elements in the order of its policy.
///
/// An element has a seat here, a number that finds it again.
#[derive(Debug)]
pub(super) enum Selection {
    /// One after the other.
    Ring(Ring),
}

impl Selection {
    /// The selection of a policy, `None` where it is not known.
    pub(super) fn of(policy_type: PolicyType) -> Option<Self> {
        policy_type.fields().map(|_| Self::Ring(Ring::default()))
    }

    /// Takes an element in and returns its seat.
    pub(super) fn insert(&mut self, slot: u32, _id: PeId, _policy: &Policy) -> u32 {
        match self {
            Self::Ring(ring) => ring.insert(slot),
        }
    }

    /// An element registered again, perhaps with other values.
    pub(super) fn change(&mut self, _seat: u32, _policy: &Policy) {
        match self {
            Self::Ring(_) => {}
        }
    }

    /// Takes an element out. Returns the slot of the one that has its seat from now on.
    pub(super) fn remove(&mut self, seat: u32) -> Option<u32> {
        match self {
            Self::Ring(ring) => ring.remove(seat),
        }
        None
    }

    /// Appends the slots of the elements to list, and takes their turns.
    pub(super) fn select(&mut self, request: Request, _rng: &mut StdRng, listed: &mut Vec<u32>) {
        match self {
            Self::Ring(ring) => ring.select(request, listed),
        }
    }
}
