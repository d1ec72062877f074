//! Whether a certificate or a raw public key is trusted.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate as Verifiable, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::Pin;
use super::config::provider;
use super::identity::{Expected, Identity, IdentityError, ParsedCertificate, Role};

/// Whom a node trusts.
#[derive(Debug)]
pub(super) struct Trust {
    roots: Arc<RootCertStore>,
    pins: Vec<Pin>,
    /// For clients with certificates; `None` where there is no authority.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    subjects: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// What a peer shows: certificates, or a raw public key (RFC 7250).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shown {
    Certificates,
    RawKey,
}

/// When what a peer shows was checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Checked {
    /// In this handshake.
    Now,
    /// In an earlier one, by this trust: this one resumes its session.
    Earlier,
    /// By other trust, or never.
    ByOthers,
}

/// Which end of the TLS connection a peer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Trust {
    pub(super) fn new(roots: Arc<RootCertStore>, pins: Vec<Pin>) -> Self {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider());
        // Without an authority there is nobody whose certificates it could check.
        let clients = if roots.is_empty() { None } else { builder.build().ok() };
        let algorithms = provider().signature_verification_algorithms;
        let subjects = roots.subjects();
        Self { roots, pins, clients, subjects, algorithms }
    }

    /// What servers are asked to show: certificates where there is an authority.
    pub(super) fn wanted_of_servers(&self) -> Shown {
        if self.roots.is_empty() { Shown::RawKey } else { Shown::Certificates }
    }

    /// For what a key is pinned; `None` where it is not, nothing where it may be anything.
    fn pinned(&self, key: &[u8; 32]) -> Option<Vec<Role>> {
        let mut pins = self.pins.iter().filter(|pin| pin.key == *key).peekable();
        pins.peek()?;
        Some(pins.map(|pin| pin.role).collect::<Option<_>>().unwrap_or_default())
    }

    /// Checks what a peer shows, but not whose it is.
    fn check(
        &self,
        side: Side,
        shown: Shown,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if shown == Shown::RawKey {
            let key = super::identity::digest(end_entity);
            return self.pinned(&key).map(drop).ok_or_else(|| refusal(IdentityError::NotPinned));
        }
        let verifiable = Verifiable::try_from(end_entity)?;
        let key = super::identity::digest(&verifiable.subject_public_key_info());
        if self.pinned(&key).is_some() {
            return Ok(());
        }
        match (side, &self.clients) {
            (_, None) => Err(refusal(IdentityError::NotPinned)),
            (Side::Client, Some(clients)) => {
                clients.verify_client_cert(end_entity, intermediates, now).map(drop)
            }
            (Side::Server, Some(_)) => verify_server_cert_signed_by_trust_anchor(
                &verifiable,
                &self.roots,
                intermediates,
                now,
                self.algorithms.all,
            ),
        }
    }

    /// Who a peer says that it is.
    pub(super) fn describe(&self, shown: Shown, certificates: &[CertificateDer<'_>]) -> String {
        let identity = certificates.first().and_then(|it| identity(shown, it).ok());
        identity.map_or_else(|| "nobody".into(), |identity| identity.to_string())
    }

    /// Who a peer is that has shown this and holds the key to it.
    ///
    /// # Errors
    ///
    /// It is not, or not any more, to be trusted, or is not the one that is wanted.
    pub(super) fn identify(
        &self,
        (side, shown): (Side, Shown),
        certificates: &[CertificateDer<'static>],
        wanted: Option<(&Expected, IpAddr)>,
        checked: Checked,
    ) -> Result<Identity, IdentityError> {
        let (end_entity, intermediates) =
            certificates.split_first().ok_or(IdentityError::Missing)?;
        let identity = identity(shown, end_entity)?;
        // The end entity's end is looked at below, and trust that has changed has other tickets.
        let is_checked = match checked {
            Checked::Now => true,
            Checked::Earlier => intermediates.is_empty(),
            Checked::ByOthers => false,
        };
        if !is_checked {
            self.check(side, shown, end_entity, intermediates, UnixTime::now())
                .map_err(|error| judgement(&error).unwrap_or(IdentityError::Unusable))?;
        }
        if let Some(roles) = self.pinned(identity.key()) {
            let wants_other = wanted
                .and_then(|(wanted, _)| wanted.role)
                .is_some_and(|wanted| !roles.is_empty() && !roles.contains(&wanted));
            let pinned = identity.pinned(&roles);
            return if wants_other { Err(IdentityError::WrongRole) } else { Ok(pinned) };
        }
        // A resumed session brings the certificates of its beginning.
        if identity.not_after().is_some_and(|end| UnixTime::now().as_secs() > end) {
            return Err(IdentityError::Expired);
        }
        if let Some((wanted, dialed)) = wanted {
            identity.is(wanted, dialed)?;
        }
        Ok(identity)
    }
}

fn identity(shown: Shown, end_entity: &[u8]) -> Result<Identity, IdentityError> {
    match shown {
        Shown::RawKey => Ok(Identity::of_key(end_entity)),
        Shown::Certificates => {
            let parsed = ParsedCertificate::of(end_entity);
            Ok(Identity::of_certificate(parsed.map_err(|_| IdentityError::Unusable)?))
        }
    }
}

/// Checks what peers show in one of the two forms.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) trust: Arc<Trust>,
    pub(super) shown: Shown,
}

impl Verifier {
    fn tls13(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.trust.algorithms;
        match self.shown {
            Shown::Certificates => verify_tls13_signature(message, cert, signed, algorithms),
            Shown::RawKey => {
                let spki = SubjectPublicKeyInfoDer::from(cert.as_ref());
                verify_tls13_signature_with_raw_key(message, &spki, signed, algorithms)
            }
        }
    }

    fn tls12(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.trust.algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _session: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Whose it is is looked at after the handshake: that has more forms than names of hosts.
        self.trust.check(Side::Server, self.shown, end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.shown == Shown::RawKey
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Who is pinned need not be of any of them.
        if self.trust.pins.is_empty() { &self.trust.subjects } else { &[] }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.trust.check(Side::Client, self.shown, end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.shown == Shown::RawKey
    }
}

/// An error of this project in a form that passes through rustls.
fn refusal(error: IdentityError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// What an error of rustls says of a peer's identity; `None` where it is about something else.
pub(crate) fn judgement(error: &Error) -> Option<IdentityError> {
    let error = match error {
        Error::NoCertificatesPresented => return Some(IdentityError::Missing),
        Error::InvalidCertificate(error) => error,
        _ => return None,
    };
    Some(match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            IdentityError::Expired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            IdentityError::NotYetValid
        }
        CertificateError::UnknownIssuer => IdentityError::UnknownIssuer,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            IdentityError::WrongRole
        }
        CertificateError::Other(OtherError(other)) => {
            other.downcast_ref().copied().unwrap_or(IdentityError::Unusable)
        }
        _ => IdentityError::Unusable,
    })
}
