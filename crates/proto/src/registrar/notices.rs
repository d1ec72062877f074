//! What the application is told once.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// Most places that are told of from which this registrar's identifier was heard.
pub(super) const DUPLICATES_MAX: usize = 64;

/// What the application was told already.
#[derive(Debug, Default)]
pub(super) struct Notices {
    peers_full: bool,
    dialect: bool,
    duplicates: BTreeSet<Vec<IpAddr>>,
}

impl Notices {
    /// Whether it is news that there are as many registrars as there may be; once.
    pub(super) fn peers_full(&mut self) -> bool {
        !std::mem::replace(&mut self.peers_full, true)
    }

    /// Whether it is news that a registrar of rsplib is there, and that this scope does not speak as
    /// rsplib does; once.
    pub(super) fn other_dialect(&mut self) -> bool {
        !std::mem::replace(&mut self.dialect, true)
    }

    /// Whether it is news that this registrar's identifier was heard from these addresses.
    pub(super) fn duplicate(&mut self, addresses: &[IpAddr]) -> bool {
        self.duplicates.len() < DUPLICATES_MAX && self.duplicates.insert(addresses.to_vec())
    }

    /// From how many places this registrar's identifier was heard.
    pub(super) fn duplicates(&self) -> usize {
        self.duplicates.len()
    }
}
