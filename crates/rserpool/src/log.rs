//! What things are called in the log: in words, and bounded, so that no stranger decides how long a
//! line is.

use std::net::{IpAddr, SocketAddr};

use rserpool_proto::machine::Link;
use rserpool_wire::param::{Cause, PoolHandle};

/// So many octets of a pool handle are logged.
const HANDLE_OCTETS_MAX: usize = 64;
/// So many of several addresses or causes are logged.
const LISTED_MAX: usize = 4;

/// The beginning of a pool handle, which may have 65 000 octets.
pub(crate) fn pool(handle: &PoolHandle) -> String {
    handle.shortened(HANDLE_OCTETS_MAX)
}

/// Addresses of one port, where it is known.
pub(crate) fn addresses(addresses: &[IpAddr], port: Option<u16>) -> String {
    list(addresses, |&ip| match port {
        Some(port) => SocketAddr::new(ip, port).to_string(),
        None => ip.to_string(),
    })
}

/// The far end of an association.
pub(crate) fn remote(link: &Link) -> String {
    addresses(&link.remote, Some(link.remote_port))
}

/// What a registrar refused something for.
pub(crate) fn causes(causes: &[Cause]) -> String {
    if causes.is_empty() {
        return "none given".into();
    }
    list(causes, Cause::to_string)
}

fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    let mut texts: Vec<String> = items.iter().take(LISTED_MAX).map(text).collect();
    if items.len() > LISTED_MAX {
        texts.push(format!("and {} more", items.len() - LISTED_MAX));
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_handles_are_cut_and_their_length_is_said() {
        let short = PoolHandle::new([b'x'; 64]).unwrap();
        assert_eq!(pool(&short), "x".repeat(64));
        let long = PoolHandle::new(vec![b'x'; 60_000]).unwrap();
        assert_eq!(pool(&long), format!("{}… (60000 octets)", "x".repeat(64)));
    }

    #[test]
    fn addresses_are_those_of_a_port_and_there_is_an_end_to_them() {
        let ip = |text: &str| text.parse().unwrap();
        let both = [ip("192.0.2.1"), ip("2001:db8::1")];
        assert_eq!(addresses(&both, Some(9901)), "192.0.2.1:9901, [2001:db8::1]:9901");
        assert_eq!(addresses(&both, None), "192.0.2.1, 2001:db8::1");
        let many = [ip("192.0.2.1"); 64];
        assert!(addresses(&many, Some(1)).ends_with("192.0.2.1:1, and 60 more"));
    }
}
