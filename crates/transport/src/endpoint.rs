//! The contract of a transport endpoint: what every back end does, in the same words.

mod options;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use rserpool_wire::registry;

pub use self::options::{Counters, Options, Rto};
use crate::address::Address;
use crate::tls::{Expected, Identity, IdentityError};

/// A bound transport endpoint: it accepts associations, dials, and carries whole messages.
///
/// All work happens in the caller's task: nothing is spawned, nothing blocks. One rule: after any
/// number of [`connect`](Self::connect), [`send`](Self::send), [`close`](Self::close) and
/// [`abort`](Self::abort) calls, poll [`poll_event`](Self::poll_event); it writes what is queued and
/// returns the next event. Every [`AssocId`] that `connect` returned or an [`Event::Up`] named ends
/// with exactly one [`Event::Down`], except one that the caller aborted: it is forgotten at once.
/// Identifiers are never reused.
pub trait Endpoint: Send {
    /// Starts an association to `remote`; [`Event::Up`] or [`Event::Down`] tells how it went.
    ///
    /// # Errors
    ///
    /// Nothing was started.
    ///
    /// - [`Error::Unsupported`] where this back end cannot reach such an address.
    /// - [`Error::Limit`] where it has as many associations as it may.
    /// - [`Error::Connected`] where SCTP has an association with that peer already: between two
    ///   SCTP endpoints there is only one (RFC 9260 §1.3), so use that.
    fn connect(&mut self, remote: &Remote) -> Result<AssocId, Error>;

    /// Queues one message. SCTP sends it as one user message on stream 0, ordered.
    ///
    /// # Errors
    ///
    /// Nothing was queued; see [`SendError`].
    fn send(&mut self, assoc: AssocId, ppid: Ppid, octets: &[u8]) -> Result<(), SendError>;

    /// Ends an association after what is queued was delivered; `Down(Closed)` follows. Messages of
    /// the peer may still arrive before it. Where the peer takes nothing for
    /// [`Options::close_timeout`], `Down(Timeout)` does. An unknown association is ignored.
    fn close(&mut self, assoc: AssocId);

    /// Ends an association now and drops what is queued; no event follows. An unknown association
    /// is ignored.
    fn abort(&mut self, assoc: AssocId);

    /// Takes no more messages of an association, so that the transport's flow control slows its
    /// peer down, until [`resume_reading`](Self::resume_reading) or [`close`](Self::close). What was
    /// taken in already may still be handed out. The end of the association may be noticed only
    /// when reading goes on.
    ///
    /// False, and nothing has changed, where this back end cannot do so for one association: a
    /// socket of the kernel's SCTP that others use as well, SCTP in userland, UDP.
    fn pause_reading(&mut self, assoc: AssocId) -> bool {
        let _ = assoc;
        false
    }

    /// Goes on after [`pause_reading`](Self::pause_reading). Others are ignored.
    fn resume_reading(&mut self, assoc: AssocId) {
        let _ = assoc;
    }

    /// Writes what is queued and returns the next event; `Pending` when there is none.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event>;

    /// False where the next [`poll_event`](Self::poll_event) would have to ask the system whether
    /// there is anything: a good moment to answer what there was first.
    fn has_more(&self) -> bool {
        true
    }

    /// Where this endpoint is bound; the port is real even if 0 was asked for. Empty addresses stand
    /// for an endpoint that only dials.
    fn local(&self) -> Local;

    /// Octets that wait in all queues of this endpoint, in either direction.
    fn queued_octets(&self) -> usize {
        0
    }

    /// How often this endpoint had to refuse something since it was opened.
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// The name of one association within its endpoint (or set of endpoints).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AssocId(pub u64);

/// The payload protocol identifier of a message (RFC 9260 §3.3.1), in host order.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ppid(pub u32);

impl Ppid {
    /// ASAP (RFC 5352 §8).
    pub const ASAP: Self = Self(registry::ASAP_PPID);
    /// ENRP (RFC 5353 §5).
    pub const ENRP: Self = Self(registry::ENRP_PPID);

    /// The same for what an application sends: 11 is that of the control channel, and means 0 here
    /// (RFC 5352 §5).
    #[must_use]
    pub fn of_data(self) -> Self {
        if self == Self::ASAP { Self::default() } else { self }
    }
}

/// A peer to dial: its addresses (one for all but SCTP) and port.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Remote {
    /// Which transport to dial with.
    pub scheme: crate::address::Scheme,
    /// IP addresses of the peer; at least one. SCTP uses all of them, where it can.
    pub addresses: Vec<IpAddr>,
    /// SCTP or TCP port.
    pub port: u16,
    /// UDP port of the peer's SCTP encapsulation (RFC 6951); `None` is the SCTP port.
    pub encapsulation: Option<u16>,
    /// Number of the interface at which the link-local addresses of IPv6 among `addresses` are
    /// (RFC 4007 §11); 0 where there are none.
    pub zone: u32,
    /// Who has to be there, where TLS tells.
    pub expected: Expected,
}

impl Remote {
    /// Its first address with its port, for people.
    #[must_use]
    pub fn first(&self) -> Option<SocketAddr> {
        self.addresses.first().map(|&ip| SocketAddr::new(ip, self.port))
    }
}

/// Where an endpoint is bound.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Local {
    /// The URL to print: with the real port.
    pub url: Address,
    /// Bound addresses; unspecified ones stand for every address of the host.
    pub addresses: Vec<IpAddr>,
    /// SCTP or TCP port.
    pub port: u16,
}

/// What happens at an endpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// An association is up: dialed, or accepted from a peer.
    Up {
        /// Its name.
        assoc: AssocId,
        /// Its ends.
        info: AssocInfo,
    },
    /// An association is gone, or could not be set up.
    Down {
        /// Its name.
        assoc: AssocId,
        /// Why.
        reason: DownReason,
    },
    /// A whole message arrived.
    Message {
        /// The association.
        assoc: AssocId,
        /// Its payload protocol identifier. TCP has none; its framing decides.
        ppid: Ppid,
        /// The message.
        octets: Vec<u8>,
    },
    /// The peer's set of addresses changed, or the own one (RFC 5061).
    Addresses {
        /// The association.
        assoc: AssocId,
        /// All addresses that the peer now has.
        remote: Vec<IpAddr>,
        /// All own addresses that the association now has.
        local: Vec<IpAddr>,
    },
    /// More waits to be sent over an association than its peer takes; what is sent all the same is
    /// queued up to [`Options::send_queue_max`].
    Congested {
        /// The association.
        assoc: AssocId,
    },
    /// What waited on a [`Congested`](Self::Congested) association is sent, but for little.
    Drained {
        /// The association.
        assoc: AssocId,
    },
    /// A path of a multihomed association stopped or began to answer.
    Path {
        /// The association.
        assoc: AssocId,
        /// The peer's address on that path.
        address: IpAddr,
        /// True where it answers.
        reachable: bool,
    },
}

impl Event {
    /// The association that this is about.
    #[must_use]
    pub fn assoc(&self) -> AssocId {
        match self {
            Self::Up { assoc, .. }
            | Self::Down { assoc, .. }
            | Self::Message { assoc, .. }
            | Self::Addresses { assoc, .. }
            | Self::Congested { assoc }
            | Self::Drained { assoc }
            | Self::Path { assoc, .. } => *assoc,
        }
    }
}

/// The two ends of an association.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AssocInfo {
    /// The back end that carries it.
    pub backend: Backend,
    /// True where this side dialed.
    pub dialed: bool,
    /// All IP addresses of the peer.
    pub remote: Vec<IpAddr>,
    /// The peer's SCTP or TCP port.
    pub remote_port: u16,
    /// All own IP addresses of this association, where the back end knows them.
    pub local: Vec<IpAddr>,
    /// The own SCTP or TCP port.
    pub local_port: u16,
    /// Who the peer has proved to be, over TLS.
    pub identity: Option<Identity>,
}

/// What carries an association.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Backend {
    /// SCTP of the operating system.
    KernelSctp,
    /// SCTP of this project (`rserpool-sctp`), encapsulated in UDP (RFC 6951).
    UserlandSctp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// UDP, for services.
    Udp,
    /// A queue inside this process.
    Memory,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KernelSctp => "kernel SCTP",
            Self::UserlandSctp => "userland SCTP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS over TCP",
            Self::Udp => "UDP",
            Self::Memory => "memory",
        })
    }
}

/// Why an association is gone.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DownReason {
    /// Either side closed it gracefully; what was sent before arrived.
    Closed,
    /// The peer aborted it, or its process died and its host said so.
    Reset,
    /// The peer said no: nobody listens there.
    Refused,
    /// The peer does not answer.
    Timeout,
    /// The peer restarted: this association is dead, a new one follows by its own [`Event::Up`].
    Restarted,
    /// The peer does not go on: it took nothing of what waits for it for
    /// [`Options::stall_timeout`], left a message unfinished, or had one of the greatest queues when
    /// more waited than [`Options::queue_budget`].
    Stalled,
    /// The peer broke the framing (RFC 5354 §4, a length below 4 or over the limit).
    Framing,
    /// The operating system refused.
    System,
    /// The peer speaks something else than TLS where TLS was to be spoken.
    NotTls,
    /// The peer speaks TLS where none was to be spoken.
    SpeaksTls,
    /// The peer is not who it has to be.
    Identity(IdentityError),
    /// The peer does not trust this end.
    Untrusted,
    /// The TLS handshake failed for another reason, or later something in TLS was wrong.
    Tls,
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity(error) => return error.fmt(f),
            Self::NotTls => "the peer does not speak TLS",
            Self::SpeaksTls => "the peer speaks TLS: dial it as tls://",
            Self::Untrusted => "the peer does not trust this key or certificate",
            Self::Tls => "the TLS handshake failed",
            Self::Closed => "closed",
            Self::Reset => "reset by the peer",
            Self::Refused => "refused",
            Self::Timeout => "no answer",
            Self::Restarted => "the peer restarted",
            Self::Framing => "the peer broke the framing",
            Self::Stalled => "the peer takes nothing",
            Self::System => "the system refused",
        })
    }
}

/// Why a message was not queued. The association itself is unchanged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such association (any more), or it is not up yet.
    #[error("no such association")]
    Gone,
    /// The peer takes less than is sent: more than [`Options::send_queue_max`] octets wait. When most
    /// of them are taken, [`Event::Drained`] says so.
    #[error("the send queue is full")]
    Full,
    /// The message is longer than [`Options::message_max`]. Octets of a plain byte stream are no
    /// message.
    #[error("the message is too long")]
    TooLong,
    /// The octets are not what this transport carries: no message at all, or on a byte stream one
    /// whose header has another length than it has (it would break the framing for the peer).
    #[error("the message is empty or its header has another length")]
    Malformed,
}

/// Why an endpoint could not be opened or an association not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be bound. Nothing is open.
    #[error("cannot listen on {url}: {}", reason(source))]
    Bind {
        /// The URL as asked for.
        url: Address,
        /// What the operating system says.
        source: io::Error,
    },
    /// A call on an open endpoint failed.
    #[error("{operation}: {source}")]
    System {
        /// The call.
        operation: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
    /// This back end does not work here, or not for this address.
    #[error("{what} is not available: {why}")]
    Unsupported {
        /// The back end or feature.
        what: &'static str,
        /// What is missing and what to type.
        why: String,
    },
    /// As many associations as [`Options::associations_max`] allows.
    #[error("there are already {0} associations")]
    Limit(usize),
    /// There is an association with that peer already, or one is being set up.
    #[error("there is already an association with that peer")]
    Connected(AssocId),
    /// A multicast group cannot be joined or sent to. Nothing is open.
    #[error("cannot use the multicast group {group}: {}", reason(source))]
    Multicast {
        /// The group, with its interface.
        group: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// A host name that does not resolve.
    #[error("cannot resolve {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
}

/// The reason in a person's words; raw texts of the operating system leave the user without a hint.
fn reason(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => "the port is in use".into(),
        io::ErrorKind::PermissionDenied => "no permission (ports below 1024 need root)".into(),
        io::ErrorKind::AddrNotAvailable => "this host does not have that address".into(),
        _ => source.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::Ppid;

    // Checklist 40.
    #[test]
    fn application_data_never_has_the_identifier_of_the_control_channel() {
        assert_eq!(Ppid(11).of_data(), Ppid(0));
        for other in [0, 10, 12, 33, u32::MAX] {
            assert_eq!(Ppid(other).of_data(), Ppid(other));
        }
    }
}
