//! All the endpoints of one node as one: listens at several URLs, dials any scheme.

use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::address::{Address, Scheme};
use crate::endpoint::{
    AssocId, Counters, Endpoint, Error, Event, Local, Options, Ppid, Remote, SendError,
};
use crate::sctp::SctpEndpoint;
use crate::tcp::{Framing, TcpEndpoint};
use crate::udp::UdpEndpoint;
use crate::userland::UserlandEndpoint;

/// The endpoints of one node, with one stream of events.
///
/// Each endpoint speaks one protocol, named by its [`Framing`]; SCTP frames by itself, but there the
/// framing still says what a port is for. [`speaks`](Self::speaks) tells it for any association, so
/// that a node knows whether a peer came to its ASAP or its ENRP port.
///
/// A dial goes out of a listening endpoint that speaks the same and can reach the peer: so SCTP
/// associations come from the port that the node listens at. Only where there is none, one is opened
/// for dialing.
///
/// Dropping the set drops all its associations.
pub struct Endpoints {
    options: Options,
    members: Vec<Member>,
    /// The member that is polled first, for fairness.
    first: usize,
}

struct Member {
    endpoint: Box<dyn Endpoint>,
    speaks: Framing,
    /// What a member that was opened for dialing dials; `None` for one that listens.
    dials: Option<Scheme>,
}

/// Associations are named within their endpoint; the member's number stands above that name.
const MEMBER_SHIFT: u32 = 48;

impl Endpoints {
    /// A set without endpoints; each that is opened gets these options.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, members: Vec::new(), first: 0 }
    }

    /// Whether this node has keys, for `tls://`.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.options.tls.is_some()
    }

    /// Listens at `url`. Dials to peers that speak the same go out of there, where they can.
    ///
    /// A name in `url` is looked up on the spot, which may block.
    ///
    /// # Errors
    ///
    /// - [`Error::Bind`] where the port is taken or the address not ours.
    /// - [`Error::Resolve`] for a name without address.
    /// - [`Error::Unsupported`] where the URL asks for the kernel's SCTP and there is none.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with IO and time enabled.
    pub fn listen(&mut self, url: &Address, speaks: Framing) -> Result<Local, Error> {
        let endpoint: Box<dyn Endpoint> = match url.scheme {
            Scheme::Sctp => Box::new(SctpEndpoint::bind(url, &self.options)?),
            Scheme::KernelSctp => listen_in_kernel(url, &self.options)?,
            Scheme::UserlandSctp => Box::new(UserlandEndpoint::bind(url, &self.options)?),
            Scheme::Tcp | Scheme::Tls => Box::new(TcpEndpoint::bind(url, speaks, &self.options)?),
            Scheme::Udp => Box::new(UdpEndpoint::bind(url, &self.options)?),
        };
        let local = endpoint.local();
        self.add(endpoint, speaks);
        Ok(local)
    }

    /// Adds an endpoint that is open already, such as one of a
    /// [`MemoryNetwork`](crate::MemoryNetwork).
    pub fn add(&mut self, endpoint: Box<dyn Endpoint>, speaks: Framing) {
        self.members.push(Member { endpoint, speaks, dials: None });
    }

    /// Starts an association to a peer that speaks `speaks`; see [`Endpoint::connect`].
    ///
    /// # Errors
    ///
    /// Nothing was started.
    ///
    /// - [`Error::Connected`] with the association that there is.
    /// - [`Error::Unsupported`] where nothing here can reach such an address.
    /// - [`Error::Limit`], and [`Error::Bind`] where no port to dial from is to be had.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with IO and time enabled.
    pub fn connect(&mut self, remote: &Remote, speaks: Framing) -> Result<AssocId, Error> {
        for (index, member) in self.members.iter_mut().enumerate() {
            if !member.may_reach(remote.scheme, speaks) {
                continue;
            }
            match member.endpoint.connect(remote) {
                // Bound to another IP version, say.
                Err(Error::Unsupported { .. }) if member.dials.is_none() => {}
                started => return renamed(index, started),
            }
        }
        let mut endpoint = dialer(remote.scheme, speaks, &self.options)?;
        let inner = endpoint.connect(remote)?;
        self.members.push(Member { endpoint, speaks, dials: Some(remote.scheme) });
        Ok(name(self.members.len() - 1, inner))
    }

    /// Queues one message; see [`Endpoint::send`].
    ///
    /// # Errors
    ///
    /// Nothing was queued; see [`SendError`].
    pub fn send(&mut self, assoc: AssocId, ppid: Ppid, octets: &[u8]) -> Result<(), SendError> {
        let (member, inner) = self.member_mut(assoc).ok_or(SendError::Gone)?;
        member.endpoint.send(inner, ppid, octets)
    }

    /// Ends an association after what is queued was delivered; see [`Endpoint::close`].
    pub fn close(&mut self, assoc: AssocId) {
        if let Some((member, inner)) = self.member_mut(assoc) {
            member.endpoint.close(inner);
        }
    }

    /// Ends an association now, without an event; see [`Endpoint::abort`].
    pub fn abort(&mut self, assoc: AssocId) {
        if let Some((member, inner)) = self.member_mut(assoc) {
            member.endpoint.abort(inner);
        }
    }

    /// Takes no more messages of an association; see [`Endpoint::pause_reading`]. False where that
    /// cannot be done for this one alone.
    pub fn pause_reading(&mut self, assoc: AssocId) -> bool {
        let member = self.member_mut(assoc);
        member.is_some_and(|(member, inner)| member.endpoint.pause_reading(inner))
    }

    /// Goes on after [`pause_reading`](Self::pause_reading).
    pub fn resume_reading(&mut self, assoc: AssocId) {
        if let Some((member, inner)) = self.member_mut(assoc) {
            member.endpoint.resume_reading(inner);
        }
    }

    /// Writes what is queued everywhere and returns the next event of any endpoint.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let count = self.members.len();
        for index in (self.first..count).chain(0..self.first) {
            if let Poll::Ready(event) = self.members[index].endpoint.poll_event(cx) {
                // The next one is first then, so that a busy endpoint starves nobody.
                self.first = (index + 1) % count;
                return Poll::Ready(renamed_event(index, event));
            }
        }
        Poll::Pending
    }

    /// False where no endpoint knows of more events; see [`Endpoint::has_more`].
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.members.iter().any(|member| member.endpoint.has_more())
    }

    /// The next event. Without endpoints there is none, ever.
    ///
    /// # Cancel safety
    ///
    /// Cancelling loses nothing.
    pub async fn next(&mut self) -> Event {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// What is spoken on an association; `None` for a name that no endpoint gave.
    #[must_use]
    pub fn speaks(&self, assoc: AssocId) -> Option<Framing> {
        self.members.get(index(assoc)).map(|member| member.speaks)
    }

    /// Where this node listens, in the order in which it was asked to.
    #[must_use]
    pub fn locals(&self) -> Vec<Local> {
        let listening = self.members.iter().filter(|member| member.dials.is_none());
        let locals = listening.map(|member| member.endpoint.local());
        locals.filter(|local| !local.addresses.is_empty()).collect()
    }

    /// How often the endpoints refused something, together.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let each = self.members.iter().map(|member| member.endpoint.counters());
        each.fold(Counters::default(), |sum, one| sum + one)
    }

    /// Octets that wait in all queues of the endpoints, in either direction.
    #[must_use]
    pub fn queued_octets(&self) -> usize {
        self.members.iter().map(|member| member.endpoint.queued_octets()).sum()
    }

    fn member_mut(&mut self, assoc: AssocId) -> Option<(&mut Member, AssocId)> {
        let member = self.members.get_mut(index(assoc))?;
        Some((member, AssocId(assoc.0 & ((1 << MEMBER_SHIFT) - 1))))
    }
}

impl Member {
    fn may_reach(&self, scheme: Scheme, speaks: Framing) -> bool {
        if self.speaks != speaks {
            return false;
        }
        // One for dialing is for its own scheme: userland alone is not all of sctp://.
        if let Some(dials) = self.dials {
            return dials == scheme;
        }
        // One that listens is taken even if it knows one way only: peers know its port.
        match self.endpoint.local().url.scheme {
            Scheme::Sctp => !matches!(scheme, Scheme::Tcp | Scheme::Tls | Scheme::Udp),
            Scheme::KernelSctp => matches!(scheme, Scheme::Sctp | Scheme::KernelSctp),
            Scheme::UserlandSctp => matches!(scheme, Scheme::Sctp | Scheme::UserlandSctp),
            own @ (Scheme::Tcp | Scheme::Tls) => scheme == own,
            // A listener's socket is not told of ICMP errors.
            Scheme::Udp => false,
        }
    }
}

fn index(assoc: AssocId) -> usize {
    usize::try_from(assoc.0 >> MEMBER_SHIFT).unwrap_or(usize::MAX)
}

/// The name within the set. Endpoints count their associations from 1, so that no name reaches the
/// member's number in the life of a process.
fn name(index: usize, inner: AssocId) -> AssocId {
    AssocId((index as u64) << MEMBER_SHIFT | inner.0)
}

fn renamed(index: usize, started: Result<AssocId, Error>) -> Result<AssocId, Error> {
    match started {
        Ok(inner) => Ok(name(index, inner)),
        Err(Error::Connected(inner)) => Err(Error::Connected(name(index, inner))),
        Err(error) => Err(error),
    }
}

fn renamed_event(index: usize, mut event: Event) -> Event {
    match &mut event {
        Event::Up { assoc, .. }
        | Event::Down { assoc, .. }
        | Event::Message { assoc, .. }
        | Event::Addresses { assoc, .. }
        | Event::Path { assoc, .. }
        | Event::Congested { assoc }
        | Event::Drained { assoc } => *assoc = name(index, *assoc),
    }
    event
}

fn dialer(scheme: Scheme, speaks: Framing, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
    Ok(match scheme {
        Scheme::Sctp => Box::new(SctpEndpoint::dialer(options)?),
        Scheme::KernelSctp => dial_in_kernel(options)?,
        Scheme::UserlandSctp => Box::new(UserlandEndpoint::dialer(options)?),
        Scheme::Tcp => Box::new(TcpEndpoint::dialer(speaks, options)),
        Scheme::Tls => Box::new(TcpEndpoint::tls_dialer(speaks, options)?),
        Scheme::Udp => Box::new(UdpEndpoint::dialer(options)),
    })
}

#[cfg(target_os = "linux")]
fn listen_in_kernel(url: &Address, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
    Ok(Box::new(crate::kernel::KernelEndpoint::bind(url, options)?))
}

#[cfg(target_os = "linux")]
fn dial_in_kernel(options: &Options) -> Result<Box<dyn Endpoint>, Error> {
    Ok(Box::new(crate::kernel::KernelEndpoint::dialer(options)?))
}

#[cfg(not(target_os = "linux"))]
fn listen_in_kernel(_: &Address, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
    dial_in_kernel(options)
}

#[cfg(not(target_os = "linux"))]
fn dial_in_kernel(_: &Options) -> Result<Box<dyn Endpoint>, Error> {
    let why = "SCTP of the kernel is used on Linux only".into();
    Err(Error::Unsupported { what: "kernel SCTP", why })
}
