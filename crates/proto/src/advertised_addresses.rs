//! Where an endpoint is that listens on every address of its host.

use std::net::IpAddr;

/// The addresses at which the other end of an association reaches an endpoint that is bound to
/// `bound`: an unspecified one stands for those of the own addresses of that association, `local`,
/// that it covers. Who listens on 0.0.0.0 is not reached by IPv6; `[::]` is both.
pub(crate) fn advertised_addresses(bound: &[IpAddr], local: &[IpAddr]) -> Vec<IpAddr> {
    let covers = |bound: &IpAddr, address: &IpAddr| bound.is_ipv6() || address.is_ipv4();
    let (everywhere, mut advertised): (Vec<IpAddr>, Vec<IpAddr>) =
        bound.iter().partition(|address| address.is_unspecified());
    for address in local.iter().filter(|address| !address.is_unspecified()) {
        let is_covered = everywhere.iter().any(|bound| covers(bound, address));
        if is_covered && !advertised.contains(address) {
            advertised.push(*address);
        }
    }
    advertised
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_unspecified_address_stands_for_the_own_ones_of_its_family() {
        let local = ips(&["10.0.0.1", "fd00::1", "::"]);
        for (bound, expected) in [
            (&["0.0.0.0"][..], &["10.0.0.1"][..]),
            (&["::"], &["10.0.0.1", "fd00::1"]),
            (&["192.0.2.1"], &["192.0.2.1"]),
            (&["0.0.0.0", "192.0.2.1"], &["192.0.2.1", "10.0.0.1"]),
        ] {
            assert_eq!(advertised_addresses(&ips(bound), &local), ips(expected));
        }
        assert!(advertised_addresses(&ips(&["0.0.0.0"]), &ips(&["::1"])).is_empty());
    }
}
