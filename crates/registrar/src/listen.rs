//! Where a registrar listens if nobody says where, and what it means to listen elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rserpool::transport::{Address, Scheme};
use rserpool::wire::registry::{ASAP_PORT, ASAP_TLS_PORT};

/// Without a URL a registrar serves its own host: over SCTP and TCP, or with keys over TLS, IPv4 and,
/// where there is one, IPv6.
pub fn default_urls(has_keys: bool) -> Vec<Address> {
    let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    let v6 = has_ipv6.then_some(IpAddr::V6(Ipv6Addr::LOCALHOST));
    let hosts = [Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), v6];
    let url = |scheme, port| move |ip| Address::from((scheme, SocketAddr::new(ip, port)));
    let of = |scheme, port| hosts.into_iter().flatten().map(url(scheme, port));
    match has_keys {
        true => of(Scheme::Tls, ASAP_TLS_PORT).collect(),
        false => of(Scheme::Sctp, ASAP_PORT).chain(of(Scheme::Tcp, ASAP_PORT)).collect(),
    }
}

/// Those of these URLs that other hosts can reach. A name that cannot be resolved is left out: it
/// cannot be listened at either.
pub(crate) fn open_to_others<'a>(urls: impl Iterator<Item = &'a Address>) -> Vec<&'a Address> {
    let is_open = |url: &&Address| {
        let addresses = url.bind_addresses().unwrap_or_default();
        addresses.iter().any(|ip| !ip.to_canonical().is_loopback())
    };
    urls.filter(is_open).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 5352 §3.3.
    #[test]
    fn by_default_it_is_at_the_well_known_ports_of_this_host_only() {
        let urls = default_urls(false);
        let all: Vec<String> = urls.iter().map(ToString::to_string).collect();
        let v4 = ["sctp://127.0.0.1:3863", "tcp://127.0.0.1:3863"];
        let both = [v4[0], "sctp://[::1]:3863", v4[1], "tcp://[::1]:3863"];
        assert!(all == v4 || all == both, "{all:?}");
        assert_eq!(open_to_others(urls.iter()), Vec::<&Address>::new());
        let secure = default_urls(true);
        assert_eq!(secure[0].to_string(), "tls://127.0.0.1:3864");
        assert!(secure.iter().all(|url| url.scheme == Scheme::Tls && url.port == 3864));
    }

    #[test]
    fn every_address_but_loopback_is_open_to_others() {
        let url = |text: &str| -> Address { text.parse().unwrap() };
        let open = ["tcp://0.0.0.0", "tcp://[::]", "sctp://127.0.0.1,192.0.2.1", "tcp://192.0.2.1"];
        let closed = ["tcp://127.0.0.1", "tcp://[::1]", "tcp://127.1.2.3", "tcp://localhost"];
        assert_eq!(open_to_others(open.map(url).iter()).len(), open.len());
        assert_eq!(open_to_others(closed.map(url).iter()), Vec::<&Address>::new());
    }
}
