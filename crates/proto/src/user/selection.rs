//! Which element a pool user turns to: the user's half of the policies (RFC 5356 §4, §5).

use rand::RngExt;
use rand::rngs::StdRng;
use rserpool_wire::param::{PolicyField, PoolElement};
use rserpool_wire::registry::PolicyType;

use super::Resolution;

/// What a user remembers between two picks from the same resolution.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    /// Round robin: the element whose turn it is.
    next: usize,
    /// Least used with degradation: how often each was picked; grows with the first pick.
    picks: Vec<u32>,
}

impl Turn {
    /// The element for the next request, as an index. The registrar has put the list in the order
    /// of the policy, so the first pick of most policies is its first element.
    pub(super) fn pick(&mut self, resolution: &Resolution, rng: &mut StdRng) -> usize {
        let elements = &resolution.elements;
        match resolution.policy_type {
            // RFC 5356 §4.1.3, §4.2.3: in order, round and round.
            PolicyType::ROUND_ROBIN | PolicyType::WEIGHTED_ROUND_ROBIN => {
                let turn = self.next % elements.len().max(1);
                self.next = turn + 1;
                turn
            }
            // RFC 5356 §4.3.3.
            PolicyType::RANDOM => rng.random_range(0..elements.len().max(1)),
            PolicyType::WEIGHTED_RANDOM
            | PolicyType::WEIGHTED_RANDOM_DPF
            | PolicyType::RANDOMIZED_LEAST_USED
            | PolicyType::RANDOMIZED_LEAST_USED_DEGRADATION
            | PolicyType::RANDOMIZED_PRIORITY_LEAST_USED
            | PolicyType::RANDOMIZED_PRIORITY_LEAST_USED_DEGRADATION => {
                random_pick(resolution, rng)
            }
            // RFC 5356 §5.2: the pick counts as load until the next resolution.
            PolicyType::LEAST_USED_DEGRADATION
            | PolicyType::LEAST_USED_DEGRADATION_DPF
            | PolicyType::PRIORITY_LEAST_USED_DEGRADATION => self.least_degraded(elements),
            // RFC 5356 §4.5.3, §5.1.3, §5.3.3: the first that is alive. Of a policy that is not
            // known, the registrar's order is all there is.
            _ => 0,
        }
    }

    /// The element at `row` has left the list.
    pub(super) fn forget(&mut self, row: usize) {
        if row < self.next {
            self.next -= 1;
        }
        if row < self.picks.len() {
            self.picks.remove(row);
        }
    }

    fn least_degraded(&mut self, elements: &[PoolElement]) -> usize {
        self.picks.resize(elements.len(), 0);
        let load = |row: &usize| {
            let field = |field| u64::from(elements[*row].policy.get(field).unwrap_or_default());
            let degradation = field(PolicyField::LoadDegradation) * u64::from(self.picks[*row]);
            field(PolicyField::Load) + degradation
        };
        let row = (0..elements.len()).min_by_key(load).unwrap_or_default();
        if let Some(picks) = self.picks.get_mut(row) {
            *picks = picks.saturating_add(1);
        }
        row
    }
}

/// RFC 5356 §4.4.3, §5.4.3: with equal probability from a list that the registrar has drawn. A list
/// of all elements was not drawn, so the probabilities are the registrar's.
fn random_pick(resolution: &Resolution, rng: &mut StdRng) -> usize {
    let elements = &resolution.elements;
    let weight = |element: &PoolElement| match element.policy.get(PolicyField::Weight) {
        Some(weight) => u64::from(weight),
        None => u64::from(u32::MAX - element.policy.get(PolicyField::Load).unwrap_or_default()),
    };
    let total: u64 = elements.iter().map(weight).sum();
    if resolution.items.is_some() || total == 0 {
        return rng.random_range(0..elements.len().max(1));
    }
    let mut ticket = rng.random_range(0..total);
    let hit = |element: &PoolElement| match ticket.checked_sub(weight(element)) {
        Some(left) => {
            ticket = left;
            false
        }
        None => true,
    };
    elements.iter().position(hit).unwrap_or_default()
}
