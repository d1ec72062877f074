//! Random and weighted random (RFC 5356 §4.3, §4.4).

use rserpool_wire::param::{Policy, PolicyField};

use super::Stake;

/// All alike.
pub(super) fn even(_: &Policy) -> Stake {
    Stake::fixed(1)
}

/// In proportion to weights.
pub(super) fn weight(policy: &Policy) -> Stake {
    Stake::fixed(policy.get(PolicyField::Weight).unwrap_or_default())
}
