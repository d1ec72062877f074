//! TLS handshakes: of peers that come, and of those that are dialed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::future::Future as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::HandshakeKind;
use rustls::server::Acceptor;
use socket2::SockRef;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection::reason;
use super::stream::{Stream, TlsStream, Wanted, Writer, feed, poll_write_tls, tls_reason};
use crate::endpoint::{AssocId, DownReason};
use crate::tls::{Checked, Config, Identity, Shown, Side};

/// A connection whose TLS handshake goes on.
pub(super) struct Handshake {
    socket: TcpStream,
    config: Arc<Config>,
    phase: Phase,
    /// Who was dialed; `None` for who came.
    wanted: Option<Wanted>,
    /// Who it is, once it is done.
    identity: Option<(Identity, (Side, Shown))>,
    pub(super) deadline: Instant,
}

/// What was said so far; without the socket.
pub(super) enum Phase {
    /// Nothing whole has come yet.
    Hello(Box<Acceptor>),
    Running(Box<rustls::Connection>, Shown),
    /// Over for who came: it reads what it was told, which a reset would take from it.
    Refused,
}

/// What came of a handshake.
pub(super) enum Progress {
    /// It is done.
    Done,
    Failed(Failure),
    /// Who was refused is gone.
    Over,
}

/// Why a handshake failed.
pub(super) struct Failure {
    pub(super) reason: DownReason,
    /// In detail, for the log.
    pub(super) detail: String,
}

impl Handshake {
    /// With who came.
    pub(super) fn accept(socket: TcpStream, config: Arc<Config>, deadline: Instant) -> Self {
        let phase = Phase::of_client();
        Self { socket, config, phase, wanted: None, identity: None, deadline }
    }

    /// With who was dialed.
    pub(super) fn dial(
        socket: TcpStream,
        config: Arc<Config>,
        wanted: Wanted,
        deadline: Instant,
    ) -> Result<Self, DownReason> {
        let port = socket.peer_addr().map_err(|error| reason(&error))?.port();
        let begun = Phase::of_server(&config, wanted.ip, port);
        let phase = begun.map_err(|error| tls_reason(&error))?;
        Ok(Self { socket, config, phase, wanted: Some(wanted), identity: None, deadline })
    }

    pub(super) fn is_dialed(&self) -> bool {
        self.wanted.is_some()
    }

    /// Where the peer is.
    pub(super) fn remote(&self) -> Option<std::net::SocketAddr> {
        self.socket.peer_addr().ok()
    }

    pub(super) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// True where the peer was told that it is not wanted.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.phase, Phase::Refused)
    }

    /// Goes on as far as it can. After [`Progress::Done`] it is done.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<Progress> {
        loop {
            if let Phase::Running(connection, _) = &mut self.phase {
                let written = poll_write_tls(&mut self.socket, connection, cx);
                if let Poll::Ready(Err(error)) = written {
                    return Poll::Ready(self.fail(reason(&error), error.to_string()));
                }
                if !connection.is_handshaking() {
                    // What the peer says from here on waits until the stream is read.
                    ready!(written.map(drop));
                    return Poll::Ready(self.finish(cx));
                }
            }
            let mut buffer = ReadBuf::new(scratch);
            let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer));
            let octets = buffer.filled();
            match (read, self.is_refused()) {
                (Ok(()), true) if !octets.is_empty() => {}
                (_, true) => return Poll::Ready(Progress::Over),
                (Ok(()), false) if octets.is_empty() => {
                    return Poll::Ready(self.fail(DownReason::Tls, "the peer hung up".into()));
                }
                (Ok(()), false) => {
                    if let Err((error, alert)) = self.phase.arrived(&self.config, octets) {
                        self.tell(cx, alert);
                        return Poll::Ready(self.fail(tls_reason(&error), error.to_string()));
                    }
                }
                (Err(error), false) => {
                    return Poll::Ready(self.fail(reason(&error), error.to_string()));
                }
            }
        }
    }

    /// Tells the peer what is wrong, where the system takes that at once.
    fn tell(&mut self, cx: &mut Context<'_>, alert: Alert) {
        // It does not wait: who takes nothing is told nothing.
        if let Some(mut alert) = alert {
            let _ = alert.write_all(&mut Writer { socket: &mut self.socket, cx });
        }
        if let Phase::Running(connection, _) = &mut self.phase {
            let _ = poll_write_tls(&mut self.socket, connection, cx);
        }
    }

    fn fail(&mut self, reason: DownReason, detail: String) -> Progress {
        let _ = SockRef::from(&self.socket).shutdown(std::net::Shutdown::Write);
        self.phase = Phase::Refused;
        Progress::Failed(Failure { reason, detail })
    }

    /// Who is it?
    fn finish(&mut self, cx: &mut Context<'_>) -> Progress {
        let Phase::Running(connection, shown) = &mut self.phase else { return Progress::Over };
        let form = (if self.wanted.is_some() { Side::Server } else { Side::Client }, *shown);
        let wanted = self.wanted.as_ref().map(|wanted| (&wanted.expected, wanted.ip));
        let certificates = connection.peer_certificates().unwrap_or_default();
        let checked = match connection.handshake_kind() {
            Some(HandshakeKind::Resumed) => Checked::Earlier,
            _ => Checked::Now,
        };
        match self.config.identify(form, certificates, wanted, checked) {
            Ok(identity) => {
                self.identity = Some((identity, form));
                Progress::Done
            }
            Err(error) => {
                let mut detail = error.to_string();
                if let Some(wanted) = &self.wanted {
                    let shown = self.config.describe(form, certificates);
                    let _ = write!(detail, ": {} was wanted, and it is {shown}", wanted.expected);
                }
                connection.send_close_notify();
                self.tell(cx, None);
                self.fail(DownReason::Identity(error), detail)
            }
        }
    }

    /// The stream, and whether its session is an earlier one; `None` before
    /// [`Progress::Done`].
    pub(super) fn into_stream(self) -> Option<(Stream, bool)> {
        let Self { socket, phase: Phase::Running(connection, _), wanted, identity, .. } = self
        else {
            return None;
        };
        let is_resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let (identity, form) = identity?;
        let tls = TlsStream::new(socket, *connection, identity, form, wanted);
        Some((Stream::Tls(Box::new(tls)), is_resumed))
    }
}

impl Phase {
    /// Of who came.
    pub(super) fn of_client() -> Self {
        Self::Hello(Box::default())
    }

    /// Of who was dialed.
    pub(super) fn of_server(config: &Config, ip: IpAddr, port: u16) -> Result<Self, rustls::Error> {
        let (connection, shown) = config.dial(ip, port)?;
        Ok(Self::Running(Box::new(connection.into()), shown))
    }

    /// Takes octets of the peer.
    pub(super) fn arrived(
        &mut self,
        config: &Config,
        mut octets: &[u8],
    ) -> Result<(), (rustls::Error, Alert)> {
        while !octets.is_empty() {
            match self {
                Self::Hello(acceptor) => {
                    // It takes everything that there is room for.
                    if acceptor.read_tls(&mut octets).is_err() {
                        return Err((rustls::Error::General("too long".into()), None));
                    }
                    match acceptor.accept() {
                        Ok(None) => {}
                        Ok(Some(accepted)) => self.begin(config, accepted)?,
                        Err((error, alert)) => return Err((error, Some(alert))),
                    }
                }
                Self::Running(connection, _) => {
                    feed(connection, &mut octets).map_err(|error| (error, None))?;
                }
                Self::Refused => return Ok(()),
            }
        }
        Ok(())
    }

    fn begin(
        &mut self,
        config: &Config,
        accepted: rustls::server::Accepted,
    ) -> Result<(), (rustls::Error, Alert)> {
        let Some((config, shown)) = config.accept(&accepted.client_hello()) else {
            let why = "the peer wants a certificate, and there is only a key here";
            return Err((rustls::Error::General(why.into()), None));
        };
        let connection =
            accepted.into_connection(config).map_err(|(error, alert)| (error, Some(alert)))?;
        let mut connection = rustls::Connection::from(connection);
        // What came with the beginning.
        let processed = connection.process_new_packets().map(drop);
        *self = Self::Running(Box::new(connection), shown);
        processed.map_err(|error| (error, None))
    }
}

pub(super) type Alert = Option<rustls::server::AcceptedAlert>;

/// The handshakes that an endpoint has not finished.
#[derive(Default)]
pub(super) struct Handshakes {
    deadlines: BTreeSet<(Instant, AssocId)>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Those of peers that came.
    pub(super) accepted: usize,
}

impl Handshakes {
    pub(super) fn add(&mut self, assoc: AssocId, handshake: &Handshake) {
        self.deadlines.insert((handshake.deadline, assoc));
        self.accepted += usize::from(!handshake.is_dialed());
    }

    pub(super) fn remove(&mut self, assoc: AssocId, handshake: &Handshake) {
        self.deadlines.remove(&(handshake.deadline, assoc));
        self.accepted -= usize::from(!handshake.is_dialed());
    }

    /// The next one whose time is over; else the task is woken when that is so.
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>) -> Option<AssocId> {
        let &(due, assoc) = self.deadlines.first()?;
        if due <= Instant::now() {
            return Some(assoc);
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx).is_ready().then_some(assoc)
    }
}
