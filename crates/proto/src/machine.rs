//! The one contract between a state machine and whatever drives it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use rserpool_wire::asap::registration_subject;
use rserpool_wire::param::{Cause, PeId, PoolHandle, Transport};
use rserpool_wire::{DecodeError, Message, Protocol};

use crate::identity::Identity;
use crate::packed_u64::PackedU64;
use crate::time::Time;

/// A protocol state machine without IO, clock or randomness of its own.
///
/// One rule: after every [`handle`](Self::handle), call [`poll`](Self::poll) until it returns
/// `None`, then ask for [`next_timeout`](Self::next_timeout). Several inputs that arrive together
/// may be handled before one drain. Time never runs backwards between two calls. The tokio driver
/// (`rserpool::driver`) and the simulator (`rserpool-sim`) are the two callers, and tests drive a
/// machine in the same way.
pub trait Machine {
    /// What the local application may ask for.
    type Command;
    /// What the local application is told.
    type Event;

    /// Takes one input at `now`.
    fn handle(&mut self, now: Time, input: Input<Self::Command>);

    /// Takes the next thing to do, in order; `None` when there is nothing until the next input.
    fn poll(&mut self) -> Option<Output<Self::Event>>;

    /// When to hand in [`Input::Timeout`] if nothing else happens before.
    fn next_timeout(&self) -> Option<Time>;
}

/// How many inputs drivers hand in at most before they drain outputs: enough that answers to
/// pipelined requests share their way, few enough that even long ones fit into the send queues.
pub const BATCH_MAX: usize = 32;

/// What happens to a machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input<C> {
    /// The application asks for something.
    Command(C),
    /// An association came up: one that the machine asked for, or one that a peer started.
    Up(Peer, Link),
    /// An association is gone, or could not be set up. Never follows the machine's own
    /// [`Output::Close`].
    Down(Peer),
    /// An association that the machine asked for, the first, is there already, as the second: SCTP
    /// has only one between two endpoints (RFC 9260 §1.3). Nothing more is heard of the first.
    Known(Peer, Peer),
    /// A message arrived.
    Message(Peer, Message),
    /// Something arrived that could not be read, or not all of it.
    Malformed(Peer, Malformed),
    /// The peer of an association has other addresses than before (RFC 5061).
    Addresses(Peer, Vec<IpAddr>),
    /// An association has other own addresses than before (RFC 5061).
    OwnAddresses(Peer, Vec<IpAddr>),
    /// More waits to be sent over an association than its peer takes: what can wait should be made
    /// again later, from the newest state, and not be queued now. Messages that are sent all the
    /// same are queued up to the limit of the transport.
    Congested(Peer),
    /// The peer of an association that was [`Congested`](Self::Congested) has taken what waited.
    Drained(Peer),
    /// A message arrived by multicast, from this address.
    Announce(IpAddr, Message),
    /// The time of [`Machine::next_timeout`] has come. An early one does nothing.
    Timeout,
}

/// What a machine wants done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output<E> {
    /// Set up an association; [`Input::Up`], [`Input::Down`] or [`Input::Known`] with the same name
    /// tells the outcome.
    Connect(Peer, Target, Protocol),
    /// Send a message.
    Send(Peer, Message),
    /// Send a message that is encoded already.
    SendEncoded(Peer, Protocol, Vec<u8>),
    /// Send one message to each of these.
    GroupCast(Vec<Peer>, Message),
    /// End an association once what was sent is delivered; nothing more is heard of it.
    Close(Peer),
    /// End an association at once; nothing more is heard of it.
    Abort(Peer),
    /// Send a message by multicast.
    Announce(Message),
    /// Tell the application.
    Event(E),
}

impl<E> Output<E> {
    /// The same with a message in place of its octets: for who looks at outputs.
    ///
    /// # Errors
    ///
    /// What is wrong with octets that a machine encoded: never in any that is right.
    pub fn legible(self) -> Result<Self, DecodeError> {
        Ok(match self {
            Self::SendEncoded(peer, protocol, octets) => {
                Self::Send(peer, Message::decode(protocol, &octets)?.message)
            }
            other => other,
        })
    }
}

/// The name of one association between a machine and its driver; never used twice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Peer(PackedU64);

impl Peer {
    const DIALED: u64 = 1 << 63;

    /// The `number`th association that a machine asks for. Below 2⁶³.
    pub const fn dialed(number: u64) -> Self {
        Self(PackedU64::new(number | Self::DIALED))
    }

    /// The `number`th association that a driver accepted. Below 2⁶³.
    pub const fn accepted(number: u64) -> Self {
        Self(PackedU64::new(number & !Self::DIALED))
    }

    /// True for an association that a machine asked for.
    pub const fn is_dialed(self) -> bool {
        self.0.get() & Self::DIALED != 0
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.get() & !Self::DIALED;
        write!(f, "{}-{number}", if self.is_dialed() { "dialed" } else { "accepted" })
    }
}

impl Hash for Peer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.get());
    }
}

/// What to set up an association to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Target {
    /// The registrar of this number in the list that the application gave its driver.
    Configured(usize),
    /// A transport that was learned from the wire. A machine asks only for SCTP and TCP.
    Learned(Transport),
}

/// The ends of an association.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Link {
    /// The protocol of the port that it goes to.
    pub protocol: Protocol,
    /// What it runs over.
    pub carrier: Carrier,
    /// All addresses of the peer.
    pub remote: Vec<IpAddr>,
    /// The peer's port.
    pub remote_port: u16,
    /// All own addresses, as far as the transport knows them.
    pub local: Vec<IpAddr>,
    /// Who the peer has proved to be, over TLS; `None` where nothing was proved.
    pub identity: Option<Identity>,
}

impl Link {
    /// An association between these ends. Nobody has proved anything, and no own address is known.
    #[must_use]
    pub fn new(
        protocol: Protocol,
        carrier: Carrier,
        remote: Vec<IpAddr>,
        remote_port: u16,
    ) -> Self {
        Self { protocol, carrier, remote, remote_port, local: Vec::new(), identity: None }
    }

    /// With these own addresses.
    #[must_use]
    pub fn local(mut self, local: Vec<IpAddr>) -> Self {
        self.local = local;
        self
    }

    /// Whom to charge for what comes over this association; `None` where the transport knows no
    /// address of the peer.
    pub fn source(&self) -> Option<Source> {
        self.remote.first().copied().map(Source::of)
    }

    /// Who the peer has proved to be.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Where the peer is, for people: its first address and its port.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote.first().map(|&ip| SocketAddr::new(ip, self.remote_port))
    }
}

/// Whom quotas are counted for where nobody has proved who he is: an IPv4 address, or the /64
/// network of an IPv6 address, for one host may use all addresses of that.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Source(IpAddr);

impl Source {
    /// The source that an address belongs to.
    pub fn of(address: IpAddr) -> Self {
        const HOST: u128 = u64::MAX as u128;
        Self(match address.to_canonical() {
            IpAddr::V6(ip) if !ip.is_loopback() => IpAddr::V6((ip.to_bits() & !HOST).into()),
            ip => ip,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V6(ip) if !ip.is_loopback() => write!(f, "{ip}/64"),
            ip => write!(f, "{ip}"),
        }
    }
}

/// What an association runs over, as far as the protocols care.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Carrier {
    /// SCTP.
    Sctp,
    /// TCP: our extension but for handle resolution (RFC 5352 §2.1).
    Tcp,
}

/// What could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Malformed {
    /// The protocol that it claimed to be.
    pub protocol: Protocol,
    /// What is wrong; `None` where a message was read, and only parameters of it skipped.
    pub error: Option<DecodeError>,
    /// The type of the message, if it had one.
    pub message_type: Option<u8>,
    /// Whom a registration was about, as far as it could be read.
    pub subject: Option<(PoolHandle, PeId)>,
    /// What the RFCs want reported to the sender; may be empty.
    pub causes: Vec<Cause>,
}

/// Reads what arrived: one input, two where a message was read and something in it is to be
/// reported, too.
pub fn read<C>(peer: Peer, protocol: Protocol, octets: &[u8]) -> (Input<C>, Option<Input<C>>) {
    let malformed = |error: Option<DecodeError>, subject, causes| {
        let message_type = octets.first().copied();
        Input::Malformed(peer, Malformed { protocol, error, message_type, subject, causes })
    };
    match Message::decode(protocol, octets) {
        Ok(decoded) => {
            let causes = decoded.reports(octets);
            let report = (!causes.is_empty()).then(|| malformed(None, None, causes));
            (Input::Message(peer, decoded.message), report)
        }
        Err(error) => {
            let subject = match protocol {
                Protocol::Asap => registration_subject(octets),
                Protocol::Enrp => None,
            };
            let causes = error.cause(octets).into_iter().collect();
            (malformed(Some(error), subject, causes), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_network() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8::1").to_string(), "2001:db8::/64");
        assert_eq!(of("::1").to_string(), "::1");
    }
}
