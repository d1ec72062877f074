//! Dials: which addresses of a peer are tried, and from where.

use std::net::SocketAddr;
use std::time::Duration;

use rserpool_sctp::{ConnectError, Way};

use super::addresses::announced;
use super::association::{Association, Phase};
use super::encapsulation::UdpSocket;
use super::endpoint::UserlandEndpoint;
use super::table::name;
use crate::address::{Scheme, socket_address};
use crate::endpoint::{AssocId, DownReason, Error, Remote};
use crate::source;

/// Addresses of one peer that are tried.
pub(super) const TRIED_MAX: usize = 16;

impl UserlandEndpoint {
    /// Where to dial `remote`: those of its addresses that one of our sockets reaches.
    pub(super) fn ways(&self, remote: &Remote) -> Result<Vec<Way>, Error> {
        let unsupported = |what, why| Err(Error::Unsupported { what, why });
        if !matches!(remote.scheme, Scheme::Sctp | Scheme::UserlandSctp) {
            let why = format!("{}:// was asked for", remote.scheme);
            return unsupported("another transport than userland SCTP", why);
        }
        let port = remote.encapsulation.unwrap_or(remote.port);
        // Of several own addresses the one next to each of the peer's is taken.
        let has_several = !announced(&self.local, &self.options).is_empty();
        let remote_has_several = remote.addresses.len() > 1;
        let mut ways = Vec::new();
        // A socket that is bound to an address leaves from there in any case.
        for (ip, local) in source::ways(&remote.addresses, &[], &self.options)? {
            if self.sockets.iter().any(|socket: &UdpSocket| socket.reaches(ip, local)) {
                let remote: SocketAddr = socket_address(ip, port, remote.zone);
                let local = local.filter(|_| !has_several).or_else(|| {
                    let asks = !has_several && remote_has_several && self.is_everywhere();
                    asks.then(|| source::of_the_system(remote)).flatten()
                });
                ways.push(Way { local, remote });
            }
        }
        ways.truncate(TRIED_MAX);
        if ways.is_empty() || remote.port == 0 || port == 0 {
            let why = format!("no address among {:?} can be reached from here", remote.addresses);
            return unsupported("userland SCTP", why);
        }
        Ok(ways)
    }

    /// Starts to dial a peer with this SCTP port.
    pub(super) fn dial(
        &mut self,
        ways: &[Way],
        port: u16,
        now: Duration,
    ) -> Result<AssocId, Error> {
        let id = match self.engine.connect_over(now, ways, port) {
            Ok(id) => name(id),
            Err(ConnectError::Connected(id)) => return Err(Error::Connected(name(id))),
            Err(ConnectError::Limit) => return Err(Error::Limit(self.options.associations_max)),
            Err(error) => {
                let why = error.to_string();
                return Err(Error::Unsupported { what: "userland SCTP", why });
            }
        };
        let deadline = now + self.options.connect_timeout;
        self.dials.insert((deadline, id));
        self.table.insert(id, Box::new(Association::new(Phase::Dialing { deadline })));
        self.flush();
        Ok(id)
    }

    /// Gives up the dials that had their time.
    pub(super) fn expire_dials(&mut self, until: Duration) {
        while let Some((deadline, id)) = self.dials.first().copied()
            && deadline <= until
        {
            self.dials.pop_first();
            self.give_up(id, DownReason::Timeout);
        }
    }
}
