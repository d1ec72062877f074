//! The keys of a command, and whom it trusts: given in one way everywhere.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;
use rserpool::transport::Tls;
use rserpool::transport::tls::{KeyFiles, Pin};

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
}

impl KeyArgs {
    /// What is given; `None` where there are no keys.
    ///
    /// # Errors
    ///
    /// Something is given, but no private key.
    pub(crate) fn files(&self) -> anyhow::Result<Option<KeyFiles>> {
        let Some(key) = &self.key else {
            let is_empty = self.ca.is_empty() && self.cert.is_none() && self.pins.is_empty();
            return if is_empty { Ok(None) } else { Err(without_key()) };
        };
        let mut files = KeyFiles::new(key);
        files.ca.clone_from(&self.ca);
        files.cert.clone_from(&self.cert);
        files.pins.clone_from(&self.pins);
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
