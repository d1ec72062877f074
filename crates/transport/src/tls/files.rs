//! Keys and certificates on disk.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::{CertifiedKey, SigningKey};

use super::config::provider;
use super::identity::{ParsedCertificate, Role, digest};

/// Octets of a file with keys or certificates at most.
const FILE_MAX: u64 = 1 << 20;
/// Who may do anything with a file of secrets: its owner.
const SECRET_MODE: u32 = 0o077;

/// Where a node's keys are, and whom it trusts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeyFiles {
    /// PEM files with certificates of authorities: who has a certificate of one is trusted.
    pub ca: Vec<PathBuf>,
    /// The own certificate and those between it and the authority, in this order, as PEM. `None`:
    /// the own raw public key is shown instead (RFC 7250).
    pub cert: Option<PathBuf>,
    /// The own private key, as PEM; nobody but its owner may read it.
    pub key: PathBuf,
    /// Public keys that are trusted without a certificate.
    pub pins: Vec<Pin>,
    /// TLS 1.2 is spoken with those that know nothing newer. Default: false, TLS 1.3 only.
    pub tls12: bool,
}

impl KeyFiles {
    /// This private key, and nobody who is trusted yet.
    pub fn new(key: impl Into<PathBuf>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }
}

/// How a pin begins, as `rserpool tls show` prints it.
pub const PIN_PREFIX: &str = "spki:";

/// A public key that is trusted: `spki:` and 64 hexadecimal digits, the SHA-256 of its
/// SubjectPublicKeyInfo. In front of that may be what it is trusted as: `registrar=spki:…`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pin {
    /// What its owner may be; `None`, anything.
    pub role: Option<Role>,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub key: [u8; 32],
}

/// A text that is no pin.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{0}` is not a pin: write spki: and the 64 hexadecimal digits that `rserpool tls show` prints"
)]
pub struct PinError(String);

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let error = || PinError(text.escape_debug().to_string());
        let (role, key) = match text.split_once('=') {
            Some((role, key)) => (Some(role.parse().map_err(|_| error())?), key),
            None => (None, text),
        };
        let digits = key.strip_prefix(PIN_PREFIX).unwrap_or(key).as_bytes();
        let key = HEXLOWER_PERMISSIVE.decode(digits).ok().and_then(|key| key.try_into().ok());
        Ok(Self { role, key: key.ok_or_else(error)? })
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(role) = self.role {
            write!(f, "{role}=")?;
        }
        write!(f, "{PIN_PREFIX}{}", HEXLOWER_PERMISSIVE.encode_display(&self.key))
    }
}

/// Why the keys of a node cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct KeyError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: KeyProblem,
}

/// What is wrong with a file of keys or certificates.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(String),
    /// It is longer than any such file: 1 MiB.
    #[error("is longer than 1 MiB")]
    TooLong,
    /// Others than its owner may read or change it.
    #[error("others than its owner can get at this private key (mode {mode:03o}): chmod 600 it")]
    Exposed {
        /// Its permissions.
        mode: u32,
    },
    /// It is no PEM.
    #[error("is damaged: {0}")]
    Damaged(String),
    /// There is nothing of that kind in it.
    #[error("there is no {0} in it")]
    Without(&'static str),
    /// There are several private keys in it.
    #[error("there are {0} private keys in it, and only one can be used")]
    SeveralKeys(usize),
    /// The private key is of a kind that is not known.
    #[error("is no private key that can be used: {0}")]
    UnusableKey(String),
    /// A certificate cannot be used.
    #[error("certificate {number} cannot be used: {why}")]
    UnusableCertificate {
        /// Counted from 1.
        number: usize,
        /// Why.
        why: String,
    },
    /// The private key is not that of the certificate.
    #[error("this certificate is for another key than {}", key.display())]
    Mismatch {
        /// Where the private key is.
        key: PathBuf,
    },
    /// A certificate is not signed by the one after it.
    #[error(
        "certificate {number} was not issued by the one that follows: put the own one first, and each issuer after what it issued"
    )]
    Order {
        /// Counted from 1.
        number: usize,
    },
    /// The own certificate has run out.
    #[error("this certificate has expired, at {0}")]
    Expired(String),
    /// The own certificate is not valid yet.
    #[error("this certificate is not valid before {0}")]
    NotYetValid(String),
    /// Nobody would be trusted.
    #[error("with neither an authority nor a pin nobody would be trusted: name a CA or pins")]
    TrustsNobody,
}

/// What was read.
pub(super) struct Loaded {
    pub(super) roots: Arc<RootCertStore>,
    /// With the own certificates; `None` without.
    pub(super) chain: Option<Arc<CertifiedKey>>,
    /// With the raw public key in the place of certificates.
    pub(super) raw: Arc<CertifiedKey>,
    pub(super) pins: Vec<Pin>,
    pub(super) tls12: bool,
}

impl KeyFiles {
    pub(super) fn load(&self) -> Result<Loaded, KeyError> {
        let mut roots = RootCertStore::empty();
        for path in &self.ca {
            for (index, der) in read_certificates(path)?.into_iter().enumerate() {
                let added = roots.add(der).map_err(|error| unusable(index, &error));
                added.map_err(|problem| problem.in_file(path))?;
            }
        }
        if roots.is_empty() && self.pins.is_empty() {
            return Err(KeyProblem::TrustsNobody.in_file(&self.key));
        }
        let key = signing_key(&self.key)?;
        let public = key
            .public_key()
            .ok_or_else(|| KeyProblem::UnusableKey("no public key".into()).in_file(&self.key))?;
        let public = CertificateDer::from(public.as_ref().to_vec());
        let raw = Arc::new(CertifiedKey::new(vec![public], Arc::clone(&key)));
        let chain = self.cert.as_deref().map(|path| self.chain(path, key)).transpose()?;
        let (pins, tls12) = (self.pins.clone(), self.tls12);
        Ok(Loaded { roots: Arc::new(roots), chain, raw, pins, tls12 })
    }

    fn chain(&self, path: &Path, key: Arc<dyn SigningKey>) -> Result<Arc<CertifiedKey>, KeyError> {
        let chain = read_certificates(path)?;
        let wrong = |problem: KeyProblem| problem.in_file(path);
        for (index, der) in chain.iter().enumerate() {
            let parsed = ParsedCertificate::of(der)
                .map_err(|why| wrong(KeyProblem::UnusableCertificate { number: index + 1, why }))?;
            if let Some(next) = chain.get(index + 1)
                && ParsedCertificate::of(next).is_ok_and(|next| next.subject != parsed.issuer)
            {
                return Err(wrong(KeyProblem::Order { number: index + 1 }));
            }
            if index == 0 {
                let now = UnixTime::now().as_secs();
                if now > parsed.not_after {
                    return Err(wrong(KeyProblem::Expired(parsed.until)));
                }
                if now < parsed.not_before {
                    return Err(wrong(KeyProblem::NotYetValid(parsed.from)));
                }
            }
        }
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) => Ok(Arc::new(certified)),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(wrong(KeyProblem::Mismatch { key: self.key.clone() }))
            }
            Err(error) => Err(wrong(unusable(0, &error))),
        }
    }
}

impl KeyProblem {
    fn in_file(self, path: &Path) -> KeyError {
        KeyError { path: path.to_owned(), problem: self }
    }
}

/// The SHA-256 of the public key (SubjectPublicKeyInfo) that belongs to the private key in a file.
///
/// # Errors
///
/// [`KeyError`].
pub fn key_of(path: &Path) -> Result<[u8; 32], KeyError> {
    let key = signing_key(path)?;
    let public = key.public_key().map(|public| digest(public.as_ref()));
    public.ok_or_else(|| KeyProblem::UnusableKey("no public key".into()).in_file(path))
}

/// The certificates in a file, at least one.
///
/// # Errors
///
/// [`KeyError`].
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, KeyError> {
    let sections = sections(path, false)?;
    let certificates: Vec<_> = sections
        .into_iter()
        .filter(|(kind, _)| *kind == SectionKind::Certificate)
        .map(|(_, der)| CertificateDer::from(der))
        .collect();
    if certificates.is_empty() {
        return Err(KeyProblem::Without("certificate").in_file(path));
    }
    Ok(certificates)
}

fn signing_key(path: &Path) -> Result<Arc<dyn SigningKey>, KeyError> {
    let wrong = |problem: KeyProblem| problem.in_file(path);
    let sections = sections(path, true)?;
    let mut keys: Vec<PrivateKeyDer<'static>> = sections
        .into_iter()
        .filter_map(|(kind, der)| match kind {
            SectionKind::PrivateKey => Some(PrivateKeyDer::Pkcs8(der.into())),
            SectionKind::RsaPrivateKey => Some(PrivateKeyDer::Pkcs1(der.into())),
            SectionKind::EcPrivateKey => Some(PrivateKeyDer::Sec1(der.into())),
            _ => None,
        })
        .collect();
    if keys.len() > 1 {
        return Err(wrong(KeyProblem::SeveralKeys(keys.len())));
    }
    let key = keys.pop().ok_or_else(|| wrong(KeyProblem::Without("private key")))?;
    let loaded = provider().key_provider.load_private_key(key);
    loaded.map_err(|error| wrong(KeyProblem::UnusableKey(error.to_string())))
}

/// The parts of a PEM file. Its permissions are looked at on the open file: what is read is what
/// was looked at.
fn sections(path: &Path, is_secret: bool) -> Result<Vec<(SectionKind, Vec<u8>)>, KeyError> {
    let wrong = |problem: KeyProblem| problem.in_file(path);
    let unreadable = |error: std::io::Error| wrong(KeyProblem::Read(error.to_string()));
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.mode() & 0o777;
    if is_secret && mode & SECRET_MODE != 0 {
        return Err(wrong(KeyProblem::Exposed { mode }));
    }
    let mut octets = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 > FILE_MAX {
        return Err(wrong(KeyProblem::TooLong));
    }
    <(SectionKind, Vec<u8>)>::pem_slice_iter(&octets)
        .collect::<Result<_, pem::Error>>()
        .map_err(|error| wrong(KeyProblem::Damaged(damage(&error))))
}

/// What is wrong with a PEM file, in words, without its octets: they may be secret.
fn damage(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a part has no end".into(),
        pem::Error::IllegalSectionStart { .. } => "a part has no proper beginning".into(),
        pem::Error::Base64Decode(_) => "a part is not base64".into(),
        _ => "it is no PEM".into(),
    }
}

fn unusable(index: usize, error: &rustls::Error) -> KeyProblem {
    KeyProblem::UnusableCertificate { number: index + 1, why: error.to_string() }
}
