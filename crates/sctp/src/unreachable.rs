//! What the network says of packets that did not arrive (RFC 9260 §10, RFC 6951 §5.5), and what the
//! system says of those that could not leave.

use std::net::SocketAddr;

use crate::association::{Association, State};
use crate::chunk::kind;
use crate::endpoint::Endpoint;
use crate::event::{Command, DownReason};
use crate::packet::HEADER;
use crate::read::{u16_at, u32_at};

impl Endpoint {
    /// A packet could not leave for `remote`: where it is an INIT, and other addresses of the peer are
    /// dialed, too, this one is given up.
    pub fn unsent(&mut self, remote: SocketAddr, packet: &[u8]) {
        let (Some(port), Some(0)) = (u16_at(packet, 2), u32_at(packet, 4)) else { return };
        let Some(id) = self.with_remote(remote, port) else { return };
        let now = self.now;
        let Some(association) = self.association_mut(id) else { return };
        if association.state == State::CookieWait && association.dialed_addresses().len() > 1 {
            association.refused(remote.ip(), now);
            self.touch(id);
        }
    }

    /// The network says that nobody is at the port that an association sends to (§10): it counts where
    /// the lost packet has the association's tag, so that nobody else can say so.
    pub(crate) fn on_unreachable(&mut self, remote: SocketAddr, quote: &[u8]) {
        let (Some(own), Some(port), Some(tag)) =
            (u16_at(quote, 0), u16_at(quote, 2), u32_at(quote, 4))
        else {
            return;
        };
        let id = self.with_remote(remote, port).filter(|_| own == self.port);
        let now = self.now;
        let Some((id, association)) = id.and_then(|id| Some((id, self.association_mut(id)?)))
        else {
            return self.statistics.unreachable_ignored += 1;
        };
        // An INIT has no tag but proposes one.
        let proposes = association.state == State::CookieWait
            && quote.get(HEADER) == Some(&kind::INIT)
            && u32_at(quote, HEADER + 4) == Some(association.own_tag);
        match tag {
            0 if proposes => association.refused(remote.ip(), now),
            0 => return self.statistics.unreachable_ignored += 1,
            tag if tag != association.peer_tag => return self.statistics.unreachable_ignored += 1,
            _ if association.has_other_than(remote) => {
                if let Some(path) = association.paths.find(remote.ip()).map(|path| path.id) {
                    association.missed(path, now);
                    // Is it the peer that is gone, or its address? The others know.
                    association.command(Command::Heartbeat(None), now);
                }
            }
            _ => association.close(DownReason::Unreachable),
        }
        self.statistics.unreachable += 1;
        self.touch(id);
    }
}

impl Association {
    /// Whether another path does well.
    fn has_other_than(&self, remote: SocketAddr) -> bool {
        let ip = remote.ip();
        self.paths.iter().any(|p| p.way.remote.ip() != ip && p.confirmed && p.errors == 0)
    }
}
