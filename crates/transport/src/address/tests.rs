use proptest::prelude::*;

use super::*;
use crate::tls::{Expected, Name};

fn ip(text: &str) -> Host {
    Host::Ip(text.parse().unwrap())
}

fn address(scheme: Scheme, hosts: &[Host], port: u16, encapsulation: Option<u16>) -> Address {
    Address { scheme, hosts: hosts.to_vec(), port, encapsulation }
}

#[test]
fn reads_what_people_write() {
    let name = Host::Name("registrar-1.example.org".into());
    let table = [
        ("sctp://10.0.0.1:3863", address(Scheme::Sctp, &[ip("10.0.0.1")], 3863, None)),
        ("sctp://10.0.0.1", address(Scheme::Sctp, &[ip("10.0.0.1")], 9901, None)),
        ("sctp://10.0.0.1/", address(Scheme::Sctp, &[ip("10.0.0.1")], 9901, None)),
        (
            "sctp://10.0.0.1,10.0.1.1:3863",
            address(Scheme::Sctp, &[ip("10.0.0.1"), ip("10.0.1.1")], 3863, None),
        ),
        (
            "sctp://10.0.0.1,[fd00::1]:7",
            address(Scheme::Sctp, &[ip("10.0.0.1"), ip("fd00::1")], 7, None),
        ),
        ("sctp://[::1]", address(Scheme::Sctp, &[ip("::1")], 9901, None)),
        ("sctp://[::1]:3863", address(Scheme::Sctp, &[ip("::1")], 3863, None)),
        ("sctp+kernel://[::]:0", address(Scheme::KernelSctp, &[ip("::")], 0, None)),
        (
            "sctp+udp://127.0.0.1:1?encap=9899",
            address(Scheme::UserlandSctp, &[ip("127.0.0.1")], 1, Some(9899)),
        ),
        ("sctp://10.0.0.1?encap=1", address(Scheme::Sctp, &[ip("10.0.0.1")], 9901, Some(1))),
        ("tcp://registrar-1.example.org:65535", address(Scheme::Tcp, &[name], 65535, None)),
    ];
    for (text, expected) in table {
        assert_eq!(Address::parse(text, Address::ENRP_PORT), Ok(expected), "{text}");
    }
}

#[test]
fn the_port_of_asap_is_the_default() {
    assert_eq!("tcp://localhost".parse::<Address>().unwrap().to_string(), "tcp://localhost:3863");
}

#[test]
fn says_what_is_wrong() {
    let table = [
        ("", "no scheme"),
        ("10.0.0.1:3863", "no scheme"),
        ("udp://10.0.0.1:1", "the scheme is none of"),
        ("SCTP://10.0.0.1:1", "the scheme is none of"),
        ("tls://10.0.0.1,10.0.0.2:1", "several hosts need SCTP"),
        ("tls://10.0.0.1:1?encap=2", "only SCTP"),
        ("dtls://10.0.0.1:1", "the scheme is none of"),
        ("tcp://", "a host is missing"),
        ("tcp://:3863", "a host is missing"),
        ("sctp://10.0.0.1,:3863", "a host is missing"),
        ("tcp://a,b:1", "several hosts need SCTP"),
        ("sctp://a,a:1", "named twice"),
        ("tcp://::1:3863", "needs brackets"),
        ("tcp://[::1:3863", "not closed"),
        ("tcp://[::g]:3863", "not an IPv6 address"),
        ("tcp://[127.0.0.1]:3863", "not an IPv6 address"),
        ("tcp://[2001:db8::1%eth0]:3863", "only a link-local address"),
        ("tcp://[fe80::1%]:3863", "name or the number of an interface"),
        ("tcp://[fe80::1%e 0]:3863", "name or the number of an interface"),
        ("sctp://[fe80::1%a],[fe80::2%b]:1", "in one zone"),
        ("tcp://10.0.0.256:1", "neither an IPv4 address nor a name"),
        ("tcp://10.0.1:1", "neither an IPv4 address nor a name"),
        ("tcp://0x7f000001:1", "neither an IPv4 address nor a name"),
        ("tcp://.:1", "neither an IPv4 address nor a name"),
        ("tcp://us er:1", "other characters"),
        ("tcp://user@host:1", "other characters"),
        ("tcp://host/path:1", "other characters"),
        ("tcp://host:", "not between 0 and 65535"),
        ("tcp://host:65536", "not between 0 and 65535"),
        ("tcp://host:+1", "not a number"),
        ("tcp://host:http", "not a number"),
        ("tcp://host:1?encap=9899", "only SCTP"),
        ("sctp://host:1?encap=0", "between 1 and 65535"),
        ("sctp://host:1?encap=x", "between 1 and 65535"),
        ("sctp://host:1?", "the only option"),
        ("sctp://host:1?mtu=1", "the only option"),
    ];
    for (text, expected) in table {
        let message = text.parse::<Address>().unwrap_err().to_string();
        assert!(message.contains(expected), "{text}: {message}");
        assert!(message.starts_with(&format!("`{text}` is not an endpoint URL")), "{message}");
    }
}

#[test]
fn a_zone_is_an_interface() {
    let address: Address = "sctp+udp://[fe80::1%lo]:3863".parse().unwrap();
    assert_eq!(address.hosts, [Host::Zoned("fe80::1".parse().unwrap(), "lo".into())]);
    let number = address.zone().unwrap();
    assert_ne!(number, 0);
    let remote = address.literal().unwrap();
    assert_eq!(
        (remote.zone, remote.to_string()),
        (number, format!("sctp+udp://[fe80::1%{number}]:3863"))
    );
    assert_eq!(remote.to_string().parse::<Address>().unwrap().literal(), Some(remote.clone()));
    let to = socket_address(remote.addresses[0], 1, remote.zone);
    assert_eq!(to.to_string(), format!("[fe80::1%{number}]:1"));
    // Other addresses have none.
    assert_eq!(socket_address("2001:db8::1".parse().unwrap(), 1, 7).to_string(), "[2001:db8::1]:1");

    let nowhere: Address = "tcp://[fe80::1%nowhere0]:1".parse().unwrap();
    assert_eq!(nowhere.literal(), None);
    let message = nowhere.zone().unwrap_err().to_string();
    assert!(message.starts_with("cannot resolve interface nowhere0: "), "{message}");
}

// RFC 5352 §8, RFC 5353 §5.
#[test]
fn tls_has_ports_of_its_own_and_says_who_has_to_be_there() {
    let read = |text: &str, port| Address::parse(text, port).unwrap();
    let asap = read("tls://R1.example", Address::ASAP_PORT);
    assert_eq!(asap.to_string(), "tls://R1.example:3864");
    assert_eq!(read("tls://[::1]", Address::ENRP_PORT).to_string(), "tls://[::1]:9902");
    assert_eq!(read("tls://r:3863", Address::ASAP_PORT).port, 3863);
    assert_eq!(read("tls://r", 0).port, 0);
    assert_eq!(asap.expected().host, Some(Name::Dns("R1.example".into())));
    let literal = |text: &str| read(text, 1).literal().unwrap().expected;
    assert_eq!(literal("tls://10.0.0.1").host, Some(Name::Ip([10, 0, 0, 1].into())));
    assert_eq!(literal("tcp://10.0.0.1"), Expected::default());
}

#[test]
fn an_error_stays_on_one_line() {
    let message = "tcp://a\nb".parse::<Address>().unwrap_err().to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[tokio::test]
async fn resolves_names_and_drops_repetitions() {
    let address: Address = "sctp://127.0.0.1,localhost:5?encap=6".parse().unwrap();
    let remote = address.resolve().await.unwrap();
    assert_eq!(
        remote.addresses.iter().filter(|ip| **ip == IpAddr::from([127, 0, 0, 1])).count(),
        1
    );
    assert!(remote.addresses.iter().all(IpAddr::is_loopback));
    assert_eq!((remote.port, remote.encapsulation), (5, Some(6)));
    assert_eq!(address.bind_addresses().unwrap(), remote.addresses);
}

#[tokio::test]
async fn names_the_host_that_does_not_resolve() {
    let address: Address = "tcp://nowhere.invalid:1".parse().unwrap();
    let message = address.resolve().await.unwrap_err().to_string();
    assert!(message.starts_with("cannot resolve nowhere.invalid: "), "{message}");
    assert!(address.bind_addresses().is_err());
}

fn any_host() -> impl Strategy<Value = Host> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| Host::Ip(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| Host::Ip(octets.into())),
        any::<u64>().prop_map(|low| {
            let ip = Ipv6Addr::from((0xfe80_u128 << 112) | u128::from(low));
            Host::Zoned(ip, "eth0.7".into())
        }),
        "([a-z0-9_][a-zA-Z0-9-]{0,9}\\.){0,3}[a-z][a-z0-9]{0,9}\\.?".prop_map(Host::Name),
    ]
}

fn any_address() -> impl Strategy<Value = Address> {
    let scheme = prop_oneof![
        Just(Scheme::Sctp),
        Just(Scheme::KernelSctp),
        Just(Scheme::UserlandSctp),
        Just(Scheme::Tcp)
    ];
    let encapsulation = proptest::option::of(1..=u16::MAX);
    let hosts = proptest::collection::vec(any_host(), 1..4);
    (scheme, hosts, any::<u16>(), encapsulation).prop_map(|(scheme, hosts, port, encapsulation)| {
        let mut unique: Vec<Host> = Vec::new();
        for host in hosts {
            if !unique.contains(&host) {
                unique.push(host);
            }
        }
        unique.truncate(if scheme == Scheme::Tcp { 1 } else { 3 });
        let encapsulation = encapsulation.filter(|_| scheme != Scheme::Tcp);
        Address { scheme, hosts: unique, port, encapsulation }
    })
}

proptest! {
    #[test]
    fn reading_what_was_written_gives_the_same(address in any_address()) {
        prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
    }

    #[test]
    fn no_text_makes_it_panic_and_what_it_reads_it_writes(text in "(sctp|tcp)://.{0,40}") {
        if let Ok(address) = text.parse::<Address>() {
            prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
        }
    }

    #[test]
    fn no_punctuation_makes_it_panic(text in "sctp://[\\[\\]:,.a1%?=/]{0,20}") {
        if let Ok(address) = text.parse::<Address>() {
            prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
        }
    }
}
