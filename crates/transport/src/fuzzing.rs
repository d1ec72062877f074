//! What must hold for whatever peers send, as functions that panic where it does not: the bodies of
//! the fuzz targets, and of the tests that run what the fuzzers started from and found.

pub use crate::tcp::fuzzing::{tcp_framing, tls_handshakes};
pub use crate::userland::fuzzing::{state_cookies, userland_packets};
