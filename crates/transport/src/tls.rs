//! TLS (RFC 8446): keys of this node, whom it trusts, and who its peers have proved to be.
//!
//! | file | what it holds |
//! |---|---|
//! | `config` | what rustls is told: versions, verifiers, tickets |
//! | `files` | keys and certificates on disk, and what may be wrong with them |
//! | `identity` | [`Identity`]: what a peer has proved; [`Expected`]: what it has to |
//! | `trust` | certificates and raw public keys (RFC 7250), checked |
//!
//! A node has one [`Tls`], which its endpoints share. [`Tls::reload`] reads the files again, all of
//! them or none; associations whose peers are not trusted any more end then.

mod config;
mod files;
mod identity;
mod trust;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub(crate) use self::config::Config;
pub use self::files::{
    KeyError, KeyFiles, KeyProblem, PIN_PREFIX, Pin, PinError, key_of, read_certificates,
};
pub use self::identity::{Expected, Identity, IdentityError, Name, ParsedCertificate, Role};
pub(crate) use self::trust::{Checked, Shown, Side, judgement};

use crate::ready::Source;

/// The keys of a node and whom it trusts. Clones share them.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: Mutex<KeyFiles>,
    current: RwLock<Arc<Config>>,
    /// Endpoints that look at their associations after a change.
    watchers: Mutex<Vec<Source>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`KeyError`], which says which file is wrong, and how.
    pub fn new(files: KeyFiles) -> Result<Self, KeyError> {
        let current = RwLock::new(Arc::new(Config::new(files.load()?)));
        let files = Mutex::new(files);
        Ok(Self(Arc::new(Shared { files, current, watchers: Mutex::default() })))
    }

    /// Reads the files again. Associations of peers that are still trusted go on; the others end.
    /// Sessions are not resumed across a change.
    ///
    /// # Errors
    ///
    /// [`KeyError`]: everything is as it was.
    pub fn reload(&self) -> Result<(), KeyError> {
        self.change(Arc::new(Config::new(self.files().load()?)));
        Ok(())
    }

    /// Goes by the keys, the trust and the files of another one from now on, as after a
    /// [`reload`](Self::reload).
    pub fn replace_by(&self, other: &Self) {
        let files = other.files();
        *self.0.files.lock().unwrap_or_else(PoisonError::into_inner) = files;
        self.change(other.current());
    }

    fn change(&self, config: Arc<Config>) {
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        for watcher in self.watchers().iter() {
            watcher.wake();
        }
    }

    /// The files that were read.
    #[must_use]
    pub fn files(&self) -> KeyFiles {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The SHA-256 of the own public key (SubjectPublicKeyInfo): what others pin.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.current().public_key()
    }

    pub(crate) fn current(&self) -> Arc<Config> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Wakes this source after each change, as long as its queue lives.
    pub(crate) fn watch(&self, source: Source) {
        let mut watchers = self.watchers();
        watchers.retain(Source::is_live);
        watchers.push(source);
    }

    fn watchers(&self) -> std::sync::MutexGuard<'_, Vec<Source>> {
        self.0.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No key material.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.files()).finish()
    }
}

#[cfg(test)]
mod tests;
