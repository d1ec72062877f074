//! What a peer has proved, and what it has to prove.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Who the other end of an association has proved to be. Clones share it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Identity(Arc<Proved>);

#[derive(Debug, Eq, Hash, PartialEq)]
struct Proved {
    key: [u8; 32],
    names: Vec<Name>,
    not_after: Option<u64>,
}

/// A name in a certificate (subjectAltName).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Name {
    /// A host name; in lower case.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
    /// A URI, such as that of SPIFFE.
    Uri(String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Uri(uri) => f.write_str(uri),
        }
    }
}

/// What a key is for: `rserpool tls issue --role`. In a certificate it is the URI `rserpool:ROLE`;
/// one without any such URI says nothing of it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Role {
    /// A registrar.
    Registrar,
    /// A pool element, and the server that it stands for.
    Server,
    /// A pool user.
    Client,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Registrar, Self::Server, Self::Client];

    /// The name, as people write it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Registrar => "registrar",
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    /// The URI that says so in a certificate.
    #[must_use]
    pub fn uri(self) -> String {
        format!("{URI}{self}")
    }
}

/// How the URIs of this project in certificates begin.
const URI: &str = "rserpool:";
/// How the URI of a pool begins, in a certificate of a server that serves only some.
const POOL_URI: &str = "rserpool:pool:";

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.label() == text);
        found.ok_or_else(|| "one of registrar, server, client".into())
    }
}

/// Whom a dial wants at the other end. Whoever is trusted by a pin is whom it wants, where the pin
/// is not for another role.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Expected {
    /// The host that was named by who configured this; `None` where its address was learned.
    pub host: Option<Name>,
    /// What it has to be.
    pub role: Option<Role>,
    /// The pool that it has to serve, where its certificate names pools.
    pub pool: Option<Vec<u8>>,
}

/// In words.
impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.role.map_or("peer", Role::label);
        write!(f, "a {role}")?;
        if let Some(host) = &self.host {
            write!(f, " named {host}")?;
        }
        match &self.pool {
            Some(pool) => {
                write!(f, " of the pool {}", String::from_utf8_lossy(pool).escape_debug())
            }
            None => Ok(()),
        }
    }
}

/// Why a peer is not who it has to be.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// It showed neither a certificate nor a key.
    #[error("the peer showed no certificate")]
    Missing,
    /// No authority that is trusted has issued its certificate.
    #[error("the peer's certificate is of an unknown authority")]
    UnknownIssuer,
    /// Its certificate has run out.
    #[error("the peer's certificate has expired")]
    Expired,
    /// Its certificate is not valid yet.
    #[error("the peer's certificate is not valid yet")]
    NotYetValid,
    /// Its key is not pinned.
    #[error("the peer's key is not pinned")]
    NotPinned,
    /// Its certificate is for another host.
    #[error("the peer's certificate is for another name")]
    WrongName,
    /// Its certificate is for something else than it is dialed for.
    #[error("the peer's certificate is for another role")]
    WrongRole,
    /// Its certificate is for other pools.
    #[error("the peer's certificate is for other pools")]
    WrongPool,
    /// It cannot be read, or something in it is forged.
    #[error("the peer's certificate cannot be used")]
    Unusable,
}

/// What matters of a certificate, before anybody has checked who issued it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ParsedCertificate {
    /// The subject, for people.
    pub subject: String,
    /// Who issued it, for people.
    pub issuer: String,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: [u8; 32],
    /// Its names, in order.
    pub names: Vec<Name>,
    /// Seconds of Unix time at which it begins to be valid.
    pub not_before: u64,
    /// Seconds of Unix time after which it is not valid.
    pub not_after: u64,
    /// When it begins to be valid, for people.
    pub from: String,
    /// When it ends to be valid, for people.
    pub until: String,
    /// True for that of an authority.
    pub is_ca: bool,
}

impl ParsedCertificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn of(der: &[u8]) -> Result<Self, String> {
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|_| "it is no certificate".to_owned())?;
        if !rest.is_empty() {
            return Err("something follows the certificate".into());
        }
        let names = parsed.subject_alternative_name();
        let names = names.map_err(|_| "its names cannot be read".to_owned())?;
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
        let validity = parsed.validity();
        Ok(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            key: digest(parsed.public_key().raw),
            names: names.filter_map(name).collect(),
            not_before: seconds(validity.not_before.timestamp()),
            not_after: seconds(validity.not_after.timestamp()),
            from: validity.not_before.to_string(),
            until: validity.not_after.to_string(),
            is_ca: parsed.is_ca(),
        })
    }
}

fn name(name: &GeneralName<'_>) -> Option<Name> {
    Some(match name {
        GeneralName::DNSName(name) => Name::Dns(name.to_ascii_lowercase()),
        GeneralName::URI(uri) => Name::Uri((*uri).to_owned()),
        GeneralName::IPAddress(octets) => Name::Ip(match octets.len() {
            4 => <[u8; 4]>::try_from(*octets).ok()?.into(),
            _ => <[u8; 16]>::try_from(*octets).ok()?.into(),
        }),
        _ => return None,
    })
}

pub(super) fn digest(octets: &[u8]) -> [u8; 32] {
    Sha256::digest(octets).into()
}

impl Identity {
    /// Who has this raw public key (SubjectPublicKeyInfo).
    pub(super) fn of_key(spki: &[u8]) -> Self {
        Self(Arc::new(Proved { key: digest(spki), names: Vec::new(), not_after: None }))
    }

    /// Who has this certificate.
    pub(super) fn of_certificate(certificate: ParsedCertificate) -> Self {
        let ParsedCertificate { key, names, not_after, .. } = certificate;
        Self(Arc::new(Proved { key, names, not_after: Some(not_after) }))
    }

    /// Who has this key, which is pinned for these roles, or for any: nobody vouches for what else
    /// its certificate says.
    pub(super) fn pinned(&self, roles: &[Role]) -> Self {
        let names = roles.iter().map(|role| Name::Uri(role.uri())).collect();
        Self(Arc::new(Proved { key: self.0.key, names, not_after: self.0.not_after }))
    }

    /// SHA-256 of the public key (SubjectPublicKeyInfo).
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.0.key
    }

    /// The names in the certificate; none for a raw public key.
    #[must_use]
    pub fn names(&self) -> &[Name] {
        &self.0.names
    }

    /// Seconds of Unix time at which the certificate runs out.
    pub(super) fn not_after(&self) -> Option<u64> {
        self.0.not_after
    }

    /// What the certificate says that it is for; nothing where it does not say.
    pub fn roles(&self) -> impl Iterator<Item = Role> + '_ {
        self.uris().filter_map(|uri| uri.strip_prefix(URI)?.parse().ok())
    }

    /// Whether the certificate is for what is wanted; `dialed` is where the peer was found.
    pub(super) fn is(&self, wanted: &Expected, dialed: IpAddr) -> Result<(), IdentityError> {
        let has_role = match wanted.role {
            Some(wanted) if self.roles().any(|role| role == wanted) => true,
            Some(_) if self.roles().next().is_some() => return Err(IdentityError::WrongRole),
            Some(_) | None => false,
        };
        match &wanted.host {
            Some(host) if !self.is_for(host) => return Err(IdentityError::WrongName),
            // Its authority says what it is. Where it does not, the address has to be in it.
            None if wanted.role.is_some() && !has_role && !self.is_for(&Name::Ip(dialed)) => {
                return Err(IdentityError::WrongName);
            }
            _ => {}
        }
        match &wanted.pool {
            Some(pool) if !self.serves(pool) => Err(IdentityError::WrongPool),
            _ => Ok(()),
        }
    }

    /// Whether the certificate is for this host (RFC 9525 §6.3: a `*` stands for the first label).
    fn is_for(&self, host: &Name) -> bool {
        self.names().iter().any(|name| match (name, host) {
            (Name::Dns(name), Name::Dns(host)) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                match (name.strip_prefix("*."), host.split_once('.')) {
                    (Some(parent), Some((_, of))) => parent == of,
                    (Some(_), None) => false,
                    (None, _) => *name == host,
                }
            }
            (Name::Ip(name), Name::Ip(host)) => name.to_canonical() == host.to_canonical(),
            _ => false,
        })
    }

    /// Whether the certificate is for a server of this pool; one that names no pool is for all.
    fn serves(&self, pool: &[u8]) -> bool {
        let mut pools = self.uris().filter_map(|uri| uri.strip_prefix(POOL_URI)).peekable();
        pools.peek().is_none() || pools.any(|pattern| matches_pool(pattern, pool))
    }

    fn uris(&self) -> impl Iterator<Item = &str> {
        self.names().iter().filter_map(|name| match name {
            Name::Uri(uri) => Some(uri.as_str()),
            Name::Dns(_) | Name::Ip(_) => None,
        })
    }
}

/// A pool handle, or the beginning of one with a `*` after it; percent-encoded (RFC 3986 §2.1).
fn matches_pool(pattern: &str, pool: &[u8]) -> bool {
    let (beginning, is_open) = match pattern.strip_suffix('*') {
        Some(beginning) => (beginning, true),
        None => (pattern, false),
    };
    let mut octets = Vec::with_capacity(beginning.len());
    let mut rest = beginning.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            octets.push(first);
            continue;
        }
        let two = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let Some(octet) = two.and_then(|two| u8::from_str_radix(two, 16).ok()) else {
            return false;
        };
        octets.push(octet);
        rest = &after[2..];
    }
    if is_open { pool.starts_with(&octets) } else { pool == octets }
}

/// The key, and the names after it.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// So many names are shown.
        const SHOWN_MAX: usize = 4;
        let pin = super::Pin { role: None, key: self.0.key };
        write!(f, "{pin}")?;
        for name in self.0.names.iter().take(SHOWN_MAX) {
            write!(f, " {}", name.to_string().escape_debug())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(names: &[&str]) -> Identity {
        let name = |text: &&str| match text.parse() {
            Ok(ip) => Name::Ip(ip),
            Err(_) if text.contains(':') => Name::Uri((*text).to_owned()),
            Err(_) => Name::Dns((*text).to_owned()),
        };
        let names = names.iter().map(name).collect();
        Identity(Arc::new(Proved { key: [7; 32], names, not_after: None }))
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn judged(names: &[&str], host: Option<&str>, role: Option<Role>) -> Result<(), IdentityError> {
        let host = host.map(|host| match host.parse() {
            Ok(ip) => Name::Ip(ip),
            Err(_) => Name::Dns(host.to_owned()),
        });
        identity(names).is(&Expected { host, role, pool: None }, HERE)
    }

    // Checklist 201, 202.
    #[test]
    fn a_named_host_has_to_be_in_the_certificate() {
        let role = Some(Role::Registrar);
        for (names, host, expected) in [
            (&["r1.example"][..], "r1.example", Ok(())),
            (&["r1.example"], "R1.Example.", Ok(())),
            (&["r1.example"], "r2.example", Err(IdentityError::WrongName)),
            // URLs have names of other scripts in this form, too.
            (&["xn--bcher-kva.example"], "xn--bcher-KVA.example", Ok(())),
            (&["*.example"], "r1.example", Ok(())),
            (&["*.example"], "a.r1.example", Err(IdentityError::WrongName)),
            (&["*.example"], "example", Err(IdentityError::WrongName)),
            (&["10.0.0.1"], "10.0.0.1", Ok(())),
            (&["10.0.0.1"], "10.0.0.2", Err(IdentityError::WrongName)),
            (&["r1.example", "rserpool:registrar"], "r1.example", Ok(())),
            (&["r1.example", "rserpool:registrar"], "r2.example", Err(IdentityError::WrongName)),
            (&["r1.example", "rserpool:server"], "r1.example", Err(IdentityError::WrongRole)),
            (&[], "r1.example", Err(IdentityError::WrongName)),
        ] {
            assert_eq!(judged(names, Some(host), role), expected, "{names:?} at {host}");
        }
    }

    #[test]
    fn who_was_learned_needs_the_role_or_its_address() {
        let role = Some(Role::Server);
        assert_eq!(judged(&["rserpool:server"], None, role), Ok(()));
        assert_eq!(judged(&["127.0.0.1"], None, role), Ok(()));
        assert_eq!(judged(&["127.0.0.2"], None, role), Err(IdentityError::WrongName));
        assert_eq!(judged(&["a.example"], None, role), Err(IdentityError::WrongName));
        let client = ["127.0.0.1", "rserpool:client"];
        assert_eq!(judged(&client, None, role), Err(IdentityError::WrongRole));
        assert_eq!(judged(&client, None, None), Ok(()));
    }

    #[test]
    fn a_server_of_some_pools_serves_no_others() {
        let judged = |uris: &[&str], pool: &[u8]| {
            let mut names = vec!["rserpool:server"];
            names.extend(uris);
            let (role, pool) = (Some(Role::Server), Some(pool.to_vec()));
            identity(&names).is(&Expected { host: None, role, pool }, HERE)
        };
        assert_eq!(judged(&[], b"Bank"), Ok(()));
        assert_eq!(judged(&["rserpool:pool:Bank"], b"Bank"), Ok(()));
        assert_eq!(judged(&["rserpool:pool:Bank"], b"Bank2"), Err(IdentityError::WrongPool));
        assert_eq!(judged(&["rserpool:pool:X", "rserpool:pool:Bank*"], b"Bank2"), Ok(()));
        assert_eq!(judged(&["rserpool:pool:a%20%00b"], b"a \0b"), Ok(()));
        for odd in ["%", "%2", "%zz", "%+1"] {
            let uri = format!("rserpool:pool:{odd}");
            assert_eq!(judged(&[&uri], b"%"), Err(IdentityError::WrongPool));
        }
    }
}
