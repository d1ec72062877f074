//! A handlespace as plain as can be: every question is answered by looking at everything.

use std::collections::BTreeMap;

use rserpool_wire::checksum::ChecksumSum;
use rserpool_wire::param::PolicyField::{
    Distance, Load, LoadDegradation, LoadDpf, Priority, Weight, WeightDpf,
};

use super::*;

const FULL: i128 = u32::MAX as i128;

#[derive(Default)]
pub(super) struct Model {
    pub(super) pools: BTreeMap<PoolHandle, ModelPool>,
}

pub(super) struct ModelPool {
    pub(super) members: BTreeMap<PeId, Member>,
    next_turn: u64,
    /// The latest turn of weighted round robin, in 2⁻⁶⁴ths of a round.
    present: u128,
}

pub(super) struct Member {
    pub(super) element: PoolElement,
    pub(super) index: ElementIndex,
    pub(super) marked: bool,
    turn: u64,
    listings: i128,
    /// What its turns of weighted round robin are counted from.
    origin: u128,
    due: u128,
}

impl Model {
    pub(super) fn register(
        &mut self,
        name: &PoolHandle,
        element: &PoolElement,
        index: ElementIndex,
    ) {
        let pool = self.pools.entry(name.clone()).or_default();
        let present = pool.present;
        let (turn, weight) = (pool.next_turn, weight_of(element));
        let Some(member) = pool.members.get_mut(&element.id) else {
            pool.next_turn += 1;
            let (element, due) = (element.clone(), first_turn(0, weight, present));
            let member =
                Member { element, index, marked: false, turn, listings: 0, origin: 0, due };
            pool.members.insert(member.element.id, member);
            return;
        };
        let before = weight_of(&member.element);
        if before == 0 {
            (member.origin, member.due) = (0, first_turn(0, weight, present));
        } else if weight != before && weight > 0 {
            member.due = present + (member.due - present) * before / weight;
            // So that the first of its new turns is this one.
            member.origin = member.due - (1 << 63) / weight;
        }
        (member.listings, member.marked) = (0, false);
        member.element = element.clone();
    }

    pub(super) fn deregister(&mut self, name: &PoolHandle, id: PeId) -> Option<PoolElement> {
        let pool = self.pools.get_mut(name)?;
        let member = pool.members.remove(&id)?;
        if pool.members.is_empty() {
            self.pools.remove(name);
        }
        Some(member.element)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&PoolHandle, &Member)> {
        let pools = self.pools.iter();
        pools.flat_map(|(name, pool)| pool.members.values().map(move |member| (name, member)))
    }

    pub(super) fn owned(&self, home: RegistrarId) -> impl Iterator<Item = (&PoolHandle, &Member)> {
        self.all().filter(move |(_, member)| member.element.home == Some(home))
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.pools.values_mut().flat_map(|pool| pool.members.values_mut())
    }

    pub(super) fn checksum(&self, home: RegistrarId) -> rserpool_wire::param::PeChecksum {
        let mut sum = ChecksumSum::default();
        self.owned(home).for_each(|(name, member)| sum.add(name, member.element.id));
        sum.checksum()
    }
}

impl Default for ModelPool {
    fn default() -> Self {
        Self { members: BTreeMap::new(), next_turn: 0, present: 1 << 64 }
    }
}

impl ModelPool {
    pub(super) fn policy_type(&self) -> PolicyType {
        self.members.values().next().unwrap().element.policy.policy_type()
    }

    /// What a policy that leaves nothing to chance lists.
    pub(super) fn select(&mut self, items: usize, increment: usize) -> Vec<PeId> {
        let weighted = self.policy_type() == PolicyType::WEIGHTED_ROUND_ROBIN;
        let able = |it: &&Member| !weighted || weight_of(&it.element) > 0;
        let mut members: Vec<&Member> = self.members.values().filter(able).collect();
        members.sort_by(|a, b| {
            if weighted {
                return (a.due, a.element.id).cmp(&(b.due, b.element.id));
            }
            (rank(a), a.turn).cmp(&(rank(b), b.turn))
        });
        let ids: Vec<PeId> = members.iter().take(items).map(|it| it.element.id).collect();
        let taken = &ids[..increment.min(ids.len())];
        if let (true, Some(last)) = (weighted, taken.last()) {
            self.present = self.members[last].due;
        }
        let ranks: Vec<i128> = self.members.values().map(rank).collect();
        for (place, id) in ids.iter().enumerate() {
            let member = self.members.get_mut(id).unwrap();
            let weight = weight_of(&member.element);
            let before = rank(member);
            let equals = ranks.iter().filter(|it| **it == before).count();
            member.listings += 1;
            let meets_others = equals > 1 || rank(member) != before;
            if place < increment && (weighted || meets_others) {
                member.turn = self.next_turn;
                member.due = first_turn(member.origin, weight, self.present);
                self.next_turn += 1;
            }
        }
        ids
    }

    /// What may be listed by a policy that draws, and what only after all of those.
    pub(super) fn eligible(&self) -> (Vec<PeId>, Vec<PeId>) {
        let ids = |wanted: fn(i128) -> bool| {
            let members = self.members.values().filter(move |it| wanted(odds(it)));
            members.map(|it| it.element.id).collect()
        };
        let last = match self.policy_type() {
            PolicyType::WEIGHTED_RANDOM | PolicyType::WEIGHTED_RANDOM_DPF => Vec::new(),
            _ => ids(|odds| odds == 0),
        };
        (ids(|odds| odds > 0), last)
    }

    pub(super) fn count_listings(&mut self, ids: &[PeId]) {
        for id in ids {
            self.members.get_mut(id).unwrap().listings += 1;
        }
    }
}

/// The first turn after the present, by trying; nothing sensible for weight 0.
fn first_turn(origin: u128, weight: u128, present: u128) -> u128 {
    if weight == 0 {
        return 0;
    }
    let round = 1 << 64;
    let due = |k: u128| origin + (k / weight * round + (2 * (k % weight) + 1) * (1 << 63) / weight);
    let rounds = (present.saturating_sub(origin) >> 64) * weight;
    let part = present.saturating_sub(origin) % round;
    let mut k = rounds + (part * weight / round).saturating_sub(2);
    while due(k) <= present {
        k += 1;
    }
    due(k)
}

fn number(element: &PoolElement, field: rserpool_wire::param::PolicyField) -> i128 {
    element.policy.get(field).unwrap_or(0).into()
}

fn weight_of(element: &PoolElement) -> u128 {
    u128::try_from(number(element, Weight)).unwrap()
}

/// The lower, the sooner.
fn rank(member: &Member) -> i128 {
    let of = |field| number(&member.element, field);
    let degraded = member.listings * of(LoadDegradation);
    let farther = of(Distance) * of(LoadDpf);
    let load = match member.element.policy.policy_type() {
        PolicyType::ROUND_ROBIN | PolicyType::WEIGHTED_ROUND_ROBIN => 0,
        PolicyType::PRIORITY => return -of(Priority),
        PolicyType::LEAST_USED => of(Load),
        PolicyType::LEAST_USED_DEGRADATION => of(Load) + degraded,
        PolicyType::PRIORITY_LEAST_USED => of(Load) + of(LoadDegradation),
        PolicyType::PRIORITY_LEAST_USED_DEGRADATION => of(Load) + of(LoadDegradation) + degraded,
        PolicyType::LEAST_USED_DPF => of(Load) + farther,
        PolicyType::LEAST_USED_DEGRADATION_DPF => of(Load) + degraded + farther,
        other => panic!("{other} draws"),
    };
    load.min(FULL)
}

/// The odds of an element, 0 for none.
fn odds(member: &Member) -> i128 {
    let of = |field| number(&member.element, field);
    let degraded = member.listings * of(LoadDegradation);
    let unused = match member.element.policy.policy_type() {
        PolicyType::RANDOM => 1,
        PolicyType::WEIGHTED_RANDOM => of(Weight),
        PolicyType::WEIGHTED_RANDOM_DPF => {
            let product = of(Weight) * of(Distance) * of(WeightDpf);
            let left = of(Weight) - (2 * product + FULL) / (2 * FULL);
            return if left < 0 { 1 } else { left };
        }
        PolicyType::RANDOMIZED_LEAST_USED => FULL - of(Load),
        PolicyType::RANDOMIZED_PRIORITY_LEAST_USED => FULL - of(Load) - of(LoadDegradation),
        PolicyType::RANDOMIZED_LEAST_USED_DEGRADATION => FULL - of(Load) - degraded,
        PolicyType::RANDOMIZED_PRIORITY_LEAST_USED_DEGRADATION => {
            FULL - of(Load) - of(LoadDegradation) - degraded
        }
        other => panic!("{other} does not draw"),
    };
    unused.max(0)
}
