//! The records of a pool.

use std::net::IpAddr;

use hickory_proto::rr::rdata::{A, AAAA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use rserpool::Transport;
use rserpool::user::{Element, Resolution};
use rserpool::wire::param::PolicyField;

use super::names::Protocol;
use super::{Order, Zone};

/// Elements that one answer lists at most.
const ELEMENTS_MAX: usize = 256;

/// An element, with the numbers of its SRV record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server<'a> {
    pub(crate) element: &'a Element,
    pub(crate) port: u16,
    pub(crate) priority: u16,
    pub(crate) weight: u16,
}

/// Those of these elements that are reached over this transport, in the order of the pool's policy.
pub(crate) fn servers(
    elements: &[Element],
    protocol: Option<Protocol>,
    order: Order,
) -> Vec<Server<'_>> {
    let is_over = |element: &&Element| protocol.is_none_or(|it| is(&element.user_transport, it));
    let has_place = |element: &&Element| element.user_transport.socket_addrs().next().is_some();
    let elements = elements.iter().filter(is_over).filter(has_place).take(ELEMENTS_MAX);
    let elements: Vec<&Element> = elements.collect();
    let most = elements.iter().filter_map(|element| share(element)).max().unwrap_or_default();
    let mut priorities: Vec<u32> = elements.iter().filter_map(|it| priority(it)).collect();
    priorities.sort_unstable_by(|one, other| other.cmp(one));
    priorities.dedup();
    let mut servers = Vec::with_capacity(elements.len());
    for (number, element) in elements.into_iter().enumerate() {
        let rank = priority(element).and_then(|own| priorities.iter().position(|it| *it == own));
        let rank = if order == Order::Strict { number } else { rank.unwrap_or_default() };
        servers.push(Server {
            element,
            port: element.user_transport.port().unwrap_or_default(),
            priority: u16::try_from(rank).unwrap_or(u16::MAX),
            weight: weight(share(element), most),
        });
    }
    servers
}

fn is(transport: &Transport, protocol: Protocol) -> bool {
    match transport {
        Transport::Tcp { .. } => protocol == Protocol::Tcp,
        Transport::Udp { .. } => protocol == Protocol::Udp,
        Transport::Sctp(_) => protocol == Protocol::Sctp,
        Transport::UdpLite { .. } | Transport::Dccp { .. } | Transport::Opaque(_) => false,
    }
}

/// How much of the work an element is to get: its weight, or what is left of its load.
fn share(element: &Element) -> Option<u32> {
    let load = element.policy.get(PolicyField::Load);
    element.policy.get(PolicyField::Weight).or_else(|| load.map(|load| u32::MAX - load))
}

fn priority(element: &Element) -> Option<u32> {
    element.policy.get(PolicyField::Priority)
}

/// A weight between 0 and the greatest that there is: some clients take only its high octet.
fn weight(share: Option<u32>, most: u32) -> u16 {
    let Some(share) = share.filter(|_| most > 0) else { return u16::MAX };
    let scaled = u64::from(share) * u64::from(u16::MAX) / u64::from(most);
    u16::try_from(scaled).unwrap_or(u16::MAX).max(u16::from(share > 0))
}

/// The SRV record of an element.
pub(super) fn srv(owner: &Name, ttl: u32, target: Name, server: &Server<'_>) -> Record {
    let data = SRV::new(server.priority, server.weight, server.port, target);
    Record::from_rdata(owner.clone(), ttl, RData::SRV(data))
}

/// The addresses of an element, of one kind or of both.
pub(super) fn addresses(
    owner: &Name,
    ttl: u32,
    element: &Element,
    kind: Option<RecordType>,
) -> Vec<Record> {
    let ips = element.user_transport.addresses().iter();
    ips.filter_map(|ip| address(owner, ttl, *ip, kind)).collect()
}

/// The record of an address, if it is of this kind.
pub(super) fn address(
    owner: &Name,
    ttl: u32,
    ip: IpAddr,
    kind: Option<RecordType>,
) -> Option<Record> {
    let data = match ip.to_canonical() {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    };
    let record = Record::from_rdata(owner.clone(), ttl, data);
    kind.is_none_or(|kind| kind == record.record_type()).then_some(record)
}

/// The first address of each of these elements, up to `most` different ones.
pub(super) fn choice(
    owner: &Name,
    ttl: u32,
    elements: &[Element],
    kind: RecordType,
    most: usize,
) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for element in elements {
        let first = addresses(owner, ttl, element, Some(kind)).into_iter().next();
        if let Some(record) = first.filter(|record| !records.contains(record)) {
            records.push(record);
        }
        if records.len() >= most {
            break;
        }
    }
    records
}

/// What there is to say of a pool.
pub(super) fn pool_text(owner: &Name, ttl: u32, pool: &Resolution) -> Record {
    let handle = &pool.handle;
    text(
        owner,
        ttl,
        vec![
            format!("pool={handle}"),
            format!("policy={}", pool.policy_type),
            format!("elements={}", pool.elements.len()),
            format!("handle={handle}"),
        ],
    )
}

/// What there is to say of an element.
pub(super) fn element_text(owner: &Name, ttl: u32, element: &Element) -> Record {
    let port = element.user_transport.port().unwrap_or_default();
    text(
        owner,
        ttl,
        vec![
            format!("id={}", element.id),
            format!("port={port}"),
            format!("policy={}", element.policy),
        ],
    )
}

fn text(owner: &Name, ttl: u32, mut strings: Vec<String>) -> Record {
    /// What the length of a string can say.
    const OCTETS_MAX: usize = 255;
    strings.retain(|text| text.len() <= OCTETS_MAX);
    Record::from_rdata(owner.clone(), ttl, RData::TXT(TXT::new(strings)))
}

impl Zone {
    /// The SRV records of these servers, and the addresses that clients will ask for next.
    pub(super) fn srv(
        &self,
        owner: &Name,
        ttl: u32,
        pool: &Resolution,
        servers: &[Server<'_>],
    ) -> (Vec<Record>, Vec<Record>) {
        let (mut answers, mut additionals) = (Vec::new(), Vec::new());
        for server in servers {
            let Some(target) = self.element(&pool.handle, server.element.id) else { continue };
            additionals.extend(addresses(&target, ttl, server.element, None));
            answers.push(srv(owner, ttl, target, server));
        }
        (answers, additionals)
    }
}

#[cfg(test)]
mod tests {
    use rserpool::PeId;
    use rserpool::wire::param::RegistrationLife;
    use rserpool::wire::registry::PolicyType;

    use super::*;

    fn pool(policies: &[&str]) -> Resolution {
        let element = |(id, policy): (u32, &&str)| {
            let at = format!("10.0.0.{id}:80").parse().unwrap();
            Element {
                id: PeId(id),
                home: None,
                life: RegistrationLife(-1),
                user_transport: Transport::tcp(at),
                policy: policy.parse().unwrap(),
                asap_transport: None,
            }
        };
        let elements = (1..).zip(policies).map(element).collect();
        Resolution {
            handle: "web".parse().unwrap(),
            policy_type: PolicyType::ROUND_ROBIN,
            elements,
            items: None,
        }
    }

    fn numbers(policies: &[&str], order: Order) -> Vec<(u16, u16)> {
        let pool = pool(policies);
        servers(&pool.elements, None, order).iter().map(|it| (it.priority, it.weight)).collect()
    }

    #[test]
    fn numbers_say_what_the_policy_says() {
        let all = u16::MAX;
        let equal = ["round-robin", "round-robin"];
        assert_eq!(numbers(&equal, Order::Weight), [(0, all), (0, all)]);
        let weights = ["weighted-random:10", "weighted-random:5", "weighted-random:0"];
        assert_eq!(numbers(&weights, Order::Weight), [(0, all), (0, all / 2), (0, 0)]);
        let loads = ["least-used:0.5", "least-used:0.75", "least-used:1"];
        let scaled = numbers(&loads, Order::Weight);
        assert_eq!((scaled[0], scaled[2]), ((0, all), (0, 0)));
        assert!(scaled[1].1.abs_diff(all / 2) < 2, "{scaled:?}");
        let priorities = ["priority:7", "priority:9", "priority:7"];
        assert_eq!(numbers(&priorities, Order::Weight), [(1, all), (0, all), (1, all)]);
        assert_eq!(numbers(&equal, Order::Strict), [(0, all), (1, all)]);
        // The least share is not nothing.
        assert_eq!(weight(Some(1), u32::MAX), 1);
    }

    #[test]
    fn an_address_is_told_once_and_only_of_its_kind() {
        let mut pool = pool(&["round-robin"; 3]);
        pool.elements[1] = pool.elements[0].clone();
        let owner = Name::root();
        let count = |kind, most| choice(&owner, 1, &pool.elements, kind, most).len();
        assert_eq!(count(RecordType::A, 3), 2);
        assert_eq!(count(RecordType::A, 1), 1);
        assert_eq!(count(RecordType::AAAA, 3), 0);
    }
}
