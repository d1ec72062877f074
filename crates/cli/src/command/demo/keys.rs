//! The keys of a secure demo, made on the spot, and gone at its end.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use rserpool::transport::Tls;
use rserpool::transport::tls::{KeyFiles, Name, Role};

use crate::command::tls::authority::{Authority, Request};

/// A key for each role, in a directory that nobody else can read.
pub(super) struct Keys {
    dir: PathBuf,
}

impl Keys {
    pub(super) fn make() -> anyhow::Result<Self> {
        let name = format!("rserpool-demo-{:016x}", RandomState::new().hash_one(0));
        let dir = std::env::temp_dir().join(name);
        let made = DirBuilder::new().mode(0o700).create(&dir);
        made.with_context(|| format!("cannot make {}", dir.display()))?;
        let keys = Self { dir };
        Authority::make(&keys.dir, 1)?;
        let authority = Authority::open(&keys.dir)?;
        for role in Role::ALL {
            let names = [Name::Ip([127, 0, 0, 1].into())];
            let (name, pools) = (role.label(), &[]);
            let request = Request { name, role, names: &names, pools, days: 1, renew: false };
            authority.issue(&request)?;
        }
        Ok(keys)
    }

    /// What gives a process the key of this role.
    pub(super) fn arguments(&self, role: Role) -> Vec<String> {
        let file = |name: String| self.dir.join(name).display().to_string();
        let (cert, key) = (file(format!("{role}.pem")), file(format!("{role}.key")));
        let ca = file("ca.pem".into());
        ["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key].map(Into::into).into()
    }

    /// The keys of this process.
    pub(super) fn own(&self) -> anyhow::Result<Tls> {
        let file = |name: &str| self.dir.join(name);
        let mut files = KeyFiles::new(file("client.key"));
        (files.ca, files.cert) = (vec![file("ca.pem")], Some(file("client.pem")));
        Ok(Tls::new(files)?)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
