//! What RFC 5354 demands of the octets, one test a rule.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod messages;
mod octets;
mod parameters;
mod unknown;
#[path = "../vectors/mod.rs"]
mod vectors;
