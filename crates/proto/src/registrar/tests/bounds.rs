//! Whatever others do, there is an end to what a registrar holds.

use crate::registrar::Registrar;

/// After any input, as [`Lab::input`](super::lab::Lab::input) does: nothing has grown beyond what
/// may be.
pub(super) fn assert_bounded(registrar: &Registrar) {
    for size in registrar.sizes() {
        assert!(size.is_bounded(), "{}: {} of {}", size.name, size.len, size.limit);
    }
}
