//! The policies that prefer what is near (draft-dreibholz-rserpool-delay).

use rserpool_wire::param::{Policy, PolicyField};

use super::{Stake, least_used};

/// Least used: each millisecond of distance counts like so much load.
pub(super) fn load(policy: &Policy) -> Stake {
    farther(policy, least_used::load(policy))
}

/// Least used with degradation: the same, and more with each listing.
pub(super) fn load_degrading(policy: &Policy) -> Stake {
    farther(policy, least_used::load_degrading(policy))
}

/// Weighted random: each millisecond of distance takes a part of the weight. As at rsplib, a weight
/// that falls below 0 is 1, and one of exactly 0 stays.
pub(super) fn weight(policy: &Policy) -> Stake {
    let [weight, factor, distance] =
        [PolicyField::Weight, PolicyField::WeightDpf, PolicyField::Distance]
            .map(|field| u128::from(policy.get(field).unwrap_or_default()));
    let whole = u128::from(u32::MAX);
    let penalty = (weight * distance * factor + whole / 2) / whole;
    let left = weight.checked_sub(penalty).map_or(Ok(1), u32::try_from);
    Stake::fixed(left.unwrap_or(u32::MAX))
}

fn farther(policy: &Policy, near: Stake) -> Stake {
    let [factor, distance] = [PolicyField::LoadDpf, PolicyField::Distance]
        .map(|field| u64::from(policy.get(field).unwrap_or_default()));
    let base = (distance * factor).saturating_add(near.base.into());
    Stake { base: u32::try_from(base).unwrap_or(u32::MAX), ..near }
}
