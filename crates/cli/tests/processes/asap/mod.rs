//! ASAP octet by octet, from a client that knows nothing of this project's codec.

mod client;
mod flood;
mod framing;
mod log;
mod many;
mod octets;
mod over_sctp;
mod registration;
mod resolution;
mod supervision;
mod unknown;
