//! Wire format of ASAP and ENRP: octets in, typed messages out, and back.
//!
//! This crate knows no socket, no clock and no policy. It is the one place that holds numbers from
//! the IANA registries and offsets from the RFC drawings.
//!
//! | module | what it holds | source |
//! |---|---|---|
//! | [`registry`] | every assigned number | RFC 5352 §8, 5353 §5, 5354 §5, 5356 §7 |
//! | [`codec`] | the reader and the writer of parameters | RFC 5354 §2 |
//! | [`param`] | the parameters shared by both protocols | RFC 5354 §3, 5356 |
//! | [`asap`] | the 14 ASAP messages | RFC 5352 §2.2 |
//! | [`enrp`] | the 10 ENRP messages | RFC 5353 §2 |
//! | [`message`] | either of them, and what to report of what was not understood | RFC 5354 §4 |
//! | [`checksum`] | the checksum over a registrar's elements | RFC 5353 §3.6.2 |
//! | [`counters`] | counters with the names of their metrics | |
//! | [`dump`] | messages taken apart for people | |
//! | [`error`] | what can be wrong with received octets | RFC 5354 §3.12 |

#![forbid(unsafe_code)]

#[macro_use]
mod macros;

pub mod asap;
pub mod checksum;
pub mod codec;
pub mod counters;
pub mod dump;
pub mod enrp;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod message;
pub mod param;
pub mod registry;

pub use asap::Asap;
pub use enrp::Enrp;
pub use error::{DecodeError, DecodeErrorKind};
pub use message::{Decoded, Message, Protocol};
