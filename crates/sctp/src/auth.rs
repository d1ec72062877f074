//! Authenticated chunks (RFC 4895), with the keys that both sides draw at the beginning: who did not
//! see INIT and INIT ACK cannot forge what comes later. There are no other keys.

use std::cmp::Ordering;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

use crate::chunk::{self, Chunk};
use crate::parameter::{self, Parameter, kind};
use crate::read::u16_at;

/// Chunks that we take only with AUTH: those that change addresses.
pub(crate) const PROTECTED: [u8; 2] = [chunk::kind::ASCONF, chunk::kind::ASCONF_ACK];

/// Octets that a peer's three parameters may take together.
const VECTOR_MAX: usize = 512;

/// An HMAC (RFC 4895 §3.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Algorithm {
    Sha1,
    Sha256,
}

impl Algorithm {
    /// Those that we know, the better one first.
    const ALL: [Self; 2] = [Self::Sha256, Self::Sha1];

    fn number(self) -> u16 {
        match self {
            Self::Sha1 => 1,
            Self::Sha256 => 3,
        }
    }

    fn of(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.number() == number)
    }

    fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The HMAC over an AUTH chunk with zeros in the place of the HMAC, and what is behind it.
    fn over(self, key: &[u8], auth: [u8; 8], behind: &[u8]) -> [u8; 32] {
        let zeros = [0; 32];
        let parts = [&auth[..], zeros.get(..self.length()).unwrap_or_default(), behind];
        let mut digest = [0; 32];
        match self {
            Self::Sha1 => digest[..20].copy_from_slice(&mac::<Hmac<Sha1>>(key, parts)),
            Self::Sha256 => digest.copy_from_slice(&mac::<Hmac<Sha256>>(key, parts)),
        }
        digest
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], parts: [&[u8]; 3]) -> Vec<u8> {
    // HMAC takes a key of any length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// What one side says about AUTH: its parameters RANDOM, CHUNKS and HMAC-ALGO, without padding, which
/// are its half of the key (RFC 4895 §6.1).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Vector {
    random: Vec<u8>,
    chunks: Vec<u8>,
    algorithms: Vec<u8>,
}

impl Vector {
    /// Our own, with these random octets.
    pub(crate) fn own(random: &[u8; 32]) -> Self {
        let whole = |kind, value: &[u8]| {
            let mut octets = Vec::with_capacity(4 + value.len());
            parameter::write(&mut octets, kind, |octets| octets.extend_from_slice(value));
            octets.truncate(4 + value.len());
            octets
        };
        let algorithms: Vec<u8> =
            Algorithm::ALL.iter().flat_map(|a| a.number().to_be_bytes()).collect();
        Self {
            random: whole(kind::RANDOM, random),
            chunks: whole(kind::CHUNKS, &PROTECTED),
            algorithms: whole(kind::HMAC_ALGO, &algorithms),
        }
    }

    /// Notes one of the peer's parameters.
    pub(crate) fn take(&mut self, parameter: &Parameter<'_>) {
        let place = match parameter.kind {
            kind::RANDOM => &mut self.random,
            kind::CHUNKS => &mut self.chunks,
            _ => &mut self.algorithms,
        };
        *place = parameter.whole.to_vec();
    }

    /// Itself, where its sender can do AUTH with an HMAC that we know.
    pub(crate) fn usable(self) -> Option<Self> {
        let length = self.random.len() + self.chunks.len() + self.algorithms.len();
        let usable = self.random.len() > 4 && length <= VECTOR_MAX && self.algorithm().is_some();
        usable.then_some(self)
    }

    /// The parameters as they are sent.
    pub(crate) fn write(&self, octets: &mut Vec<u8>) {
        for part in [&self.random, &self.chunks, &self.algorithms] {
            octets.extend_from_slice(part);
            octets.resize(octets.len().next_multiple_of(4), 0);
        }
    }

    /// The HMAC to send to it: the first of its list that we know (RFC 4895 §3.3).
    fn algorithm(&self) -> Option<Algorithm> {
        let numbers = self.algorithms.get(4..)?.as_chunks::<2>().0;
        numbers.iter().find_map(|number| Algorithm::of(u16::from_be_bytes(*number)))
    }

    fn octets(&self) -> Vec<u8> {
        [&self.random[..], &self.chunks, &self.algorithms].concat()
    }
}

/// The key of two vectors: the numerically smaller one first (RFC 4895 §6.1).
fn key(one: &[u8], other: &[u8]) -> Vec<u8> {
    let length = one.len().max(other.len());
    let number = |vector: &[u8]| [&vec![0; length - vector.len()][..], vector].concat();
    let one_first = match number(one).cmp(&number(other)) {
        Ordering::Less => true,
        Ordering::Equal => one.len() <= other.len(),
        Ordering::Greater => false,
    };
    if one_first { [one, other].concat() } else { [other, one].concat() }
}

/// What an AUTH chunk is worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// What is behind it is authentic.
    Authentic,
    /// It and all behind it is to be discarded (RFC 4895 §6.3).
    Forged,
    /// The same, and its sender is to be told that there is no such HMAC.
    Unsupported(u16),
}

/// AUTH between two endpoints that both can do it.
#[derive(Clone, Debug)]
pub(crate) struct Auth {
    key: Vec<u8>,
    /// The peer's parameter CHUNKS.
    chunks: Vec<u8>,
    algorithm: Algorithm,
}

impl Auth {
    /// Of what both said.
    pub(crate) fn new(own: &Vector, peer: &Vector) -> Option<Self> {
        let algorithm = peer.algorithm()?;
        let key = key(&own.octets(), &peer.octets());
        Some(Self { key, chunks: peer.chunks.clone(), algorithm })
    }

    /// Whether the peer takes chunks of this type only with AUTH.
    pub(crate) fn is_needed(&self, kind: u8) -> bool {
        // RFC 4895 §3.2: these are never authenticated.
        let never = [
            chunk::kind::INIT,
            chunk::kind::INIT_ACK,
            chunk::kind::SHUTDOWN_COMPLETE,
            chunk::kind::AUTH,
        ];
        !never.contains(&kind) && self.chunks.get(4..).is_some_and(|list| list.contains(&kind))
    }

    /// Octets of an AUTH chunk.
    pub(crate) fn length(&self) -> usize {
        8 + self.algorithm.length()
    }

    /// Appends an AUTH chunk without its HMAC.
    pub(crate) fn reserve(&self, packet: &mut Vec<u8>) {
        chunk::write(packet, chunk::kind::AUTH, 0, |packet| {
            packet.extend_from_slice(&[0, 0]);
            packet.extend_from_slice(&self.algorithm.number().to_be_bytes());
            packet.resize(packet.len() + self.algorithm.length(), 0);
        });
    }

    /// Writes the HMAC of the AUTH chunk at `at`, once all is there that it is for.
    pub(crate) fn sign(&self, packet: &mut [u8], at: usize) {
        let length = self.algorithm.length();
        let Some((_, auth)) = packet.split_at_mut_checked(at) else { return };
        let Some((head, rest)) = auth.split_first_chunk_mut::<8>() else { return };
        let Some((place, behind)) = rest.split_at_mut_checked(length) else { return };
        let digest = self.algorithm.over(&self.key, *head, behind);
        place.copy_from_slice(digest.get(..length).unwrap_or_default());
    }

    /// Looks at an AUTH chunk of a packet.
    pub(crate) fn verify(&self, packet: &[u8], auth: &Chunk<'_>) -> Verdict {
        let Some(number) = u16_at(auth.value, 2) else { return Verdict::Forged };
        let Some(algorithm) = Algorithm::of(number) else { return Verdict::Unsupported(number) };
        let behind = packet.get(auth.offset + auth.whole.len()..).unwrap_or_default();
        let (Some(head), Some(found)) = (auth.whole.first_chunk::<8>(), auth.value.get(4..)) else {
            return Verdict::Forged;
        };
        let expected = algorithm.over(&self.key, *head, behind);
        let expected = expected.get(..algorithm.length()).unwrap_or_default();
        // Key 0 is the only one. The whole HMAC is compared in any case.
        let differences = expected.iter().zip(found).fold(0, |sum, (a, b)| sum | (a ^ b));
        let same = found.len() == expected.len() && differences == 0;
        let is_key_0 = u16_at(auth.value, 0) == Some(0);
        if same && is_key_0 { Verdict::Authentic } else { Verdict::Forged }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Chunks;

    fn peer(algorithms: &[u8], chunks: &[u8]) -> Vector {
        let mut vector = Vector::default();
        for (kind, value) in
            [(kind::RANDOM, &[7; 32][..]), (kind::CHUNKS, chunks), (kind::HMAC_ALGO, algorithms)]
        {
            let mut octets = Vec::new();
            parameter::write(&mut octets, kind, |octets| octets.extend_from_slice(value));
            let parameter = parameter::Parameters::new(&octets).next().unwrap();
            vector.take(&parameter);
        }
        vector
    }

    #[test]
    fn both_sides_have_one_key_and_what_is_changed_is_noticed() {
        let (one, other) = (Vector::own(&[1; 32]), peer(&[0, 1, 0, 3], &[0xc1]).usable().unwrap());
        let sender = Auth::new(&one, &other).unwrap();
        let receiver = Auth::new(&other, &one).unwrap();
        assert_eq!((sender.algorithm, receiver.algorithm), (Algorithm::Sha1, Algorithm::Sha256));
        assert!(sender.is_needed(0xc1) && !sender.is_needed(0x80) && receiver.is_needed(0x80));
        let mut packet = vec![0; 12];
        let at = packet.len();
        sender.reserve(&mut packet);
        assert_eq!(packet.len() - at, sender.length());
        chunk::write(&mut packet, chunk::kind::ASCONF, 0, |packet| packet.push(1));
        sender.sign(&mut packet, at);
        let verify =
            |packet: &[u8]| receiver.verify(packet, &Chunks::new(packet, at).next().unwrap());
        assert_eq!(verify(&packet), Verdict::Authentic);
        for place in at + 4..packet.len() {
            let mut forged = packet.clone();
            forged[place] ^= 1;
            assert_ne!(verify(&forged), Verdict::Authentic, "octet {place}");
        }
        packet[at + 7] = 9;
        assert_eq!(verify(&packet), Verdict::Unsupported(9));
    }

    #[test]
    fn who_knows_none_of_our_hmacs_cannot_do_it() {
        assert_eq!(peer(&[0, 2], &[0xc1]).usable(), None);
        assert_eq!(peer(&[], &[0xc1]).usable(), None);
        assert_eq!(peer(&[0, 1], &[0xc1; 600]).usable(), None);
    }

    #[test]
    fn the_smaller_number_is_first_in_the_key() {
        assert_eq!(key(&[1, 0], &[2]), [2, 1, 0]);
        assert_eq!(key(&[2], &[1, 0]), [2, 1, 0]);
        assert_eq!(key(&[0, 2], &[2]), [2, 0, 2]);
    }
}
