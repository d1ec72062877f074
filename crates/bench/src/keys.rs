//! Keys for registrars over TLS and for who asks them, made on the spot and gone at the end.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use rserpool::transport::Tls;
use rserpool::transport::tls::KeyFiles;

use crate::process::Process;

/// What the registrars are called in their certificate.
const REGISTRAR: &str = "127.0.0.1";
const CLIENT: &str = "client";

/// An authority with a key for registrars and one for who asks, in a directory that nobody else can
/// read.
pub(super) struct Keys {
    dir: PathBuf,
}

impl Keys {
    /// Makes them, by this program's own `tls`.
    pub(super) async fn make() -> anyhow::Result<Self> {
        let name = format!("rserpool-bench-{:016x}", RandomState::new().hash_one(0));
        let dir = std::env::temp_dir().join(name);
        let made = DirBuilder::new().mode(0o700).create(&dir);
        made.with_context(|| format!("cannot make {}", dir.display()))?;
        let keys = Self { dir };
        let dir = keys.dir.to_string_lossy();
        for arguments in [
            &["tls", "ca", &dir][..],
            &["tls", "issue", &dir, REGISTRAR, "--role", "registrar"],
            &["tls", "issue", &dir, CLIENT, "--role", "client"],
        ] {
            let made: anyhow::Result<serde_json::Value> = Process::start(arguments)?.line().await;
            made.context("no keys")?;
        }
        Ok(keys)
    }

    /// What gives a registrar its key.
    pub(super) fn arguments(&self) -> Vec<String> {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let (cert, key) = (file(&format!("{REGISTRAR}.pem")), file(&format!("{REGISTRAR}.key")));
        let ca = file("ca.pem");
        ["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key].map(Into::into).into()
    }

    /// The key of who asks.
    pub(super) fn own(&self) -> anyhow::Result<Tls> {
        let file = |name: &str| self.dir.join(name);
        let mut files = KeyFiles::new(file(&format!("{CLIENT}.key")));
        (files.ca, files.cert) = (vec![file("ca.pem")], Some(file(&format!("{CLIENT}.pem"))));
        Ok(Tls::new(files)?)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // Where it is gone already, that is what was wanted.
        let _ = fs::remove_dir_all(&self.dir);
    }
}
