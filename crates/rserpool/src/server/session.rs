//! One session, as its service sees it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use rserpool_transport::{AssocId, AssocInfo, Backend, Identity, Ppid};
use rserpool_wire::asap::BusinessCard;
use tokio::sync::mpsc;

use super::channel::{Command, Limits, SessionChannels, SessionCommand, SessionEnds, open};
use super::{CookieError, Gone, SendError};

/// What happens in a session.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The client brought the state that its former server handed over last: always before any
    /// message. Where the pool has a key, a server of the pool has written it.
    Resumed(Vec<u8>),
    /// From the client: over SCTP and framed TCP a message, over UDP a datagram, over plain TCP
    /// whatever was there.
    Message {
        /// The payload protocol identifier; 0 over plain TCP and UDP.
        ppid: Ppid,
        /// The octets.
        octets: Vec<u8>,
    },
    /// The client is itself a pool element: where it is found when it fails (RFC 5352 §3.6).
    Card(BusinessCard),
    /// The element leaves: finish soon, or hand the session over with a last cookie and return.
    Draining,
}

/// One session at its server: what a [`Service`](super::Service) is given. Dropping it ends the
/// session in good order; [`abort`](Self::abort) as a crash would. See [`Server`](super::Server) for
/// an example.
pub struct Session {
    assoc: AssocId,
    info: AssocInfo,
    limits: Limits,
    ends: SessionEnds,
    commands: mpsc::UnboundedSender<Command>,
    ending: Ending,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Ending {
    InGoodOrder,
    AtOnce,
}

impl Session {
    pub(super) fn new(
        assoc: AssocId,
        info: AssocInfo,
        limits: Limits,
        commands: mpsc::UnboundedSender<Command>,
    ) -> (Self, SessionChannels) {
        let (channels, ends) = open(limits.sizes);
        let ending = Ending::InGoodOrder;
        (Self { assoc, info, limits, ends, commands, ending }, channels)
    }

    /// Waits for what happens next; `None` where the client is gone.
    ///
    /// A client whose messages are not taken is slowed down over TCP, when
    /// [`Config::unread_max`](field@super::Config::unread_max) octets wait; it goes on to be told that
    /// the server lives. Where nothing at all is taken for
    /// [`Config::stall_timeout`](field@super::Config::stall_timeout) the session is ended. Over SCTP
    /// one socket has the messages of all clients, and UDP slows nobody down: there a client is cut
    /// off when [`Config::unread_limit`](field@super::Config::unread_limit) octets wait, and a service that takes its time gives its clients leave to send, as
    /// the credit of `rserpool serve exec` does.
    ///
    /// # Cancel safety
    ///
    /// Cancelling loses nothing.
    ///
    /// # Panics
    ///
    /// Never.
    pub async fn next(&mut self) -> Option<Event> {
        let (event, cost) = self.ends.events.recv().await?;
        if self.ends.took(cost) {
            let _ = self.command(SessionCommand::ReadOn);
        }
        Some(event)
    }

    /// Sends octets, over SCTP as one message; waits while the client takes less than is sent.
    ///
    /// # Errors
    ///
    /// [`SendError`]; whatever it is, nothing was sent.
    ///
    /// # Cancel safety
    ///
    /// Cancelling sends nothing.
    ///
    /// # Panics
    ///
    /// Never.
    pub async fn send(&self, ppid: Ppid, octets: &[u8]) -> Result<(), SendError> {
        if octets.is_empty() {
            return Err(SendError::Empty);
        }
        if let Some(octets_max) = self.limits.message_max.filter(|&max| octets.len() > max) {
            return Err(SendError::TooLong { octets: octets.len(), octets_max });
        }
        self.wait_for_room(octets.len()).await?;
        // Checklist 40.
        Ok(self.command(SessionCommand::Send(ppid.of_data(), octets.to_vec()))?)
    }

    /// Hands over the state of the session to whatever server comes after this one: sealed with the
    /// pool's key where there is one, before everything that is sent later (RFC 5352 §3.5). Without
    /// a control channel it is dropped.
    ///
    /// # Errors
    ///
    /// - [`CookieError::Gone`].
    /// - [`CookieError::TooLong`]: over [`Cookies::state_max`](super::Cookies::state_max), some 64 900 octets.
    ///
    /// # Cancel safety
    ///
    /// Cancelling sends nothing.
    ///
    /// # Panics
    ///
    /// Never.
    pub async fn send_cookie(&self, state: &[u8]) -> Result<(), CookieError> {
        let (Some(octets_max), octets) = (self.limits.state_max, state.len()) else {
            return Ok(());
        };
        if octets > octets_max {
            return Err(CookieError::TooLong { octets, octets_max });
        }
        self.wait_for_room(octets).await?;
        Ok(self.command(SessionCommand::Cookie(state.to_vec()))?)
    }

    /// Has the registrar told what [`load_report`](super::Service::load_report) says now.
    pub fn load_changed(&self) {
        let _ = self.commands.send(Command::LoadReport);
    }

    /// What carries the session.
    pub fn backend(&self) -> Backend {
        self.info.backend
    }

    /// Where the client is, as its transport tells it: no proof of who it is.
    pub fn client(&self) -> Option<IpAddr> {
        self.info.remote.first().copied()
    }

    /// The same with its port, for the log.
    pub fn client_address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.client()?, self.info.remote_port))
    }

    /// Who the client has proved to be, over TLS.
    pub fn identity(&self) -> Option<&Identity> {
        self.info.identity.as_ref()
    }

    /// True where cookies can be sent.
    pub fn has_control_channel(&self) -> bool {
        self.limits.state_max.is_some()
    }

    /// Ends the session at once, as a crash would.
    pub fn abort(mut self) {
        self.ending = Ending::AtOnce;
    }

    /// What is taken here is given back when the transport has taken the message.
    async fn wait_for_room(&self, octets: usize) -> Result<(), Gone> {
        let permits = u32::try_from(self.limits.sizes.room_for(octets)).unwrap_or(u32::MAX);
        self.ends.room.acquire_many(permits).await.map_err(|_| Gone)?.forget();
        Ok(())
    }

    fn command(&self, what: SessionCommand) -> Result<(), Gone> {
        self.commands.send(Command::Of(self.assoc, what)).map_err(|_| Gone)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("client", &self.client()).finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let at_once = self.ending == Ending::AtOnce || std::thread::panicking();
        let _ = self.command(if at_once { SessionCommand::Abort } else { SessionCommand::Close });
    }
}
