//! SCTP in userland: the protocol machine `dcsctp`, encapsulated in UDP (RFC 6951).

mod association;
mod control;
mod cookie;
mod encapsulation;
mod endpoint;
mod inbound;
mod packet;
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
    /// Messages refused because too much waits for their peer.
    pub full: u64,
    /// Associations whose protocol machine panicked.
    pub broken: u64,
}
