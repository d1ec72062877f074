//! Associations that are being set up.

use std::collections::BTreeMap;

use rserpool_wire::param::{RegistrarId, SctpTransport};

use crate::machine::Peer;

/// What an association was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Dial {
    /// The configured registrar of this number.
    Configured(usize),
    /// A registrar at the transport that it told.
    Registrar(RegistrarId),
    /// A registrar at the transport that one told which is known to the operator.
    Listed(RegistrarId),
    /// Elements that registered from this transport.
    Elements(SctpTransport),
}

/// What each association under way was asked for. Only [`begin`](Self::begin) gives names, so that
/// none is given twice.
#[derive(Debug, Default)]
pub(super) struct Dials {
    under_way: BTreeMap<Peer, Dial>,
    /// How many associations were asked for.
    begun: u64,
}

impl Dials {
    /// One more association is asked for; its name.
    pub(super) fn begin(&mut self, dial: Dial) -> Peer {
        self.begun += 1;
        let peer = Peer::dialed(self.begun);
        self.under_way.insert(peer, dial);
        peer
    }

    /// The association is up, or is not waited for any more; what it was asked for.
    pub(super) fn remove(&mut self, peer: &Peer) -> Option<Dial> {
        self.under_way.remove(peer)
    }

    pub(super) fn contains_key(&self, peer: &Peer) -> bool {
        self.under_way.contains_key(peer)
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// None is waited for any more; their names.
    pub(super) fn end_all(&mut self) -> impl Iterator<Item = Peer> + use<> {
        std::mem::take(&mut self.under_way).into_keys()
    }
}
