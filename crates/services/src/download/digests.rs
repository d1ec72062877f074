//! What whole files hash to. A digest is computed once for each state of a file, for all who wait for
//! it, and no longer than one of them waits.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;

/// The digests that are known or computed.
#[derive(Debug)]
pub(super) struct Digests {
    table: Mutex<Table>,
    /// So many files are hashed at once,
    pub(super) hashing: Semaphore,
    /// and so many of these are long: others need not wait for them.
    hashing_long: Semaphore,
}

#[derive(Debug, Default)]
struct Table {
    known: HashMap<Version, [u8; 32]>,
    running: HashMap<Version, Weak<Hashing>>,
}

/// One state of one file.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Version {
    device: u64,
    number: u64,
    octets: u64,
    /// Seconds and nanoseconds.
    changed: [i64; 2],
}

/// A digest that is computed. It ends with the last who waits for it.
#[derive(Debug)]
struct Hashing {
    outcome: watch::Receiver<Option<Result<[u8; 32], String>>>,
    stops: Arc<AtomicBool>,
}

/// Digests that are kept.
const DIGESTS_MAX: usize = 1000;
/// Files that are hashed at once.
pub(super) const HASHING_MAX: usize = 2;
const HASHING_LONG_MAX: usize = 1;
/// Octets of a file that is long.
const LONG: u64 = 1 << 30;

impl Drop for Hashing {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
    }
}

impl Digests {
    pub(super) fn new() -> Self {
        let hashing = Semaphore::new(HASHING_MAX);
        let hashing_long = Semaphore::new(HASHING_LONG_MAX);
        Self { table: Mutex::default(), hashing, hashing_long }
    }

    /// The SHA-256 of the whole file. Whoever drops this waits no longer.
    pub(super) async fn of(self: Arc<Self>, file: Arc<File>) -> io::Result<[u8; 32]> {
        let version = version(&file)?;
        let hashing = {
            let mut table = self.lock();
            if let Some(&digest) = table.known.get(&version) {
                return Ok(digest);
            }
            let running = table.running.get(&version).and_then(Weak::upgrade);
            running.unwrap_or_else(|| {
                let hashing = Arc::new(Arc::clone(&self).begin(file, version));
                table.running.retain(|_, hashing| hashing.strong_count() > 0);
                table.running.insert(version, Arc::downgrade(&hashing));
                hashing
            })
        };
        let mut outcome = hashing.outcome.clone();
        let outcome = outcome.wait_for(Option::is_some).await;
        let outcome = outcome.map_err(io::Error::other)?.clone();
        outcome.unwrap_or_else(|| Err("no digest".into())).map_err(io::Error::other)
    }

    fn begin(self: Arc<Self>, file: Arc<File>, version: Version) -> Hashing {
        let stops = Arc::new(AtomicBool::new(false));
        let (sender, outcome) = watch::channel(None);
        let stop = Arc::clone(&stops);
        tokio::spawn(async move {
            let is_long = version.octets > LONG;
            let long = match is_long {
                true => self.hashing_long.acquire().await.ok(),
                false => None,
            };
            let permit = self.hashing.acquire().await;
            // Nobody may wait any more.
            let hashed = spawn_blocking(move || hash(&file, &stop)).await;
            drop((permit, long));
            let hashed = hashed.map_err(|error| error.to_string());
            let hashed = hashed.and_then(|hashed| hashed.map_err(|error| error.to_string()));
            let mut table = self.lock();
            if let Ok(digest) = hashed {
                if table.known.len() >= DIGESTS_MAX {
                    table.known.clear();
                }
                table.known.insert(version, digest);
            }
            drop(table);
            let _ = sender.send(Some(hashed));
        });
        Hashing { outcome, stops }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version(file: &File) -> io::Result<Version> {
    let status = file.metadata()?;
    Ok(Version {
        device: status.dev(),
        number: status.ino(),
        octets: status.len(),
        changed: [status.mtime(), status.mtime_nsec()],
    })
}

/// The digest, unless it is to stop before.
fn hash(file: &File, stops: &AtomicBool) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut octets = vec![0; 1 << 16];
    let mut offset = 0;
    loop {
        if stops.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        match file.read_at(&mut octets, offset)? {
            0 => return Ok(hash.finalize().into()),
            count => {
                hash.update(&octets[..count]);
                offset += count as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(octets: u64) -> Arc<File> {
        let file = tempfile::tempfile().unwrap();
        file.set_len(octets).unwrap();
        Arc::new(file)
    }

    /// Longer than any test waits.
    const ENDLESS: u64 = 1 << 42;

    #[tokio::test]
    async fn a_digest_that_nobody_waits_for_takes_no_place() {
        let digests = Arc::new(Digests::new());
        let endless: Vec<_> = (0..3).map(|_| file(ENDLESS)).collect();
        let waiting: Vec<_> = endless
            .iter()
            .map(|file| tokio::spawn(Arc::clone(&digests).of(Arc::clone(file))))
            .collect();
        while digests.hashing.available_permits() == HASHING_MAX {
            tokio::task::yield_now().await;
        }
        // Short files have their place beside the long ones.
        let short = file(100);
        let expected: [u8; 32] = Sha256::digest([0; 100]).into();
        assert_eq!(Arc::clone(&digests).of(Arc::clone(&short)).await.unwrap(), expected);
        for waiting in waiting {
            waiting.abort();
            assert!(waiting.await.unwrap_err().is_cancelled());
        }
        while digests.hashing.available_permits() < HASHING_MAX {
            tokio::task::yield_now().await;
        }
        // What is known needs no place.
        let _places = digests.hashing.acquire_many(2).await.unwrap();
        assert_eq!(Arc::clone(&digests).of(short).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn who_comes_later_waits_for_the_same_digest() {
        let digests = Arc::new(Digests::new());
        let places = digests.hashing.acquire_many(2).await.unwrap();
        let file = file(1000);
        let first = tokio::spawn(Arc::clone(&digests).of(Arc::clone(&file)));
        let second = tokio::spawn(Arc::clone(&digests).of(Arc::clone(&file)));
        while digests.lock().running.values().all(|hashing| hashing.strong_count() < 2) {
            tokio::task::yield_now().await;
        }
        // The first one leaves, and the second one still has it.
        first.abort();
        let _ = first.await;
        drop(places);
        let expected: [u8; 32] = Sha256::digest([0; 1000]).into();
        assert_eq!(second.await.unwrap().unwrap(), expected);
        assert_eq!(digests.lock().running.len(), 1);
    }
}
