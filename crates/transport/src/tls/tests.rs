use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::trust::Trust;
use super::*;

/// A directory with what `text` says in files that only their owner may read.
struct Keys(tempfile::TempDir);

impl Keys {
    fn new() -> Self {
        let keys = Self(tempfile::tempdir().unwrap());
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let named = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let mut ca = named("ca");
        ca.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        keys.write("ca.pem", &ca.self_signed(&ca_key).unwrap().pem());
        let issuer = Issuer::new(ca, ca_key);
        let times = [(2001, 2002), (2400, 2401), (2001, 2400)];
        for (name, (from, until)) in ["expired", "early", "good"].into_iter().zip(times) {
            let mut params = named(name);
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(until, 1, 1);
            keys.write(name, &params.signed_by(&key, &issuer).unwrap().pem());
        }
        keys.write("key", &key.serialize_pem());
        keys.write("other key", &KeyPair::generate().unwrap().serialize_pem());
        keys
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        self.set_mode(name, 0o600);
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn files(&self) -> KeyFiles {
        let mut files = KeyFiles::new(self.path("key"));
        (files.ca, files.cert) = (vec![self.path("ca.pem")], Some(self.path("good")));
        files
    }
}

/// What is wrong, and in which file.
fn complaint(files: &KeyFiles) -> (String, KeyProblem) {
    let KeyError { path, problem } = Tls::new(files.clone()).unwrap_err();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    (name.to_owned(), problem)
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let keys = Keys::new();
    keys.write("empty", "");
    keys.write("rubbish", "-----BEGIN CERTIFICATE-----\n*!*\n-----END CERTIFICATE-----\n");
    keys.write("endless", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    keys.write("nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    keys.write("reversed", &(keys.text("ca.pem") + &keys.text("good")));
    keys.write("two keys", &(keys.text("key") + &keys.text("other key")));
    keys.write("long", &"#".repeat((1 << 20) + 1));
    let cert = |name: &str| KeyFiles { cert: Some(keys.path(name)), ..keys.files() };
    let key = |name: &str| KeyFiles { key: keys.path(name), ..keys.files() };
    let ca = |name: &str| KeyFiles { ca: vec![keys.path(name)], ..keys.files() };
    let damaged = |why: &str| KeyProblem::Damaged(why.into());
    let expired =
        |problem: &KeyProblem| matches!(problem, KeyProblem::Expired(at) if at.contains("2002"));
    let early = |problem: &KeyProblem| matches!(problem, KeyProblem::NotYetValid(at) if at.contains("2400"));
    let unusable =
        |problem: &KeyProblem| matches!(problem, KeyProblem::UnusableCertificate { number: 1, .. });
    assert!(Tls::new(keys.files()).is_ok());
    for (files, name, expected) in [
        (cert("empty"), "empty", KeyProblem::Without("certificate")),
        (cert("key"), "key", KeyProblem::Without("certificate")),
        (cert("rubbish"), "rubbish", damaged("a part is not base64")),
        (cert("endless"), "endless", damaged("a part has no end")),
        (cert("reversed"), "reversed", KeyProblem::Order { number: 1 }),
        (cert("long"), "long", KeyProblem::TooLong),
        (key("empty"), "empty", KeyProblem::Without("private key")),
        (key("good"), "good", KeyProblem::Without("private key")),
        (key("two keys"), "two keys", KeyProblem::SeveralKeys(2)),
        (key("other key"), "good", KeyProblem::Mismatch { key: keys.path("other key") }),
        (ca("empty"), "empty", KeyProblem::Without("certificate")),
        (KeyFiles { ca: vec![], ..keys.files() }, "key", KeyProblem::TrustsNobody),
    ] {
        assert_eq!(complaint(&files), (name.to_owned(), expected));
    }
    for (files, name, is_right) in [
        (cert("expired"), "expired", &expired as &dyn Fn(&KeyProblem) -> bool),
        (cert("early"), "early", &early),
        (cert("nonsense"), "nonsense", &unusable),
        (ca("nonsense"), "nonsense", &unusable),
        (key("none"), "none", &|problem| matches!(problem, KeyProblem::Read(_))),
    ] {
        let (of, problem) = complaint(&files);
        assert!(of == name && is_right(&problem), "{of}: {problem}");
    }
}

#[test]
fn a_private_key_that_others_can_get_at_is_refused() {
    let keys = Keys::new();
    for mode in [0o640, 0o604, 0o660, 0o644, 0o620] {
        keys.set_mode("key", mode);
        assert_eq!(complaint(&keys.files()), ("key".to_owned(), KeyProblem::Exposed { mode }));
    }
    // Certificates are no secrets.
    keys.set_mode("good", 0o644);
    for mode in [0o600, 0o400] {
        keys.set_mode("key", mode);
        assert!(Tls::new(keys.files()).is_ok(), "{mode:o}");
    }
}

#[test]
fn pins_are_read_as_they_are_shown() {
    let digits = "0123456789abcdef".repeat(4);
    for (text, shown) in [
        (format!("spki:{digits}"), format!("spki:{digits}")),
        (digits.to_uppercase(), format!("spki:{digits}")),
        (format!("registrar=spki:{digits}"), format!("registrar=spki:{digits}")),
    ] {
        assert_eq!(text.parse::<Pin>().map(|pin| pin.to_string()), Ok(shown));
    }
    for text in ["", "spki:", &digits[1..], &format!("+{}", &digits[1..]), "king=spki:00", "é"] {
        assert!(text.parse::<Pin>().is_err(), "{text}");
    }
}

#[test]
fn the_key_of_a_file_is_that_of_its_certificate() {
    let keys = Keys::new();
    let [certificate] = &read_certificates(&keys.path("good")).unwrap()[..] else { panic!() };
    let parsed = ParsedCertificate::of(certificate).unwrap();
    assert_eq!(key_of(&keys.path("key")).unwrap(), parsed.key);
    assert_eq!(Tls::new(keys.files()).unwrap().public_key(), parsed.key);
    assert_eq!((parsed.subject.as_str(), parsed.issuer.as_str()), ("CN=good", "CN=ca"));
    assert!(!parsed.is_ca);
}

// Nothing but time passes between a handshake and the one that resumes its session.
#[test]
fn an_intermediate_that_has_expired_since_ends_resumption() {
    let named = |name: &str, is_ca: bool, until: i32| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) =
            (date_time_ymd(2001, 1, 1), date_time_ymd(until, 1, 1));
        if is_ca {
            params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        params
    };
    let key = || KeyPair::generate().unwrap();
    let (root_key, root) = (key(), named("root", true, 2400));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.self_signed(&root_key).unwrap().der().clone()).unwrap();
    let (trust, root) = (Trust::new(Arc::new(roots), Vec::new()), Issuer::new(root, root_key));
    for (until, expected) in [(2400, None), (2002, Some(IdentityError::Expired))] {
        let (between_key, between) = (key(), named("between", true, until));
        let certificate = between.signed_by(&between_key, &root).unwrap();
        let between = Issuer::new(between, between_key);
        let leaf = named("leaf", false, 2400).signed_by(&key(), &between).unwrap();
        let chain = [leaf.der().clone(), certificate.der().clone()];
        for side in [Side::Client, Side::Server] {
            for checked in [Checked::Earlier, Checked::ByOthers] {
                let form = (side, Shown::Certificates);
                let refused = trust.identify(form, &chain, None, checked).err();
                assert_eq!(refused, expected, "{side:?} {checked:?}");
            }
        }
    }
}
