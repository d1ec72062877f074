//! The keys of a command, and whom it trusts: given in one way everywhere.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;
use rserpool::transport::Tls;
use rserpool::transport::tls::{KeyFiles, Pin};
use rserpool_registrar::read_key_profile;

use crate::exit::Failure;

/// Keys for `tls://`, and whom to trust there.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Keys")]
pub(crate) struct KeyArgs {
    /// A PEM file with certificates of authorities. Peers with a certificate of one of them are
    /// trusted. May be repeated.
    #[arg(long = "tls-ca", value_name = "FILE", env = "RSERPOOL_TLS_CA", value_delimiter = ',')]
    ca: Vec<PathBuf>,

    /// A PEM file with the own certificate, followed by those between it and the authority. Without
    /// it only the public key is shown to peers (RFC 7250).
    #[arg(long = "tls-cert", value_name = "FILE", env = "RSERPOOL_TLS_CERT")]
    cert: Option<PathBuf>,

    /// A PEM file with the own private key, which only its owner may read. With a key everything
    /// goes over TLS. See rserpool tls.
    #[arg(long = "tls-key", value_name = "FILE", env = "RSERPOOL_TLS_KEY")]
    key: Option<PathBuf>,

    /// A public key that is trusted without a certificate, as rserpool tls show prints it. Its role
    /// may precede it, as in registrar=spki:... May be repeated.
    #[arg(long = "tls-pin", value_name = "PIN", env = "RSERPOOL_TLS_PIN", value_delimiter = ',')]
    pins: Vec<Pin>,

    /// A TOML file that names all of these: key, ca, cert and pins, as in the section [tls] of a
    /// registrar's configuration, and from where it is. What is given otherwise overrides it.
    #[arg(long = "tls-profile", value_name = "FILE", env = "RSERPOOL_TLS_PROFILE")]
    key_profile: Option<PathBuf>,
}

impl KeyArgs {
    /// What is given; `None` where there are no keys.
    ///
    /// # Errors
    ///
    /// Something is given, but no private key; or a profile that cannot be used.
    pub(crate) fn files(&self) -> anyhow::Result<Option<KeyFiles>> {
        let profile = self.key_profile.as_deref().map(read_key_profile).transpose()?;
        let Some(mut files) = profile.or_else(|| self.key.as_ref().map(KeyFiles::new)) else {
            let is_empty = self.ca.is_empty() && self.cert.is_none() && self.pins.is_empty();
            return if is_empty { Ok(None) } else { Err(without_key()) };
        };
        if let Some(key) = &self.key {
            files.key.clone_from(key);
        }
        if !self.ca.is_empty() {
            files.ca.clone_from(&self.ca);
        }
        if self.cert.is_some() {
            files.cert.clone_from(&self.cert);
        }
        if !self.pins.is_empty() {
            files.pins.clone_from(&self.pins);
        }
        Ok(Some(files))
    }

    /// The keys, read; `None` where none are given.
    ///
    /// # Errors
    ///
    /// A file that cannot be used, with exit code 78.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Tls>> {
        let Some(files) = self.files().context(Failure::Configuration)? else { return Ok(None) };
        Ok(Some(Tls::new(files).context(Failure::Configuration)?))
    }
}

fn without_key() -> anyhow::Error {
    anyhow!("whom to trust is said, but there is no own key: give --tls-key (RSERPOOL_TLS_KEY)")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        keys: KeyArgs,
    }

    fn files(args: &[&str]) -> anyhow::Result<Option<KeyFiles>> {
        Line::parse_from([&["rserpool"], args].concat()).keys.files()
    }

    #[test]
    fn a_profile_names_all_and_options_override_it() {
        let dir = tempfile::tempdir().unwrap();
        let (profile, pin) = (dir.path().join("web.toml"), format!("spki:{}", "ab".repeat(32)));
        let option = ["--tls-profile", profile.to_str().unwrap()];
        let text = format!("key = 'web.key'\ncert = 'web.pem'\nca = 'ca.pem'\npins = ['{pin}']\n");
        fs::write(&profile, text).unwrap();
        let mut expected = KeyFiles::new(dir.path().join("web.key"));
        expected.cert = Some(dir.path().join("web.pem"));
        expected.ca = vec![dir.path().join("ca.pem")];
        expected.pins = vec![pin.parse().unwrap()];
        assert_eq!(files(&option).unwrap(), Some(expected.clone()));
        let more = ["--tls-ca", "/a,/b", "--tls-key", "/k"];
        (expected.ca, expected.key) = (vec!["/a".into(), "/b".into()], "/k".into());
        assert_eq!(files(&[&option[..], &more].concat()).unwrap(), Some(expected));
        for (text, complaint) in [
            ("cert = 'web.pem'", "missing field `key`"),
            ("key = 'k'\nplaintext_ok = true", "line 2"),
            ("key = 'k'\npins = ['spki:1']", "is not a pin"),
        ] {
            fs::write(&profile, text).unwrap();
            let error = format!("{:#}", files(&option).unwrap_err());
            assert!(error.contains("web.toml") && error.contains(complaint), "{error}");
        }
        fs::remove_file(&profile).unwrap();
        assert!(files(&option).is_err());
    }
}
