//! Cookies that only servers of the pool can make.
//!
//! A user keeps the state of its session for the servers, and can do with it what it likes. With a
//! key that all servers of a pool have, the state goes out as
//!
//! ```text
//! | "RSPc" | version 1 | flags | pool length (2) | key id (4) | expiry (8) |
//! | pool handle | state, or nonce (24) and encrypted state | padding | HMAC-SHA256 (32) |
//! ```
//!
//! and is refused where anything in it was changed, where it is of another pool, or where its time
//! is over. The expiry is in seconds of Unix time. The length is a multiple of 4, as rsplib wants
//! it. Without a key the state goes out as it is.

use std::fmt;
use std::time::Duration;

use chacha20poly1305::aead::{Aead, KeyInit as _};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rserpool_wire::param::{Cookie, PoolHandle};
use sha2::Sha256;

const MAGIC: &[u8; 4] = b"RSPc";
const VERSION: u8 = 1;
/// The flag of encrypted states.
const ENCRYPTED: u8 = 1;
/// Where in the flags the octets of padding stand, 0 to 3.
const PAD_SHIFT: u8 = 6;
/// Octets before the pool handle.
const HEADER: usize = 20;
const NONCE: usize = 24;
/// What encryption adds behind the state.
const TAG: usize = 16;
/// The length is a multiple of this.
const ALIGNMENT: usize = 4;
const MAC: usize = 32;

/// A secret that the servers of a pool share.
#[derive(Clone)]
pub struct Key {
    id: [u8; 4],
    mac: Hmac<Sha256>,
    cipher: XChaCha20Poly1305,
}

/// A text that is no key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// Not hexadecimal.
    #[error("line {0} is not hexadecimal")]
    NotHexadecimal(usize),
    /// Fewer than 32 octets.
    #[error("line {0} has fewer than {KEY_OCTETS_MIN} octets")]
    TooShort(usize),
    /// Zeros only, which everybody would guess.
    #[error("line {0} is a key of zeros, which is no secret")]
    Zero(usize),
    /// No key at all.
    #[error("there is no key")]
    Empty,
}

/// The shortest key, in octets.
pub const KEY_OCTETS_MIN: usize = 32;

impl Key {
    /// A key of [`KEY_OCTETS_MIN`] octets or more, `None` for fewer.
    pub fn new(secret: &[u8]) -> Option<Self> {
        if secret.len() < KEY_OCTETS_MIN {
            return None;
        }
        let mac = keyed(secret)?;
        let derive = |what: &[u8]| mac.clone().chain_update(what).finalize().into_bytes();
        let name = derive(b"rserpool cookie: name");
        Some(Self {
            id: [name[0], name[1], name[2], name[3]],
            mac: keyed(&derive(b"rserpool cookie: authentication"))?,
            cipher: XChaCha20Poly1305::new(&derive(b"rserpool cookie: encryption")),
        })
    }

    /// Reads keys, one in hexadecimal digits a line; what comes after `#` is a comment. The first
    /// seals; all of them open, so that keys can be changed while cookies are about.
    ///
    /// # Errors
    ///
    /// The first line that is no key, or that there is none.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, KeyError> {
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let secret = unhex(line).ok_or(KeyError::NotHexadecimal(number))?;
            keys.push(Self::new(&secret).ok_or(KeyError::TooShort(number))?);
            if secret.iter().all(|octet| *octet == 0) {
                return Err(KeyError::Zero(number));
            }
        }
        if keys.is_empty() { Err(KeyError::Empty) } else { Ok(keys) }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:08x})", u32::from_be_bytes(self.id))
    }
}

/// Why a cookie is not taken. The session begins anew.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It is not sealed, and has to be.
    #[error("not sealed")]
    Unsealed,
    /// It is sealed, and there is no key here.
    #[error("sealed, and no key is configured")]
    NoKey,
    /// Sealed with a key that is not known here.
    #[error("sealed with an unknown key")]
    UnknownKey,
    /// Not what a server made: it was changed, or cut.
    #[error("tampered with")]
    Tampered,
    /// A form that this version does not know.
    #[error("of an unknown version")]
    Version,
    /// It is of another pool.
    #[error("of another pool")]
    OtherPool,
    /// Its time is over.
    #[error("expired")]
    Expired,
}

/// How the servers of a pool make and take cookies.
#[derive(Debug)]
pub struct Cookies {
    sealing: Sealing,
    life: Duration,
    encrypts: bool,
}

/// Whether cookies are sealed, and what that takes.
#[derive(Debug)]
enum Sealing {
    /// A cookie is the state itself.
    Plain,
    /// Only servers with a key can make cookies.
    Sealed {
        keys: Box<Keys>,
        /// Nonces are drawn from it.
        rng: Box<StdRng>,
        /// What has no seal is taken, too.
        accepts_unsealed: bool,
    },
}

/// One key or more.
#[derive(Debug)]
struct Keys {
    /// It seals; all of them open.
    first: Key,
    rest: Vec<Key>,
}

impl Keys {
    fn new(keys: Vec<Key>) -> Option<Self> {
        let mut keys = keys.into_iter();
        Some(Self { first: keys.next()?, rest: keys.collect() })
    }

    fn find(&self, id: [u8; 4]) -> Option<&Key> {
        std::iter::once(&self.first).chain(&self.rest).find(|key| key.id == id)
    }
}

/// Why the keys of cookies were not changed. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SetKeysError {
    /// Without a key the cookies that are about could not be opened, and clients could make others.
    #[error("there is no key")]
    Empty,
    /// Cookies are plain: there is nothing to draw nonces from. [`Cookies::seal_with`] takes a seed.
    #[error("cookies are not sealed here")]
    Plain,
}

impl Cookies {
    /// Cookies that are the state itself: whoever has one can change it.
    pub fn plain() -> Self {
        Self { sealing: Sealing::Plain, life: LIFE, encrypts: false }
    }

    /// Sealed cookies: the first key seals, all of them open, and what is not sealed is refused.
    /// Without any key they are [`plain`](Self::plain). `seed` is what nonces are drawn from: two
    /// servers with the same one would use the same nonces, so it comes from the system's generator.
    pub fn sealed(keys: Vec<Key>, seed: [u8; 32]) -> Self {
        let mut cookies = Self::plain();
        // Only an empty list is refused.
        let _ = cookies.seal_with(keys, seed);
        cookies
    }

    /// Seals from now on, with these keys and nonces drawn from this seed, whatever was before.
    /// Cookies that were plain are refused then, unless they were
    /// [accepted](Self::accepting_unsealed) by a sealing server before.
    ///
    /// # Errors
    ///
    /// [`SetKeysError::Empty`]; nothing has changed.
    pub fn seal_with(&mut self, keys: Vec<Key>, seed: [u8; 32]) -> Result<(), SetKeysError> {
        let keys = Box::new(Keys::new(keys).ok_or(SetKeysError::Empty)?);
        let accepts_unsealed =
            matches!(self.sealing, Sealing::Sealed { accepts_unsealed: true, .. });
        let rng = Box::new(StdRng::from_seed(seed));
        self.sealing = Sealing::Sealed { keys, rng, accepts_unsealed };
        Ok(())
    }

    /// Draws nonces from another seed from now on. Plain cookies have none.
    pub fn reseed(&mut self, seed: [u8; 32]) {
        if let Sealing::Sealed { rng, .. } = &mut self.sealing {
            **rng = StdRng::from_seed(seed);
        }
    }

    /// How long a cookie is good for. Default: 1 h.
    #[must_use]
    pub fn with_life(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }

    /// Encrypts the state, too, so that users cannot read it. Without keys nothing is encrypted.
    #[must_use]
    pub fn encrypted(mut self) -> Self {
        self.encrypts = true;
        self
    }

    /// Takes cookies without seal as well: for pools with members that have no key. Plain cookies
    /// have no seal anyway.
    #[must_use]
    pub fn accepting_unsealed(mut self) -> Self {
        if let Sealing::Sealed { accepts_unsealed, .. } = &mut self.sealing {
            *accepts_unsealed = true;
        }
        self
    }

    /// Octets of the longest state that fits into a cookie of this pool: the same whether or not
    /// cookies are sealed, so that a pool may get a key.
    pub fn state_max(pool: &PoolHandle) -> usize {
        let beside = HEADER + pool.as_bytes().len() + NONCE + TAG + (ALIGNMENT - 1) + MAC;
        Cookie::MAX_LEN.saturating_sub(beside)
    }

    /// True where cookies are sealed.
    pub fn is_sealing(&self) -> bool {
        matches!(self.sealing, Sealing::Sealed { .. })
    }

    /// Changes the keys of sealed cookies, as after their file was read again: the first seals from
    /// now on, all of them open.
    ///
    /// # Errors
    ///
    /// There is no key, or cookies are plain; nothing has changed.
    pub fn set_keys(&mut self, keys: Vec<Key>) -> Result<(), SetKeysError> {
        let keys_new = Keys::new(keys).ok_or(SetKeysError::Empty)?;
        match &mut self.sealing {
            Sealing::Plain => Err(SetKeysError::Plain),
            Sealing::Sealed { keys, .. } => {
                **keys = keys_new;
                Ok(())
            }
        }
    }

    /// The cookie of a state; `now` in seconds of Unix time.
    pub fn seal(&mut self, pool: &PoolHandle, now: u64, state: &[u8]) -> Vec<u8> {
        let Sealing::Sealed { keys, rng, .. } = &mut self.sealing else {
            return state.to_vec();
        };
        let key = &keys.first;
        let sealed = self.encrypts.then(|| encrypt(key, rng, state)).flatten();
        let flags = if sealed.is_some() { ENCRYPTED } else { 0 };
        let body = sealed.as_deref().unwrap_or(state);
        let handle = pool.as_bytes();
        let pad = (HEADER + handle.len() + body.len()).wrapping_neg() % ALIGNMENT;
        let mut cookie = Vec::with_capacity(HEADER + handle.len() + body.len() + pad + MAC);
        cookie.extend_from_slice(MAGIC);
        cookie.extend([VERSION, flags | u8::try_from(pad).unwrap_or_default() << PAD_SHIFT]);
        cookie.extend(u16::try_from(handle.len()).unwrap_or(u16::MAX).to_be_bytes());
        cookie.extend_from_slice(&key.id);
        cookie.extend_from_slice(&now.saturating_add(self.life.as_secs()).to_be_bytes());
        cookie.extend_from_slice(handle);
        cookie.extend_from_slice(body);
        cookie.resize(cookie.len() + pad, 0);
        let mac = key.mac.clone().chain_update(&cookie).finalize();
        cookie.extend_from_slice(&mac.into_bytes());
        cookie
    }

    /// The state in a cookie; `now` in seconds of Unix time.
    ///
    /// # Errors
    ///
    /// The cookie is not to be trusted; nothing has changed.
    pub fn open(&self, pool: &PoolHandle, now: u64, cookie: &[u8]) -> Result<Vec<u8>, Refusal> {
        let (keys, accepts_unsealed) = match &self.sealing {
            Sealing::Plain => (None, true),
            Sealing::Sealed { keys, accepts_unsealed, .. } => (Some(keys), *accepts_unsealed),
        };
        if !cookie.starts_with(MAGIC) {
            return if accepts_unsealed { Ok(cookie.to_vec()) } else { Err(Refusal::Unsealed) };
        }
        let keys = keys.ok_or(Refusal::NoKey)?;
        let (content, mac) = cookie.split_last_chunk::<MAC>().ok_or(Refusal::Tampered)?;
        let (header, rest) = content.split_first_chunk::<HEADER>().ok_or(Refusal::Tampered)?;
        let [_, _, _, _, version, flags, l0, l1, id @ .., _, _, _, _, _, _, _, _] = header;
        let key = keys.find(*id).ok_or(Refusal::UnknownKey)?;
        let expected = key.mac.clone().chain_update(content);
        expected.verify_slice(mac).map_err(|_| Refusal::Tampered)?;
        // From here on a server of the pool has written it.
        if *version != VERSION {
            return Err(Refusal::Version);
        }
        let length = u16::from_be_bytes([*l0, *l1]);
        let (handle, rest) = rest.split_at_checked(length.into()).ok_or(Refusal::Tampered)?;
        if pool.as_bytes() != handle {
            return Err(Refusal::OtherPool);
        }
        let (_, expiry) = header.split_last_chunk::<8>().ok_or(Refusal::Tampered)?;
        if u64::from_be_bytes(*expiry) < now {
            return Err(Refusal::Expired);
        }
        let end = rest.len().checked_sub((flags >> PAD_SHIFT).into()).ok_or(Refusal::Tampered)?;
        match flags & ENCRYPTED {
            0 => Ok(rest[..end].to_vec()),
            _ => decrypt(key, &rest[..end]).ok_or(Refusal::Tampered),
        }
    }
}

const LIFE: Duration = Duration::from_secs(3_600);

/// HMAC takes keys of any length (RFC 2104 §2), whatever its type says.
fn keyed(secret: &[u8]) -> Option<Hmac<Sha256>> {
    <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(secret).ok()
}

fn encrypt(key: &Key, rng: &mut StdRng, state: &[u8]) -> Option<Vec<u8>> {
    let nonce: [u8; NONCE] = rng.random();
    let secret = key.cipher.encrypt(&XNonce::from(nonce), state).ok()?;
    Some([&nonce[..], &secret].concat())
}

fn decrypt(key: &Key, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, secret) = sealed.split_first_chunk::<NONCE>()?;
    key.cipher.decrypt(&XNonce::from(*nonce), secret).ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|value| value.try_into().ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
