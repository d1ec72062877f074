//! The policies that look at load (RFC 5356 §5), and rsplib's.

use rserpool_wire::param::{Policy, PolicyField};

use super::Stake;

/// Least used: the load.
pub(super) fn load(policy: &Policy) -> Stake {
    Stake::fixed(load_of(policy))
}

/// Least used with degradation: the load, and more with each listing.
pub(super) fn load_degrading(policy: &Policy) -> Stake {
    Stake { base: load_of(policy), step: degradation_of(policy) }
}

/// Priority least used: the load that one more selection would bring.
pub(super) fn next_load(policy: &Policy) -> Stake {
    Stake::fixed(load_of(policy).saturating_add(degradation_of(policy)))
}

/// Priority least used with degradation: the same, and more with each listing.
pub(super) fn next_load_degrading(policy: &Policy) -> Stake {
    Stake { step: degradation_of(policy), ..next_load(policy) }
}

/// For the randomized policies: what of the capacity is not used.
pub(super) fn unused(load: Stake) -> Stake {
    Stake { base: u32::MAX - load.base, ..load }
}

fn load_of(policy: &Policy) -> u32 {
    policy.get(PolicyField::Load).unwrap_or_default()
}

fn degradation_of(policy: &Policy) -> u32 {
    policy.get(PolicyField::LoadDegradation).unwrap_or_default()
}
