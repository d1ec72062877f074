//! What goes in and what comes out.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use thiserror::Error;

/// The name of an association at its endpoint; never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AssociationId(pub u64);

/// Where a packet comes from and goes to.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Way {
    /// The own address; `None` where the system is to choose it.
    pub local: Option<IpAddr>,
    /// The peer's address. Its port is that of the encapsulation in UDP (RFC 6951), and 0 where there
    /// is none: it is only remembered, and followed when the peer's packets come from another one.
    pub remote: SocketAddr,
}

/// A message of the user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// The stream.
    pub stream: u16,
    /// The payload protocol identifier.
    pub ppid: u32,
    /// Whether it may be delivered before others of its stream that were sent earlier.
    pub unordered: bool,
    /// Its octets; never none.
    pub octets: Bytes,
}

/// What happens to an endpoint.
#[derive(Debug)]
pub enum Input<'a> {
    /// A packet arrived. `way.local` is the own address that it was sent to, where that is known.
    Packet {
        /// Where it came from.
        way: Way,
        /// The packet, from the ports on.
        octets: &'a [u8],
    },
    /// The network says that a packet which begins with these octets was not delivered (RFC 9260
    /// §10): its remote address, and at least 8 octets, 20 of an INIT.
    Unreachable {
        /// Where it was sent to.
        remote: SocketAddr,
        /// How it began.
        quote: &'a [u8],
    },
    /// The user wants something of an association.
    Command(AssociationId, Command),
    /// The time of [`Endpoint::next_timeout`](crate::Endpoint::next_timeout) has come.
    Timeout,
}

/// What the user wants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Deliver what was sent, then end the association (RFC 9260 §9.2).
    Shutdown,
    /// End it at once (§9.1).
    Abort,
    /// Hand out no messages any more, until [`Resume`](Self::Resume): the peer finds the window closed
    /// once as much waits.
    Pause,
    /// Hand out messages again.
    Resume,
    /// Send to this address of the peer while it is reached.
    SetPrimary(IpAddr),
    /// There is another own address (RFC 5061): it is used once the peer has agreed.
    AddAddress(IpAddr),
    /// There is one own address less (RFC 5061).
    DeleteAddress(IpAddr),
    /// Ask the peer to send to this own address while it is reached (RFC 5061).
    SetPeerPrimary(IpAddr),
    /// Ask this address of the peer, or all, at once whether it is there.
    Heartbeat(Option<IpAddr>),
}

/// What an endpoint wants done, or has to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send what is in the buffer.
    Packet(Way),
    /// Something happened to an association.
    Event(AssociationId, Event),
}

/// One step of an [`Endpoint`](crate::Endpoint).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// What is to be done.
    Output(Output),
    /// An association has nothing more to say for now; perhaps it is over.
    Settled(AssociationId),
}

/// What happened to an association.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// It is up.
    Up(Up),
    /// Its peer has restarted: what was sent and not delivered is lost. It is up anew.
    Restarted(Up),
    /// A message arrived.
    Message(Message),
    /// Something happened to an address of the peer.
    Path(IpAddr, PathChange),
    /// The peer has agreed to a change of the own addresses, or not.
    Address(IpAddr, AddressChange),
    /// The peer shuts down: it takes no more messages, but what is queued.
    PeerShutdown,
    /// The send queue is empty enough again, after [`SendError::Full`].
    Writable,
    /// It is over; nothing more is heard of it.
    Down(DownReason),
}

/// What is known of an association when it is up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Up {
    /// Whether this side dialed.
    pub dialed: bool,
    /// The peer's port.
    pub peer_port: u16,
    /// The peer's addresses, the one that is used first in front.
    pub remote: Vec<IpAddr>,
    /// The own addresses, as far as they are known.
    pub local: Vec<IpAddr>,
    /// Streams that messages can be sent on.
    pub streams_out: u16,
    /// Streams that the peer can send messages on.
    pub streams_in: u16,
    /// Whether both can change addresses (RFC 5061).
    pub address_changes: bool,
}

/// What happened to a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PathChange {
    /// The peer has another address, which is being asked whether it is there.
    Added,
    /// It answers, and may be used.
    Confirmed,
    /// It did not answer; others are used in its place (RFC 7829).
    PotentiallyFailed,
    /// It has not answered for long.
    Unreachable,
    /// It answers again.
    Reachable,
    /// What is sent goes there now.
    Used,
    /// The peer has it no more.
    Removed,
}

/// What became of a change of an own address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AddressChange {
    /// The peer knows it now.
    Added,
    /// The peer has forgotten it.
    Deleted,
    /// The peer sends there.
    Primary,
    /// The peer has refused, with this cause, or cannot do it: 0.
    Refused(u16),
}

/// Why an association is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DownReason {
    /// Shut down; everything was delivered.
    Closed,
    /// Nobody listens there, or it refuses.
    Refused,
    /// The peer has ended it, with this cause or none.
    Aborted(Option<u16>),
    /// The own user has ended it.
    UserAborted,
    /// The peer does not answer.
    Timeout,
    /// The network says that nobody is there.
    Unreachable,
    /// The peer broke a rule.
    Violation,
    /// A message or a gap was not filled within a minute.
    TooOld,
}

/// Why a message is not sent. Nothing was changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SendError {
    /// The association is not up, or shuts down.
    #[error("association is not established")]
    NotUp,
    /// As much waits as may; [`Event::Writable`] says when to try again.
    #[error("send queue is full")]
    Full,
    /// It is longer than `message_max`.
    #[error("message is too long")]
    TooLong,
    /// It has no octets.
    #[error("message is empty")]
    Empty,
    /// There is no such stream.
    #[error("no such stream")]
    NoStream,
}

/// Why an association is not dialed. Nothing was changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ConnectError {
    /// No address to dial, or port 0.
    #[error("no address to dial")]
    NoAddress,
    /// There is one already (RFC 9260 §1.3).
    #[error("there is an association with that peer already")]
    Connected(AssociationId),
    /// There are as many as may be.
    #[error("too many associations")]
    Limit,
}

/// What an endpoint has seen; counts only grow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// Packets whose CRC32c is wrong.
    pub checksum_errors: u64,
    /// Packets and chunks that break the rules of their form.
    pub malformed: u64,
    /// Packets that belong to no association.
    pub out_of_the_blue: u64,
    /// Errors of the network that count: they quote the tag of an association.
    pub unreachable: u64,
    /// Those that do not.
    pub unreachable_ignored: u64,
    /// Cookies that are forged, stale, used, or of another peer.
    pub cookies_refused: u64,
    /// ASCONF, ASCONF ACK and what stood behind a wrong AUTH.
    pub not_authentic: u64,
    /// DATA that was dropped: too far ahead of the first TSN that is missing.
    pub data_far_ahead: u64,
    /// DATA that was dropped for want of room.
    pub data_dropped: u64,
    /// Packets for an association with chunks that it could not use, answers that were not given
    /// because too many waited, SACKs that make no sense.
    pub ignored: u64,
    /// Associations that were refused because there are as many as may be.
    pub over_limit: u64,
    /// DATA chunks that were sent again.
    pub retransmissions: u64,
    /// Those of them after a timeout.
    pub timeouts: u64,
    /// DATA that had arrived already.
    pub duplicates: u64,
}

impl Statistics {
    /// Adds those of an association.
    pub(crate) fn add(&mut self, other: &Self) {
        self.checksum_errors += other.checksum_errors;
        self.malformed += other.malformed;
        self.out_of_the_blue += other.out_of_the_blue;
        self.unreachable += other.unreachable;
        self.unreachable_ignored += other.unreachable_ignored;
        self.cookies_refused += other.cookies_refused;
        self.not_authentic += other.not_authentic;
        self.data_far_ahead += other.data_far_ahead;
        self.data_dropped += other.data_dropped;
        self.ignored += other.ignored;
        self.over_limit += other.over_limit;
        self.retransmissions += other.retransmissions;
        self.timeouts += other.timeouts;
        self.duplicates += other.duplicates;
    }
}
