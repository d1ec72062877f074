//! What rustls is told.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{
    AlwaysResolvesServerRawPublicKeys, CertificateType, ClientHello, NoServerSessionStorage,
    ResolvesServerCert,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, Error, RootCertStore, ServerConfig, SupportedProtocolVersion,
};

use super::files::{Loaded, Pin};
use super::identity::{Expected, Identity, IdentityError, digest};
use super::trust::{Checked, Shown, Side, Trust, Verifier};

/// Servers whose tickets are kept, each with up to eight.
const SESSIONS_KEPT: usize = 4096;
/// Tickets after a handshake: one for the next, where the association is lost.
const TICKETS: usize = 1;

/// Keys, trust, and everything that is derived of them; never changed, only replaced.
pub(crate) struct Config {
    trust: Arc<Trust>,
    client: Arc<ClientConfig>,
    /// By what this node shows and what it wants to be shown; `None` where it cannot.
    servers: [[Option<Arc<ServerConfig>>; 2]; 2],
    public_key: [u8; 32],
}

impl Config {
    pub(super) fn new(loaded: Loaded) -> Self {
        let Loaded { roots, chain, raw, pins, tls12 } = loaded;
        let trust = Arc::new(Trust::new(roots, pins));
        let server = |shown: Shown, wanted: Shown| {
            let key = match shown {
                Shown::Certificates => chain.as_ref()?,
                Shown::RawKey => &raw,
            };
            server(key, shown, &trust, wanted, tls12).ok()
        };
        let servers = [Shown::Certificates, Shown::RawKey]
            .map(|shown| [Shown::Certificates, Shown::RawKey].map(|wanted| server(shown, wanted)));
        let client = client(chain.as_ref(), &raw, &trust, tls12);
        let public_key = raw.cert.first().map_or([0; 32], |spki| digest(spki));
        Self { client, servers, trust, public_key }
    }

    /// A key that everybody may know: that of a node that has no certificate, and trusts itself.
    pub(crate) fn for_fuzzing() -> Self {
        // PKCS #8 of Ed25519 (RFC 8410 section 7).
        let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        der.extend([7; 32]);
        let key = provider().key_provider.load_private_key(PrivateKeyDer::Pkcs8(der.into()));
        let key = key.unwrap_or_else(|error| panic!("{error}"));
        let public = key.public_key().map(|public| public.as_ref().to_vec()).unwrap_or_default();
        let pins = vec![Pin { role: None, key: digest(&public) }];
        let raw = Arc::new(CertifiedKey::new(vec![CertificateDer::from(public)], key));
        let roots = Arc::new(RootCertStore::empty());
        Self::new(Loaded { roots, chain: None, raw, pins, tls12: false })
    }

    pub(super) fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    /// Begins a handshake with the server at this address.
    pub(crate) fn dial(&self, ip: IpAddr, port: u16) -> Result<(ClientConnection, Shown), Error> {
        let connection = ClientConnection::new(Arc::clone(&self.client), session_name(ip, port))?;
        Ok((connection, self.trust.wanted_of_servers()))
    }

    /// What to answer this client with, and what it is asked to show.
    pub(crate) fn accept(&self, hello: &ClientHello<'_>) -> Option<(Arc<ServerConfig>, Shown)> {
        let wants = |types: Option<&[CertificateType]>| {
            types.is_some_and(|types| types.contains(&CertificateType::RawPublicKey))
        };
        let (shown, wanted) = (wants(hello.server_cert_types()), wants(hello.client_cert_types()));
        let config = self.servers[usize::from(shown)][usize::from(wanted)].as_ref()?;
        Some((Arc::clone(config), if wanted { Shown::RawKey } else { Shown::Certificates }))
    }

    /// Who a peer says that it is, trusted or not.
    pub(crate) fn describe(
        &self,
        form: (Side, Shown),
        certificates: &[CertificateDer<'static>],
    ) -> String {
        self.trust.describe(form.1, certificates)
    }

    /// See [`Trust::identify`].
    pub(crate) fn identify(
        &self,
        form: (Side, Shown),
        certificates: &[CertificateDer<'static>],
        wanted: Option<(&Expected, IpAddr)>,
        checked: Checked,
    ) -> Result<Identity, IdentityError> {
        self.trust.identify(form, certificates, wanted, checked)
    }
}

/// The cryptography.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn versions(tls12: bool) -> &'static [&'static SupportedProtocolVersion] {
    const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    if tls12 { BOTH } else { &BOTH[..1] }
}

/// Under which name sessions are kept: tickets are of one server, at one port. It is not sent.
fn session_name(ip: IpAddr, port: u16) -> ServerName<'static> {
    let bits = match ip.to_canonical() {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let name = format!("h{bits:x}.p{port}");
    ServerName::try_from(name).unwrap_or_else(|_| ServerName::IpAddress(ip.into()))
}

#[derive(Debug)]
struct OneKey(Arc<CertifiedKey>);

impl ResolvesServerCert for OneKey {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl rustls::client::ResolvesClientCert for OneKey {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Whoever does not know its authority says so, and the reason is seen at both ends.
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn server(
    key: &Arc<CertifiedKey>,
    shown: Shown,
    trust: &Arc<Trust>,
    wanted: Shown,
    tls12: bool,
) -> Result<Arc<ServerConfig>, Error> {
    // Raw public keys are of TLS 1.3 here.
    let has_raw = shown == Shown::RawKey || wanted == Shown::RawKey;
    let resolver: Arc<dyn ResolvesServerCert> = match shown {
        Shown::Certificates => Arc::new(OneKey(Arc::clone(key))),
        Shown::RawKey => Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(key))),
    };
    let verifier = Verifier { trust: Arc::clone(trust), shown: wanted };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(tls12 && !has_raw))?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(resolver);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = TICKETS;
    // Keys of tickets are of this form of proof and of this trust: who has proved one thing resumes
    // as nobody else, and nothing that was proved before a change of the keys is resumed.
    if let Ok(ticketer) = Ticketer::new() {
        config.ticketer = ticketer;
    }
    Ok(Arc::new(config))
}

fn client(
    chain: Option<&Arc<CertifiedKey>>,
    raw: &Arc<CertifiedKey>,
    trust: &Arc<Trust>,
    tls12: bool,
) -> Arc<ClientConfig> {
    let shown = trust.wanted_of_servers();
    let has_raw = shown == Shown::RawKey || chain.is_none();
    let verifier = Verifier { trust: Arc::clone(trust), shown };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(tls12 && !has_raw))
        .expect("the provider has cipher suites of both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = builder.with_client_cert_resolver(match chain {
        Some(chain) => Arc::new(OneKey(Arc::clone(chain))),
        None => Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(raw))),
    });
    config.resumption = Resumption::in_memory_sessions(SESSIONS_KEPT);
    config.enable_sni = false;
    config.enable_early_data = false;
    Arc::new(config)
}
