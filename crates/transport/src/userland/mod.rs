//! SCTP in userland: the machine of the crate `rserpool-sctp`, encapsulated in UDP (RFC 6951).
//!
//! It needs nothing of the system but UDP sockets, speaks with the SCTP of Linux and of usrsctp
//! where those encapsulate too, and is what an SCTP address means where the kernel has no SCTP.
//!
//! ```text
//!   UDP sockets ── packet ── INIT, COOKIE ECHO: ── rserpool_sctp::Endpoint ── step ── Event
//!   (encapsulation)          may it come? (limits)        |                    └──── packets
//!   error queue ── quote ─────────────────────────────────┘
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `endpoint`, `dial` | the calls of the user, and one round of the poll; a peer's addresses |
//! | `addresses` | own addresses: what peers are told of them, and of changes |
//! | `inbound`, `limits` | what strangers may take, before the protocol gets their packets |
//! | `outcome` | what comes out of the protocol, and what becomes of its associations |
//! | `association`, `table` | what is known of one association besides, and of all |
//! | `heard` | up to when peers were heard: no timer expires before |
//! | `encapsulation`, `control` | UDP sockets, their error queues and control messages |
//!
//! # Ports
//!
//! The UDP port is the SCTP port, unless [`Address::encapsulation`](crate::Address::encapsulation)
//! or [`Remote::encapsulation`](crate::Remote::encapsulation) names one (9899 for most kernels). An
//! endpoint dials from the port that it listens at. Answers go to where a packet came from; a peer's
//! UDP port that changes is followed once a packet with the right verification tag came from the
//! same address (RFC 6951 §5.4). Peers at one address are told apart by UDP port and SCTP port, so
//! that two behind one address translator do not take each other for a restart.
//!
//! # Several addresses
//!
//! | own addresses | what peers are told |
//! |---|---|
//! | several in the URL, or in [`dial_from`](crate::Options::dial_from) | all of them, at the beginning; changes by [`add_address`](UserlandEndpoint::add_address) and [`remove_address`](UserlandEndpoint::remove_address) |
//! | one | nothing: it is what packets come from |
//! | all of the host, dialing a peer with several | those that lead to the peer's, where they are different |
//! | all of the host | at the beginning nothing, as some may lead nowhere; addresses that come and go later, each second |
//!
//! Who is told can follow if both sides have RFC 5061 and RFC 4895, as this endpoint has. Whatever a peer
//! says, its addresses are in [`Event::Addresses`](crate::Event::Addresses) once they have answered.
//!
//! # How the end of a peer is noticed
//!
//! | what happens | the other side sees | after |
//! |---|---|---|
//! | close, abort, drop of the endpoint | `Closed`, `Reset` | a round trip |
//! | its process is killed | `Reset`, by a verified ICMP error | the next packet, at most a heartbeat |
//! | it is restarted at the same port | `Restarted` or `Reset` | its first packet, or our next |
//! | its host or the network is silent | `Timeout` | see below |
//!
//! With *n* the lesser of [`path_retransmits_max`](crate::Options::path_retransmits_max) and
//! [`association_retransmits_max`](crate::Options::association_retransmits_max),
//! an association with data on its way ends after *n* + 1 expiries of a timer that starts at the RTO
//! and doubles up to RTO.max; an idle one at the answer that is missing to heartbeat *n* + 1. No timer
//! expires before what had arrived by its time was read: who is too busy to read blames nobody.
//!
//! # What strangers can do
//!
//! - INITs leave no state, and only so many of them are answered in a second. Cookies carry an
//!   HMAC-SHA256 over the association they stand for, the peer's address and SCTP ports and the time;
//!   they are good for a minute, and once.
//! - Whatever touches an association needs its verification tag, ICMP errors too. Tags, TSNs and keys
//!   come from a cryptographic generator with a seed of the system.
//! - Addresses that a peer names get a HEARTBEAT each, and nothing else before they answer.
//! - DATA is taken up to 4 096 TSNs ahead of the first that is missing; what unfinished messages take
//!   is bounded for each association, for each network and in all, and they have a minute. What was
//!   refused is in the [`Statistics`].
//! - There is no encryption and no peer authentication: whoever reads the traffic can take part.
//!
//! # What it does not do
//!
//! - No PR-SCTP, no interleaving, no stream reset; messages go out on stream 0 and are taken from streams
//!   0 to 15.
//! - Path MTU discovery: packets fit Ethernet, and are fragmented by IP where a path is narrower.

mod addresses;
mod association;
mod control;
mod dial;
mod encapsulation;
mod endpoint;
pub(crate) mod fuzzing;
mod heard;
mod inbound;
mod limits;
mod outcome;
mod table;

#[cfg(test)]
mod tests;

pub use endpoint::UserlandEndpoint;

/// What a [`UserlandEndpoint`] has seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// Associations at this moment, those that are being dialed included.
    pub associations: usize,
    /// Datagrams whose CRC32c is wrong: noise, or another protocol.
    pub checksum_errors: u64,
    /// Packets whose chunks break the rules, and messages over the limit.
    pub malformed: u64,
    /// Packets that belong to no association.
    pub out_of_the_blue: u64,
    /// COOKIE ECHOs with a cookie that is forged, stale, or of another peer.
    pub cookies_refused: u64,
    /// ICMP errors that quote the verification tag of an association: it ends, or one of its paths.
    pub unreachable: u64,
    /// ICMP errors that could not be verified.
    pub unreachable_ignored: u64,
    /// Errors that the system reported with a receive call.
    pub socket_errors: u64,
    /// Packets that the system did not take.
    pub unsent: u64,
    /// Associations refused because there are as many as there may be.
    pub over_limit: u64,
    /// Associations refused because their source has as many as it may.
    pub over_source_limit: u64,
    /// Associations that ended because their peer took nothing of what waited for it.
    pub stalled: u64,
    /// Associations that ended because too much waited in all.
    pub over_budget: u64,
    /// Messages refused because too much waits for their peer.
    pub full: u64,
    /// INITs that were dropped: more than 10 000 a second from one network (24 bits of IPv4, 56 of
    /// IPv6), or 20 000 from all.
    pub inits_dropped: u64,
    /// DATA chunks that were dropped: more than 4 096 TSNs ahead of the first that is missing.
    pub data_far_ahead: u64,
    /// DATA chunks that were dropped: fragments of unfinished messages take more than the window of
    /// their association, 16 MiB for one network, or 64 MiB for all.
    pub fragments_dropped: u64,
    /// Associations ended because a message or a gap had not been filled for a minute.
    pub fragments_too_old: u64,
}
