//! The client's side of a download, as a value.

use sha2::{Digest as _, Sha256};

use super::packet::{Packet, Refusal};

/// A download, over all servers: what came so far, and its hash.
#[derive(Debug)]
pub struct Receiver {
    path: String,
    offset: u64,
    hash: Sha256,
    size: Option<u64>,
}

/// What a message brings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Arrival {
    /// The file's size.
    Size(u64),
    /// The next octets of the file.
    Octets(Vec<u8>),
    /// Octets that are there already.
    Nothing,
    /// All is there, and it is what the server has.
    Complete([u8; 32]),
    /// It is not to be had.
    Refused(Refusal, String),
    /// What the servers have is not one file.
    Differs(&'static str),
    /// The server says what makes no sense.
    Broken,
}

impl Receiver {
    /// Nothing yet.
    pub fn new(path: String) -> Self {
        Self { path, offset: 0, hash: Sha256::new(), size: None }
    }

    /// There are more octets than it knew, from an earlier try: before anything is asked for.
    pub fn has(&mut self, octets: &[u8]) {
        self.offset += octets.len() as u64;
        self.hash.update(octets);
    }

    /// Asks a server for what is missing.
    pub fn ask(&self) -> Packet {
        Packet::Fetch { offset: self.offset, path: self.path.clone() }
    }

    /// How many octets there are by now.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes a message.
    pub fn receive(&mut self, octets: &[u8]) -> Arrival {
        match Packet::decode(octets) {
            Ok(Packet::Found { size }) => match self.size.replace(size) {
                Some(before) if before != size => Arrival::Differs("files of different sizes"),
                _ => Arrival::Size(size),
            },
            Ok(Packet::Data { offset, octets }) => self.data(offset, octets),
            Ok(Packet::End { .. }) if self.size != Some(self.offset) => {
                Arrival::Differs("a file that ends early")
            }
            Ok(Packet::End { digest }) => {
                let here: [u8; 32] = self.hash.clone().finalize().into();
                match here == digest {
                    true => Arrival::Complete(digest),
                    false => Arrival::Differs("another SHA-256"),
                }
            }
            Ok(Packet::Refused { reason: Refusal::Shorter, .. }) => {
                Arrival::Differs("files of different sizes")
            }
            Ok(Packet::Refused { reason, text }) => Arrival::Refused(reason, text),
            Ok(Packet::Fetch { .. }) | Err(_) => Arrival::Broken,
        }
    }

    fn data(&mut self, offset: u64, mut octets: Vec<u8>) -> Arrival {
        let Some(known) = self.offset.checked_sub(offset) else {
            return Arrival::Broken;
        };
        let known = usize::try_from(known).unwrap_or(usize::MAX).min(octets.len());
        octets.drain(..known);
        if octets.is_empty() {
            return Arrival::Nothing;
        }
        let end = self.offset + octets.len() as u64;
        if self.size.is_none_or(|size| end > size) {
            return Arrival::Differs("a file that goes on behind its end");
        }
        self.has(&octets);
        Arrival::Octets(octets)
    }
}
