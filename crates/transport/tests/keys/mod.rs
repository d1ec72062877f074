//! Keys for tests, made on the spot.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rserpool_transport::tls::{KeyFiles, Name, Role, Tls};

/// An authority, and what it has issued.
pub(crate) struct Authority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let name = format!("authority of {}", dir.path().display());
        params.distinguished_name.push(DnType::CommonName, name);
        fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Issues a certificate with these names; where it and its key are.
    pub(crate) fn issue(&self, name: &str, names: &[Name]) -> KeyFiles {
        self.issue_with(name, names, |_| {})
    }

    /// The same, with other values of the certificate.
    pub(crate) fn issue_with(
        &self,
        name: &str,
        names: &[Name],
        change: impl FnOnce(&mut CertificateParams),
    ) -> KeyFiles {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = names.iter().map(san).collect();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (cert, secret) = (format!("{name}.pem"), format!("{name}.key"));
        fs::write(self.dir.path().join(&cert), certificate.pem()).unwrap();
        let mut files = KeyFiles::new(self.write_secret(&secret, &key.serialize_pem()));
        files.ca = vec![self.ca()];
        files.cert = Some(self.dir.path().join(cert));
        files
    }

    /// Writes a file that only its owner may read.
    pub(crate) fn write_secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Keys of a registrar at 127.0.0.1.
    pub(crate) fn node(&self, name: &str) -> Tls {
        let names = [Name::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)), Name::Uri(Role::Registrar.uri())];
        Tls::new(self.issue(name, &names)).unwrap_or_else(|error| panic!("{error}"))
    }
}

fn san(name: &Name) -> SanType {
    match name {
        Name::Dns(name) => SanType::DnsName(name.as_str().try_into().unwrap()),
        Name::Ip(ip) => SanType::IpAddress(*ip),
        Name::Uri(uri) => SanType::URI(uri.as_str().try_into().unwrap()),
        _ => panic!("another kind of name"),
    }
}
