//! SCTP in userland: the protocol machine of the crate `dcsctp`, encapsulated in UDP (RFC 6951).
//!
//! It needs nothing of the system but UDP sockets, speaks with the SCTP of Linux and of usrsctp
//! where those encapsulate too, and is what an SCTP address means where the kernel has no SCTP.
//!
//! ```text
//!   UDP sockets ── packet ── INIT ──────────> listener: a signed cookie, and nothing is kept
//!   (encapsulation) (checks) COOKIE ECHO ───> cookie: verified, cut; an association begins
//!                            others, by tag ─> association: dcsctp ── Event
//!   error queue ── quoted tag ─────────────> association: over
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `endpoint`, `dial` | the calls of the user, and one round of the poll; a peer's addresses |
//! | `inbound`, `screen` | what becomes of packets, ICMP errors and timeouts; packets as the machine gets them |
//! | `outcome` | what comes out of machines, and what becomes of their associations |
//! | `association`, `table`, `timers` | one association, all of them, when each wants to be woken |
//! | `machine` | the protocol machine of one association, and the only way to it |
//! | `arrivals`, `limits` | how much of messages that are not whole is kept, how many INITs are answered |
//! | `packet`, `cookie` | checks and answers that need no association; authentic state cookies |
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
//! [`association_retransmits_max`](crate::Options::association_retransmits_max) (there is one path),
//! an association with data on its way ends after *n* + 1 expiries of a timer that starts at the RTO
//! and doubles up to RTO.max; an idle one at the answer that is missing to heartbeat *n* + 1. No timer
//! expires before what had arrived by its time was read: who is too busy to read blames nobody.
//!
//! # What strangers can do
//!
//! - INITs leave no state, and only so many of them are answered in a second. Cookies carry an HMAC-SHA256 over the association they stand for, the
//!   peer's address and ports and the time, and are good for a minute. dcsctp's own cookie has no
//!   MAC at all.
//! - Whatever touches an association needs its verification tag, ICMP errors too. Tags and TSNs
//!   come from dcsctp's generator, which is not a cryptographic one; it gets a seed of the system
//!   before each draw, so that what one peer sees tells nothing about the tags of others.
//! - Every packet's CRC32c and chunks are checked before dcsctp reads it, and extensions that are
//!   not used (RE-CONFIG, FORWARD TSN, I-DATA) are refused. Should dcsctp panic all the same, in
//!   whatever call, that costs one association. What was refused is in the [`Statistics`].
//! - DATA is taken up to 4 096 TSNs ahead of the first that is missing; what unfinished messages take
//!   is bounded for each network and in all, and they have a minute.
//! - There is no encryption and no peer authentication: whoever reads the traffic can take part.
//!
//! # What it does not do
//!
//! - Multihoming: it listens on all its addresses, tries those of a peer one after the other, and
//!   stays with the first that answers. No dynamic addresses (RFC 5061), no AUTH (RFC 4895), no PR-SCTP, no
//!   interleaving, no stream reset; messages go out on stream 0 and are taken from streams 0 to 15.
//! - Path MTU discovery: packets fit Ethernet, and are fragmented by IP where a path is narrower.
//! - Bulk: some 40 MB/s on one core. dcsctp formats every packet for its log, wanted or
//!   not; and where a program takes the records of the crate `log`, it wants to leave those of target
//!   `dcsctp` out, which are a hex dump of every packet at level info.

mod arrivals;
mod association;
mod control;
mod cookie;
mod dial;
mod encapsulation;
mod endpoint;
pub(crate) mod fuzzing;
mod inbound;
mod limits;
mod machine;
mod outcome;
mod packet;
mod screen;
mod table;
mod timers;

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
    /// Associations ended by an ICMP error that quotes their verification tag.
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
    /// Associations whose protocol machine panicked.
    pub broken: u64,
    /// INITs that were dropped: more than 10 000 a second from one network (24 bits of IPv4, 56 of
    /// IPv6), or 20 000 from all.
    pub inits_dropped: u64,
    /// DATA chunks that were dropped: more than 4 096 TSNs ahead of the first that is missing.
    pub data_far_ahead: u64,
    /// DATA chunks that were dropped: fragments of unfinished messages take more than 16 MiB for one
    /// network, or 64 MiB for all.
    pub fragments_dropped: u64,
    /// Associations ended because a message or a gap had not been filled for a minute.
    pub fragments_too_old: u64,
}
