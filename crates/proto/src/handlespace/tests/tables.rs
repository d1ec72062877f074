//! Views of a handlespace.

use std::net::IpAddr;

use rserpool_wire::param::{SctpTransport, TransportUse};
use rserpool_wire::registry::ParamType;

use super::*;

fn asap_transport() -> SctpTransport {
    let transport_use = TransportUse::DataOnly;
    SctpTransport { port: 4711, transport_use, addresses: IpAddr::from([192, 0, 2, 1]).into() }
}

#[test]
fn registrars_are_told_the_asap_transport() {
    let mut lab = Lab::new([Policy::round_robin()]);
    let index = lab.index(1);
    assert!(lab.0.set_asap_transport(index, asap_transport()));
    let asap_transport = Some(asap_transport());
    let told: Vec<_> = lab.0.table_after(None, None).map(|(_, element)| element).collect();
    assert_eq!(told[0].asap_transport, asap_transport);
    assert_eq!(lab.0.element(index).unwrap().element.asap_transport, asap_transport);
}

#[test]
fn the_index_of_a_gone_element_means_nothing() {
    let mut lab = Lab::new([Policy::round_robin()]);
    let gone = lab.index(1);
    lab.deregister(1);
    let next = lab.register(1, Policy::round_robin()).index;
    assert_ne!(gone, next);
    assert!(lab.0.element(gone).is_none());
    assert!(!lab.0.set_home(gone, registrar(1)));
    assert!(!lab.0.set_asap_transport(gone, asap_transport()));
    assert_eq!(lab.0.deregister(gone), None);
    assert!(lab.0.element(next).is_some());
}

#[test]
fn a_pool_tells_what_its_elements_have_in_common() {
    let mut lab = Lab::new([Policy::round_robin()]);
    let pool = lab.0.pool(&handle("p")).unwrap();
    assert_eq!((pool.handle(), pool.len()), (&handle("p"), 1));
    assert_eq!(pool.policy_type(), PolicyType::ROUND_ROBIN);
    assert_eq!(pool.transport_type(), ParamType::UDP_TRANSPORT);
    assert_eq!(pool.transport_use(), TransportUse::DataOnly);
    assert!(lab.0.contains(&handle("p")));
    lab.deregister(1);
    assert!(lab.0.pool(&handle("p")).is_none() && lab.0.is_empty());
}

#[test]
fn a_pool_that_ended_may_begin_with_another_policy() {
    let mut lab = Lab::new([Policy::round_robin()]);
    lab.deregister(1);
    lab.register(1, Policy::of_type(PolicyType::RANDOM));
}
