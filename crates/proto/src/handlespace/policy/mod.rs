//! Pool member selection policies (RFC 5356): each is one line in [`Selection::of`].
//!
//! Four selections know how to keep elements in order; a policy says which one it is, and what of
//! an element counts there. Among equals, whoever was longest not selected comes first.
//!
//! | file | what it holds |
//! |---|---|
//! | `round_robin` | a ring |
//! | `weighted_round_robin` | turns in proportion to weights |
//! | `ranking` | the lowest number first: `priority`, `least_used`, `distance` |
//! | `lottery` | in proportion to numbers, on a `sum_tree`: `random`, `least_used`, `distance` |

mod distance;
mod least_used;
mod lottery;
mod priority;
mod random;
mod ranking;
mod round_robin;
mod slab;
mod sum_tree;
mod weighted_round_robin;

use std::num::NonZeroU32;

use rand::rngs::StdRng;
use rserpool_wire::param::{PeId, Policy};
use rserpool_wire::registry::PolicyType;

use super::Config;
use lottery::Lottery;
use ranking::Ranking;
use round_robin::Ring;
use weighted_round_robin::WeightedRoundRobin;

/// So many elements that may not be told are passed over in one answer.
const HIDDEN_MAX: usize = 4_000;

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

    /// Asks for more where `hidden` of the elements are to be left out afterwards; returns how many
    /// were asked for. So many more that a pool of very many costs no walk through all of it.
    pub(super) fn widen(&mut self, hidden: usize, available: usize) -> usize {
        let wanted = self.items;
        self.items = available.min(wanted + hidden.min(HIDDEN_MAX));
        wanted
    }
}

/// What counts of an element: a number, and by how much each listing changes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stake {
    base: u32,
    step: u32,
}

impl Stake {
    /// A number that no listing changes.
    fn fixed(base: u32) -> Self {
        Self { base, step: 0 }
    }

    /// What a load has become after so many listings.
    fn raised(self, listings: u32) -> u32 {
        self.base.saturating_add(self.step.saturating_mul(listings))
    }

    /// What unused capacity has become after so many listings.
    fn lowered(self, listings: u32) -> u32 {
        self.base.saturating_sub(self.step.saturating_mul(listings))
    }
}

/// A pool's elements in the order of its policy.
///
/// An element has a seat here, a number that finds it again.
#[derive(Debug)]
pub(super) enum Selection {
    /// One after the other.
    Ring(Ring),
    /// One after the other, in proportion.
    WeightedRoundRobin(WeightedRoundRobin),
    /// The lowest number first.
    Ranking(Ranking),
    /// At random, in proportion.
    Lottery(Lottery),
}

impl Selection {
    /// The selection of a policy, `None` where it is not known.
    pub(super) fn of(policy_type: PolicyType) -> Option<Self> {
        use least_used::{load, load_degrading, next_load, next_load_degrading, unused};
        let ranking = |stake| Self::Ranking(Ranking::new(stake));
        let weighted = |stake| Self::Lottery(Lottery::without_blanks(stake));
        // RFC 5356 §5.4: where all are fully loaded there is still a choice, an even one.
        let randomized = |stake| Self::Lottery(Lottery::with_blanks(stake));
        Some(match policy_type {
            PolicyType::ROUND_ROBIN => Self::Ring(Ring::default()),
            PolicyType::WEIGHTED_ROUND_ROBIN => {
                Self::WeightedRoundRobin(WeightedRoundRobin::default())
            }
            PolicyType::RANDOM => weighted(random::even),
            PolicyType::WEIGHTED_RANDOM => weighted(random::weight),
            PolicyType::PRIORITY => ranking(priority::rank),
            PolicyType::LEAST_USED => ranking(load),
            PolicyType::LEAST_USED_DEGRADATION => ranking(load_degrading),
            PolicyType::PRIORITY_LEAST_USED => ranking(next_load),
            PolicyType::RANDOMIZED_LEAST_USED => randomized(|it| unused(load(it))),
            PolicyType::RANDOMIZED_PRIORITY_LEAST_USED => randomized(|it| unused(next_load(it))),
            PolicyType::RANDOMIZED_LEAST_USED_DEGRADATION => {
                randomized(|it| unused(load_degrading(it)))
            }
            PolicyType::PRIORITY_LEAST_USED_DEGRADATION => ranking(next_load_degrading),
            PolicyType::RANDOMIZED_PRIORITY_LEAST_USED_DEGRADATION => {
                randomized(|it| unused(next_load_degrading(it)))
            }
            PolicyType::WEIGHTED_RANDOM_DPF => weighted(distance::weight),
            PolicyType::LEAST_USED_DPF => ranking(distance::load),
            PolicyType::LEAST_USED_DEGRADATION_DPF => ranking(distance::load_degrading),
            _ => return None,
        })
    }

    /// Takes an element in and returns its seat.
    pub(super) fn insert(&mut self, slot: u32, id: PeId, policy: &Policy) -> u32 {
        match self {
            Self::Ring(ring) => ring.insert(slot),
            Self::WeightedRoundRobin(turns) => turns.insert(slot, id, policy),
            Self::Ranking(ranking) => ranking.insert(slot, policy),
            Self::Lottery(lottery) => lottery.insert(slot, policy),
        }
    }

    /// An element registered again, perhaps with other values.
    pub(super) fn change(&mut self, seat: u32, policy: &Policy) {
        match self {
            // It keeps its place.
            Self::Ring(_) => {}
            Self::WeightedRoundRobin(turns) => turns.change(seat, policy),
            Self::Ranking(ranking) => ranking.change(seat, policy),
            Self::Lottery(lottery) => lottery.change(seat, policy),
        }
    }

    /// Takes an element out. Returns the slot of the one that has its seat from now on.
    pub(super) fn remove(&mut self, seat: u32) -> Option<u32> {
        match self {
            Self::Ring(ring) => ring.remove(seat),
            Self::WeightedRoundRobin(turns) => turns.remove(seat),
            Self::Ranking(ranking) => ranking.remove(seat),
            Self::Lottery(lottery) => return lottery.remove(seat),
        }
        None
    }

    /// Appends the slots of the elements to list, and takes their turns.
    pub(super) fn select(&mut self, request: Request, rng: &mut StdRng, listed: &mut Vec<u32>) {
        match self {
            Self::Ring(ring) => ring.select(request, listed),
            Self::WeightedRoundRobin(turns) => turns.select(request, listed),
            Self::Ranking(ranking) => ranking.select(request, listed),
            Self::Lottery(lottery) => lottery.select(request, rng, listed),
        }
    }
}
