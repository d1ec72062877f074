//! The octets of a connection: as they are, or in TLS.

use std::io::{self, BufRead as _, IoSlice, Write as _};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use crate::endpoint::DownReason;
use crate::tls::{Checked, Config, Expected, Identity, IdentityError, Shown, Side, judgement};

/// Octets that TLS takes at once: what it has taken and the peer has not counts as waiting.
const WRITE_MAX: usize = 32 << 10;

/// A connected stream.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

/// A stream in TLS, after its handshake.
pub(super) struct TlsStream {
    pub(super) socket: TcpStream,
    pub(super) connection: rustls::Connection,
    pub(super) identity: Identity,
    pub(super) form: (Side, Shown),
    pub(super) wanted: Option<Wanted>,
    /// Octets that were encrypted and are not written yet.
    unsent: usize,
    said_goodbye: bool,
}

/// Who was dialed.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) expected: Expected,
    pub(super) ip: IpAddr,
}

impl Stream {
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.socket,
        }
    }

    /// Who the peer has proved to be.
    pub(super) fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => Some(&tls.identity),
        }
    }

    /// Reads once, through `scratch`, and hands over what there is. False at the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        mut take: impl FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        match self {
            Self::Plain(socket) => {
                let mut buffer = ReadBuf::new(scratch);
                ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
                let octets = buffer.filled();
                if !octets.is_empty() {
                    take(octets);
                }
                Poll::Ready(Ok(!octets.is_empty()))
            }
            Self::Tls(tls) => tls.poll_read(cx, scratch, take),
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, octets),
            Self::Tls(tls) => tls.poll_write(cx, octets),
        }
    }

    /// Ready when everything that was taken is with the system.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => tls.poll_flush(cx),
        }
    }

    /// Tells the peer that nothing more comes.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(tls) => {
                if !std::mem::replace(&mut tls.said_goodbye, true) {
                    tls.connection.send_close_notify();
                }
                ready!(tls.poll_flush(cx))?;
                Pin::new(&mut tls.socket).poll_shutdown(cx)
            }
        }
    }

    /// Tells the peer, who has ended it, that this end has heard so, where that takes words.
    pub(super) fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        if let Self::Tls(_) = self {
            // It does not wait: what else is there is a reset.
            let _ = self.poll_shutdown(cx);
        }
    }

    /// Octets that were taken and are not with the system yet.
    pub(super) fn unsent(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(tls) => tls.unsent,
        }
    }

    /// Whether the peer is still trusted.
    pub(super) fn check(&self, config: &Config) -> Result<(), IdentityError> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.identify(config).map(drop),
        }
    }
}

impl TlsStream {
    pub(super) fn new(
        socket: TcpStream,
        connection: rustls::Connection,
        identity: Identity,
        form: (Side, Shown),
        wanted: Option<Wanted>,
    ) -> Self {
        let (unsent, said_goodbye) = (0, false);
        Self { socket, connection, identity, form, wanted, unsent, said_goodbye }
    }

    /// Who the peer is, by other trust than that of the handshake.
    fn identify(&self, config: &Config) -> Result<Identity, IdentityError> {
        let wanted = self.wanted.as_ref().map(|wanted| (&wanted.expected, wanted.ip));
        let certificates: &[CertificateDer<'static>] =
            self.connection.peer_certificates().unwrap_or_default();
        config.identify(self.form, certificates, wanted, Checked::ByOthers)
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        mut take: impl FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        // What came with the end of the handshake.
        if let Some(goes_on) = self.deliver(&mut take)? {
            return Poll::Ready(Ok(goes_on));
        }
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        let mut octets = buffer.filled();
        if octets.is_empty() {
            // Who cuts the connection need not be who has the keys to it.
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let mut outcome = None;
        while !octets.is_empty() {
            let fed = feed(&mut self.connection, &mut octets);
            if let Err(error) = fed {
                // The peer is told what was wrong.
                let _ = self.poll_flush(cx);
                return Poll::Ready(Err(io::Error::other(error)));
            }
            match self.deliver(&mut take)? {
                Some(false) => return Poll::Ready(Ok(outcome.unwrap_or(false))),
                delivered => outcome = outcome.or(delivered),
            }
        }
        if self.connection.wants_write() {
            let _ = self.poll_flush(cx);
        }
        match outcome {
            Some(goes_on) => Poll::Ready(Ok(goes_on)),
            None => {
                // Tickets, or part of a record: others have their turn before more is read.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Hands over what was decrypted: whether there was any, or that the peer has said goodbye.
    fn deliver(&mut self, take: &mut impl FnMut(&[u8])) -> io::Result<Option<bool>> {
        let mut reader = self.connection.reader();
        let mut outcome = None;
        loop {
            let len = match reader.fill_buf() {
                Ok([]) => return Ok(outcome.or(Some(false))),
                Ok(octets) => {
                    take(octets);
                    octets.len()
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(outcome),
                Err(error) => return Err(error),
            };
            reader.consume(len);
            outcome = Some(true);
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let len = self.connection.writer().write(&octets[..octets.len().min(WRITE_MAX)])?;
        self.unsent += len;
        match self.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(len)),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(poll_write_tls(&mut self.socket, &mut self.connection, cx))?;
        self.unsent = 0;
        Poll::Ready(Ok(()))
    }
}

/// Gives TLS some of the octets that arrived. What follows the peer's goodbye is ignored (RFC 8446
/// §6.1).
pub(super) fn feed(
    connection: &mut rustls::Connection,
    octets: &mut &[u8],
) -> Result<(), rustls::Error> {
    // Only a full buffer is refused, and what was decrypted is taken each time.
    match connection.read_tls(octets) {
        Ok(0) => *octets = &[],
        Ok(_) => {}
        Err(_) => return Err(rustls::Error::General("more than is taken".into())),
    }
    connection.process_new_packets().map(drop)
}

/// Writes what TLS has to write. Ready when that is all.
pub(super) fn poll_write_tls(
    socket: &mut TcpStream,
    connection: &mut rustls::Connection,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while connection.wants_write() {
        match connection.write_tls(&mut Writer { socket, cx }) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Ok(()))
}

/// A socket that does not wait; the task is woken when it is worth another try.
pub(super) struct Writer<'a, 'b> {
    pub(super) socket: &'a mut TcpStream,
    pub(super) cx: &'a mut Context<'b>,
}

impl io::Write for Writer<'_, '_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        at_once(Pin::new(&mut *self.socket).poll_write(self.cx, octets))
    }

    fn write_vectored(&mut self, octets: &[IoSlice<'_>]) -> io::Result<usize> {
        at_once(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, octets))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn at_once<T>(result: Poll<io::Result<T>>) -> io::Result<T> {
    match result {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Why TLS ends a connection.
pub(super) fn tls_reason(error: &rustls::Error) -> DownReason {
    use rustls::AlertDescription as Alert;
    use rustls::{Error, InvalidMessage};
    if let Some(error) = judgement(error) {
        return DownReason::Identity(error);
    }
    match error {
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => DownReason::NotTls,
        Error::AlertReceived(
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::DecryptError
            | Alert::AccessDenied,
        ) => DownReason::Untrusted,
        _ => DownReason::Tls,
    }
}
