//! The test purposes of ETSI TS 102 369 that apply, by their identifiers and in our own words. What
//! an RFC has changed since then follows the RFC.
//!
//! Left out: 5/3/5 (addresses that are no single host's are the caller's to drop), 8/13 to 8/15 (an
//! upper layer without a buffer of its own), 1/13/2 (a host with one family of addresses).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "../network/mod.rs"]
mod network;
#[path = "../raw/mod.rs"]
mod raw;

mod data;
mod duplicates;
mod faults;
mod setup;
mod termination;
