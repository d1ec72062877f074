//! Builds one packet, chunk by chunk.

use crate::auth::Auth;
use crate::chunk;
use crate::crc;
use crate::packet::{HEADER, Header};

/// A packet that is being filled. Chunks that the peer wants authenticated get an AUTH chunk in front.
pub(crate) struct Build<'a> {
    pub(crate) octets: &'a mut Vec<u8>,
    limit: usize,
    auth: Option<&'a Auth>,
    auth_at: Option<usize>,
}

impl<'a> Build<'a> {
    /// Begins a packet of at most `limit` octets.
    pub(crate) fn new(
        octets: &'a mut Vec<u8>,
        header: Header,
        limit: usize,
        auth: Option<&'a Auth>,
    ) -> Self {
        header.write(octets);
        Self { octets, limit, auth, auth_at: None }
    }

    /// Octets that a chunk of this type may take, its header included.
    pub(crate) fn room(&self, kind: u8) -> usize {
        let room = self.limit.saturating_sub(self.octets.len());
        if self.wants_auth(kind) { room.saturating_sub(self.auth_length()) } else { room }
    }

    /// Octets that the packet may have.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether there is no chunk yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.octets.len() <= HEADER
    }

    /// The buffer to append a chunk of this type to.
    pub(crate) fn place(&mut self, kind: u8) -> &mut Vec<u8> {
        if self.wants_auth(kind)
            && let Some(auth) = self.auth
        {
            self.auth_at = Some(self.octets.len());
            auth.reserve(self.octets);
        }
        self.octets
    }

    /// Appends a chunk.
    pub(crate) fn chunk(&mut self, kind: u8, flags: u8, value: &[u8]) {
        chunk::write(self.place(kind), kind, flags, |octets| octets.extend_from_slice(value));
    }

    /// Signs and seals the packet.
    pub(crate) fn finish(self) {
        if let (Some(auth), Some(at)) = (self.auth, self.auth_at) {
            auth.sign(self.octets, at);
        }
        crc::seal(self.octets);
    }

    fn wants_auth(&self, kind: u8) -> bool {
        self.auth_at.is_none() && self.auth.is_some_and(|auth| auth.is_needed(kind))
    }

    fn auth_length(&self) -> usize {
        self.auth.map_or(0, Auth::length)
    }
}
