//! Priority (RFC 5356 §4.5).

use rserpool_wire::param::{Policy, PolicyField};

use super::Stake;

/// The highest priority has the lowest rank.
pub(super) fn rank(policy: &Policy) -> Stake {
    Stake::fixed(u32::MAX - policy.get(PolicyField::Priority).unwrap_or_default())
}
