//! The keys of a registrar, as its configuration file names them.

use std::path::{Path, PathBuf};

use rserpool::transport::tls::{KeyFiles, Pin};
use serde::{Deserialize, Deserializer, de};

use crate::config::{ConfigError, parse_error};

/// Keys, and whom to trust; see [`KeyFiles`].
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Files with certificates of authorities: one, or a list.
    #[serde(deserialize_with = "one_or_more")]
    pub ca: Vec<PathBuf>,
    /// The own certificate, and those between it and the authority behind it.
    pub cert: Option<PathBuf>,
    /// The own private key; absent, there is no TLS.
    pub key: Option<PathBuf>,
    /// Public keys that are trusted without a certificate.
    #[serde(deserialize_with = "pins")]
    pub pins: Vec<Pin>,
    /// Speak TLS 1.2, too.
    pub tls12: bool,
    /// Endpoints without TLS may be opened beside those with it.
    pub plaintext_ok: bool,
}

impl Tls {
    /// The keys; `None` where there are none.
    pub(crate) fn files(&self) -> Option<KeyFiles> {
        let mut files = KeyFiles::new(self.key.as_ref()?);
        files.ca.clone_from(&self.ca);
        files.cert.clone_from(&self.cert);
        files.pins.clone_from(&self.pins);
        files.tls12 = self.tls12;
        Some(files)
    }

    /// Files are named from where the configuration file is.
    pub(crate) fn resolve(&mut self, here: &Path) {
        let files = self.ca.iter_mut().chain(&mut self.cert).chain(&mut self.key);
        files.for_each(|file| *file = here.join(&*file));
    }
}

impl From<KeyFiles> for Tls {
    fn from(files: KeyFiles) -> Self {
        let KeyFiles { ca, cert, key, pins, tls12, .. } = files;
        Self { ca, cert, key: Some(key), pins, tls12, plaintext_ok: false }
    }
}

/// A file of its own with what a section `[tls]` says of keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    #[serde(default, deserialize_with = "one_or_more")]
    ca: Vec<PathBuf>,
    cert: Option<PathBuf>,
    key: PathBuf,
    #[serde(default, deserialize_with = "pins")]
    pins: Vec<Pin>,
    #[serde(default)]
    tls12: bool,
}

/// The keys that a profile names: a TOML file with `key`, and `ca`, `cert`, `pins` and `tls12` as in
/// the section `[tls]` of a registrar's configuration. Files are named from where it is.
///
/// # Errors
///
/// [`ConfigError::Read`] or [`ConfigError::Parse`], which says line and key.
pub fn read_key_profile(path: &Path) -> Result<KeyFiles, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.into(), e))?;
    let Profile { ca, cert, key, pins, tls12 } =
        toml::from_str(&text).map_err(|error| parse_error(path, &text, &error))?;
    let mut tls = Tls { ca, cert, key: Some(key), pins, tls12, plaintext_ok: false };
    if let Some(here) = path.parent() {
        tls.resolve(here);
    }
    Ok(tls.files().unwrap_or_default())
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(PathBuf),
        More(Vec<PathBuf>),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::One(path) => vec![path],
        Written::More(paths) => paths,
    })
}

fn pins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Pin>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_from_where_the_configuration_is() {
        let text = "ca = 'ca.pem'\ncert = '/etc/cert.pem'\nkey = 'keys/key.pem'";
        let mut tls: Tls = toml::from_str(text).unwrap();
        tls.resolve(Path::new("/etc/rserpool"));
        let files = tls.files().unwrap();
        assert_eq!(files.ca, [PathBuf::from("/etc/rserpool/ca.pem")]);
        assert_eq!(files.cert, Some(PathBuf::from("/etc/cert.pem")));
        assert_eq!(files.key, PathBuf::from("/etc/rserpool/keys/key.pem"));
    }

    #[test]
    fn what_is_no_pin_is_said_so() {
        let error = toml::from_str::<Tls>("key = 'k'\npins = ['spki:1']").unwrap_err().to_string();
        assert!(error.contains("`spki:1` is not a pin"), "{error}");
    }
}
