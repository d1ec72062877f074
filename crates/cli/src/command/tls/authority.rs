//! An authority in a directory: it makes keys and certificates.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose as Purpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, date_time_ymd,
};
use rserpool::transport::tls::{Name, ParsedCertificate, Pin, Role, key_of, read_certificates};

/// The files of an authority.
const CA: &str = "ca";
/// Clocks differ: a certificate is valid from so long ago.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// An authority.
pub(crate) struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// What is to be issued.
pub(crate) struct Request<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: Role,
    pub(crate) names: &'a [Name],
    pub(crate) pools: &'a [String],
    pub(crate) days: u32,
    /// For the key that there is.
    pub(crate) renew: bool,
}

/// What was made.
pub(crate) struct Issued {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) pin: Pin,
    pub(crate) until: String,
}

impl Authority {
    /// Makes one in a directory where there is none.
    pub(crate) fn make(dir: &Path, days: u32) -> anyhow::Result<Issued> {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(dir);
        made.with_context(|| format!("cannot make {}", dir.display()))?;
        let files = Files::of(dir, CA);
        files.must_be_new()?;
        let key = KeyPair::generate()?;
        let mut params = params(days);
        // Two authorities are told apart by their names.
        let digits: String =
            key.der_bytes().iter().rev().take(4).map(|it| format!("{it:02x}")).collect();
        params.distinguished_name.push(DnType::CommonName, format!("rserpool authority {digits}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        files.write(&certificate.pem(), Some(&key.serialize_pem()))?;
        files.issued()
    }

    /// The one in a directory.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let files = Files::of(dir, CA);
        // Both are looked at as a node would look at its own.
        let own = key_of(&files.key)?;
        let certificates = read_certificates(&files.certificate)?;
        let certificate = certificates.first().context("no certificate of an authority")?;
        let parsed = ParsedCertificate::of(certificate).map_err(|why| anyhow!(why))?;
        if parsed.key != own {
            bail!("{} is for another key than ca.key", files.certificate.display());
        }
        let text = fs::read_to_string(&files.key)?;
        let issuer = Issuer::from_ca_cert_der(certificate, KeyPair::from_pem(&text)?)?;
        Ok(Self { dir: dir.to_owned(), issuer })
    }

    /// Issues a certificate.
    pub(crate) fn issue(&self, request: &Request<'_>) -> anyhow::Result<Issued> {
        let Request { name, role, names, pools, days, renew } = *request;
        let files = Files::of(&self.dir, name);
        let key = if renew {
            let text = fs::read_to_string(&files.key);
            KeyPair::from_pem(&text.with_context(|| format!("no key {}", files.key.display()))?)?
        } else {
            files.must_be_new()?;
            KeyPair::generate()?
        };
        let mut params = params(days);
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match role {
            Role::Client => vec![Purpose::ClientAuth],
            // They dial, too.
            _ => vec![Purpose::ServerAuth, Purpose::ClientAuth],
        };
        let pools = pools.iter().map(|pool| Name::Uri(pool_uri(pool)));
        let mut all: Vec<Name> = alternative_name(name).into_iter().collect();
        all.extend(names.iter().cloned().chain([Name::Uri(role.uri())]).chain(pools));
        all.dedup();
        params.subject_alt_names = all.iter().map(san).collect::<anyhow::Result<_>>()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        // The authority may be absent on the hosts, but everybody has to know it.
        files.write(&certificate.pem(), (!renew).then(|| key.serialize_pem()).as_deref())?;
        files.issued()
    }
}

/// The files of one key.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(dir: &Path, name: &str) -> Self {
        let file = |end: &str| dir.join(format!("{name}.{end}"));
        Self { certificate: file("pem"), key: file("key") }
    }

    /// No key is lost by a slip.
    fn must_be_new(&self) -> anyhow::Result<()> {
        for path in [&self.certificate, &self.key] {
            if path.symlink_metadata().is_ok() {
                bail!("{} is there already", path.display());
            }
        }
        Ok(())
    }

    fn write(&self, certificate: &str, key: Option<&str>) -> anyhow::Result<()> {
        if let Some(key) = key {
            write(&self.key, key, 0o600)?;
        }
        write(&self.certificate, certificate, 0o644)
    }

    fn issued(self) -> anyhow::Result<Issued> {
        let certificates = read_certificates(&self.certificate)?;
        let certificate = certificates.first().context("no certificate")?;
        let parsed = ParsedCertificate::of(certificate).map_err(|why| anyhow!(why))?;
        let pin = Pin { role: None, key: parsed.key };
        Ok(Issued { certificate: self.certificate, key: self.key, pin, until: parsed.until })
    }
}

/// Writes a file as a whole, which nobody sees before it has its mode and everything in it.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let mut part = path.to_owned().into_os_string();
    part.push(".part");
    let write = || -> io::Result<()> {
        let _ = fs::remove_file(&part);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// A certificate that is valid from now on.
fn params(days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(since.as_secs());
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + DAY * days;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

fn san(name: &Name) -> anyhow::Result<SanType> {
    Ok(match name {
        Name::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
        Name::Ip(ip) => SanType::IpAddress(*ip),
        Name::Uri(uri) => SanType::URI(uri.as_str().try_into()?),
        _ => bail!("another kind of name"),
    })
}

/// The URI of a pool in a certificate, percent-encoded (RFC 3986 §2.1) but for a `*` at its end.
fn pool_uri(pool: &str) -> String {
    let (handle, end) = match pool.strip_suffix('*') {
        Some(beginning) => (beginning, "*"),
        None => (pool, ""),
    };
    let octet = |octet: u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(octet).to_string()
        }
        _ => format!("%{octet:02X}"),
    };
    let encoded: String = handle.bytes().map(octet).collect();
    format!("rserpool:pool:{encoded}{end}")
}

/// The name of a file, and nothing but that.
pub(super) fn file_name(text: &str) -> Result<String, String> {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.:".contains(&octet);
    if text.is_empty() || text.starts_with('.') || !text.bytes().all(is_plain) {
        return Err("letters, digits, `-`, `_`, `.` and `:`, and no `.` in front".into());
    }
    if text == CA {
        return Err("that is the name of the authority".into());
    }
    Ok(text.to_owned())
}

/// A name in a certificate.
pub(super) fn alternative_name(text: &str) -> Result<Name, String> {
    let ip = |text: &str| text.parse::<IpAddr>().map(Name::Ip);
    match text.split_once(':') {
        Some((kind, rest)) if kind.eq_ignore_ascii_case("dns") => dns(rest),
        Some((kind, rest)) if kind.eq_ignore_ascii_case("ip") => {
            ip(rest).map_err(|_| "that is no IP address".into())
        }
        Some((kind, rest)) if kind.eq_ignore_ascii_case("uri") => uri(rest),
        _ => match ip(text) {
            Ok(ip) => Ok(ip),
            Err(_) if text.contains(':') => uri(text),
            Err(_) => dns(text),
        },
    }
}

fn dns(text: &str) -> Result<Name, String> {
    let rest = text.strip_prefix("*.").unwrap_or(text);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it))
    };
    if rest.split('.').all(is_label) && rest.len() <= 253 {
        return Ok(Name::Dns(text.to_ascii_lowercase()));
    }
    Err("that is no host name".into())
}

fn uri(text: &str) -> Result<Name, String> {
    let is_graphic = text.bytes().all(|octet| octet.is_ascii_graphic());
    match text.split_once(':') {
        Some(("rserpool", _)) => Err("that is said by --role and --pool".into()),
        Some((scheme, rest)) if is_graphic && !scheme.is_empty() && !rest.is_empty() => {
            Ok(Name::Uri(text.to_owned()))
        }
        _ => Err("that is no URI".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rserpool::transport::Tls;
    use rserpool::transport::tls::KeyFiles;

    use super::*;

    fn request<'a>(name: &'a str, role: Role) -> Request<'a> {
        Request { name, role, names: &[], pools: &[], days: 1, renew: false }
    }

    fn names(path: &Path) -> Vec<String> {
        let certificates = read_certificates(path).unwrap();
        let parsed = ParsedCertificate::of(&certificates[0]).unwrap();
        parsed.names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_issued_can_be_used_and_only_its_owner_reads_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("keys");
        let ca = Authority::make(&dir, 10).unwrap();
        let authority = Authority::open(&dir).unwrap();
        let pools = ["Bank *".to_owned()];
        let named = [Name::Uri("spiffe://example/db".into())];
        let wanted =
            Request { names: &named, pools: &pools, ..request("DB1.example", Role::Server) };
        let issued = authority.issue(&wanted).unwrap();
        assert_eq!(
            names(&issued.certificate),
            ["db1.example", "spiffe://example/db", "rserpool:server", "rserpool:pool:Bank%20*"]
        );
        for key in [&ca.key, &issued.key] {
            assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        let mut files = KeyFiles::new(&issued.key);
        (files.ca, files.cert) = (vec![ca.certificate], Some(issued.certificate));
        assert_eq!(Tls::new(files).unwrap().public_key(), issued.pin.key);
        assert_eq!(
            names(&authority.issue(&request("10.0.0.1", Role::Registrar)).unwrap().certificate)[0],
            "10.0.0.1"
        );
    }

    #[test]
    fn nothing_is_overwritten_but_a_certificate_that_is_renewed() {
        let dir = tempfile::tempdir().unwrap();
        Authority::make(dir.path(), 10).unwrap();
        assert!(Authority::make(dir.path(), 10).is_err());
        let authority = Authority::open(dir.path()).unwrap();
        let first = authority.issue(&request("a", Role::Client)).unwrap();
        let text = fs::read(&first.certificate).unwrap();
        assert!(authority.issue(&request("a", Role::Client)).is_err());
        assert_eq!(fs::read(&first.certificate).unwrap(), text);
        let renewed = Request { renew: true, ..request("a", Role::Client) };
        assert_eq!(authority.issue(&renewed).unwrap().pin, first.pin);
        assert_ne!(fs::read(&first.certificate).unwrap(), text);
        let unknown = Request { renew: true, ..request("b", Role::Client) };
        assert!(authority.issue(&unknown).is_err());
    }

    #[test]
    fn names_are_told_apart() {
        for (text, expected) in [
            ("a.Example", Some(Name::Dns("a.example".into()))),
            ("*.example", Some(Name::Dns("*.example".into()))),
            ("DNS:10", Some(Name::Dns("10".into()))),
            ("::1", Some(Name::Ip("::1".parse().unwrap()))),
            ("IP:10.0.0.1", Some(Name::Ip([10, 0, 0, 1].into()))),
            ("spiffe://a/b", Some(Name::Uri("spiffe://a/b".into()))),
            ("URI:urn:x", Some(Name::Uri("urn:x".into()))),
            ("IP:a", None),
            ("a b", None),
            ("a..b", None),
            ("", None),
            ("URI:a", None),
            ("rserpool:registrar", None),
        ] {
            assert_eq!(alternative_name(text).ok(), expected, "{text}");
        }
        for name in ["", ".", "..", "a/b", ".a", "ca", "a b"] {
            assert!(file_name(name).is_err(), "{name}");
        }
    }
}
