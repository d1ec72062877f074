//! What a registration must bring along (RFC 5352 §2.2.1, §3.1).

use std::net::IpAddr;

use rserpool_wire::param::{Addresses, Cause, PoolElement, SctpTransport, Transport, TransportUse};
use rserpool_wire::registry::CauseCode;

use super::config::{AddressScope, Config};
use super::reach::without_nearer;
use crate::machine::{Carrier, Link};

/// An element as this registrar would store it: with the addresses that count, and the transport
/// of its association. What no element can be is the handlespace's to refuse.
pub(super) fn admit(
    config: &Config,
    link: &Link,
    mut element: PoolElement,
) -> Result<PoolElement, Cause> {
    if link.carrier == Carrier::Tcp && !config.tcp_registration {
        return Err(Cause::new(CauseCode::SECURITY));
    }
    let Some(user_transport) = reachable(config, link, &element.user_transport) else {
        return Err(Cause::invalid_values(&element.user_transport));
    };
    element.user_transport = without_nearer(user_transport);
    // RFC 5352 §3.1 rule 4. The type is mandatory between registrars, whatever the carrier.
    element.asap_transport = Some(SctpTransport {
        port: link.remote_port,
        transport_use: TransportUse::DataOnly,
        addresses: link.remote.as_slice().into(),
    });
    Ok(element)
}

/// The transport with those of its addresses that the element has, and that reach far enough;
/// `None` where none is left (RFC 5352 §2.2.1).
fn reachable(config: &Config, link: &Link, transport: &Transport) -> Option<Transport> {
    let counts = |address: &IpAddr| {
        let local = link.remote.iter().all(IpAddr::is_loopback);
        let its_own = link.remote.contains(address) || config.allow_advertised;
        match AddressScope::of(*address) {
            Some(AddressScope::Loopback) if local => its_own,
            Some(scope) => its_own && scope >= config.address_scope,
            None => false,
        }
    };
    match transport {
        Transport::Sctp(sctp) => {
            // One that is listed over and over would take room for nothing. More than the limit the
            // handlespace refuses.
            let max = config.handlespace.limits.addresses_per_transport_max as usize;
            let mut distinct: Vec<IpAddr> = Vec::new();
            for address in sctp.addresses.iter().filter(|address| counts(address)) {
                if distinct.len() <= max && !distinct.contains(address) {
                    distinct.push(*address);
                }
            }
            let addresses = Addresses::from(distinct);
            let has_one = !addresses.is_empty();
            has_one.then_some(Transport::Sctp(SctpTransport { addresses, ..*sctp }))
        }
        other => other.addresses().iter().all(counts).then(|| other.clone()),
    }
}

/// True where two transports may be the same element's: same port, and an address in common.
pub(super) fn same_server(a: &Transport, b: &Transport) -> bool {
    let shares_address = || a.addresses().iter().any(|address| b.addresses().contains(address));
    a == b || (a.port() == b.port() && shares_address())
}
