//! Dials: under way, or waiting for an older association with the same peer to end.

use std::io;
use std::net::IpAddr;

use tokio::time::Instant;

use super::KernelEndpoint;
use super::association::{Association, State};
use crate::endpoint::{AssocId, DownReason, Error, Event};

/// Whom to dial, and until when.
pub(super) struct Dial {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) port: u16,
    pub(super) encapsulation: Option<u16>,
    pub(super) deadline: Instant,
}

impl KernelEndpoint {
    /// Dials under the name `assoc`.
    pub(super) fn dial(&mut self, assoc: AssocId, dial: Dial) -> Result<(), Error> {
        let Dial { addresses, port, encapsulation, deadline } = dial;
        let state = match self.socket.get_ref().connect(&addresses, port, encapsulation) {
            Ok(kernel) => State::Dialing { kernel, deadline },
            Err(e) if is_known_peer(&e) => {
                if let Some(existing) = self.table.usable(&addresses, port) {
                    return Err(Error::Connected(existing));
                }
                // It is about to end, or the notification that it is up is still to be read.
                self.waiting.push(assoc);
                State::Waiting { deadline, encapsulation }
            }
            Err(error) => {
                tracing::debug!(?addresses, port, %error, "cannot dial");
                self.events.push_back(Event::Down { assoc, reason: DownReason::System });
                return Ok(());
            }
        };
        self.deadlines.insert((deadline, assoc));
        self.table.insert(assoc, Association::new(state, true, addresses, port));
        Ok(())
    }

    /// Dials those that waited for an association with this peer to end. Some may have to wait on:
    /// the peer may have dialed in between, and the kernel's word on that is still to be read.
    pub(super) fn dial_waiting(&mut self, peer: &[IpAddr], peer_port: u16) {
        let mut waiting = self.waiting.clone();
        waiting.retain(|assoc| self.table.get(*assoc).is_some_and(|a| a.is_with(peer, peer_port)));
        for assoc in waiting {
            let Some(association) = self.forget(assoc) else { continue };
            let State::Waiting { deadline, encapsulation } = association.state else { continue };
            let (addresses, port) = (association.remote, association.remote_port);
            let dial = Dial { addresses, port, encapsulation, deadline };
            if self.dial(assoc, dial).is_err() {
                // The peer was faster; there is one association now, and it has another name.
                self.events.push_back(Event::Down { assoc, reason: DownReason::Refused });
            }
        }
    }

    /// A dial that waits for an association with this peer to end.
    pub(super) fn waiting_for(&self, peer: &[IpAddr], peer_port: u16) -> Option<AssocId> {
        let same = |a: &Association| a.is_with(peer, peer_port);
        self.waiting.iter().copied().find(|assoc| self.table.get(*assoc).is_some_and(same))
    }
}

/// The kernel has an association with that peer.
fn is_known_peer(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EISCONN | libc::EALREADY))
}
