//! What a transport, or the system below it, refuses.

use std::io;

use rserpool_transport as transport;

/// What a transport, or the system below it, has refused. Nothing is open then.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[error("{text}")]
pub struct TransportError {
    kind: TransportErrorKind,
    text: String,
}

/// Kinds of [`TransportError`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// Something else listens there.
    AddressInUse,
    /// This host does not have the address to listen at.
    AddressNotHere,
    /// The system does not allow it; ports below 1024 need more rights.
    NotPermitted,
    /// This host, or this library, does not have the transport.
    Unsupported,
    /// A host name has no address.
    UnknownHost,
    /// A multicast group cannot be used.
    Multicast,
    /// There are as many associations as there may be.
    TooMany,
    /// Anything else that the system says.
    System,
}

impl TransportError {
    /// What kind it is.
    pub const fn kind(&self) -> TransportErrorKind {
        self.kind
    }

    /// A name for programs: `address-in-use`, `address-not-here`, `not-permitted`, `unsupported`,
    /// `unknown-host`, `multicast`, `too-many-associations` or `system`.
    pub const fn code(&self) -> &'static str {
        match self.kind {
            TransportErrorKind::AddressInUse => "address-in-use",
            TransportErrorKind::AddressNotHere => "address-not-here",
            TransportErrorKind::NotPermitted => "not-permitted",
            TransportErrorKind::Unsupported => "unsupported",
            TransportErrorKind::UnknownHost => "unknown-host",
            TransportErrorKind::Multicast => "multicast",
            TransportErrorKind::TooMany => "too-many-associations",
            TransportErrorKind::System => "system",
        }
    }
}

impl From<transport::Error> for TransportError {
    fn from(error: transport::Error) -> Self {
        Self { kind: kind(&error), text: error.to_string() }
    }
}

fn kind(error: &transport::Error) -> TransportErrorKind {
    match error {
        transport::Error::Bind { source, .. } => match source.kind() {
            io::ErrorKind::AddrInUse => TransportErrorKind::AddressInUse,
            io::ErrorKind::AddrNotAvailable => TransportErrorKind::AddressNotHere,
            io::ErrorKind::PermissionDenied => TransportErrorKind::NotPermitted,
            _ => TransportErrorKind::System,
        },
        transport::Error::Unsupported { .. } => TransportErrorKind::Unsupported,
        transport::Error::Resolve { .. } => TransportErrorKind::UnknownHost,
        transport::Error::Multicast { .. } => TransportErrorKind::Multicast,
        transport::Error::Limit(_) => TransportErrorKind::TooMany,
        _ => TransportErrorKind::System,
    }
}
