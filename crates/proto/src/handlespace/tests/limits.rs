//! What is refused, and which cause is told (RFC 5354 §3.12).

use std::net::IpAddr;

use rserpool_wire::codec::Codec;
use rserpool_wire::param::{SctpTransport, TransportUse};
use rserpool_wire::registry::CauseCode;

use super::*;
use crate::handlespace::{Limit, Limits, Refused};

fn space(limits: Limits) -> Handlespace {
    Handlespace::new(Config { limits, ..Config::default() }, 1)
}

fn sctp(port: u16, transport_use: TransportUse, addresses: usize) -> SctpTransport {
    let addresses = vec![IpAddr::from([192, 0, 2, 1]); addresses].into();
    SctpTransport { port, transport_use, addresses }
}

fn over(user_transport: Transport) -> PoolElement {
    PoolElement { user_transport, ..element(1, Policy::round_robin()) }
}

fn cause_of(space: &mut Handlespace, element: PoolElement) -> (CauseCode, Box<[u8]>) {
    let (pools, elements) = (space.pool_count(), space.len());
    let cause = space.register(&handle("p"), element).unwrap_err().cause();
    assert_eq!((space.pool_count(), space.len()), (pools, elements));
    (cause.code, cause.info)
}

#[test]
fn values_that_make_no_sense_are_refused_with_what_they_were() {
    let invalid = |parameter: &dyn Fn() -> Vec<u8>| {
        (CauseCode::INVALID_VALUES, parameter().into_boxed_slice())
    };
    let mut space = space(Limits::default());
    let mut cause = |element| cause_of(&mut space, element);
    let no_id = element(0, Policy::round_robin());
    assert_eq!(cause(no_id), invalid(&|| PeId(0).to_octets()));
    let life = RegistrationLife(0);
    let no_life = PoolElement { life, ..element(1, Policy::round_robin()) };
    assert_eq!(cause(no_life.clone()), invalid(&|| no_life.to_octets()));
    for transport in [sctp(0, TransportUse::DataOnly, 1), sctp(7, TransportUse::DataOnly, 0)] {
        let user = Transport::Sctp(transport.clone());
        assert_eq!(cause(over(user.clone())), invalid(&|| user.to_octets()));
        let mut unreachable = element(1, Policy::round_robin());
        unreachable.asap_transport = Some(transport);
        assert_eq!(cause(unreachable), invalid(&|| user.to_octets()));
    }
    let unknown = Policy::of_type(PolicyType(0x8000_1234));
    assert_eq!(cause(element(1, unknown.clone())), invalid(&|| unknown.to_octets()));
    let long = handle(&"x".repeat(33));
    let refused = space.register(&long, element(1, Policy::round_robin())).unwrap_err();
    assert_eq!(refused, Refused::InvalidHandle(long.clone()));
    assert_eq!(*refused.cause().info, *long.to_octets());
    assert_eq!(space.limits_reached().of(Limit::HandleOctets), 1);
}

#[test]
fn an_opaque_transport_needs_neither_port_nor_address() {
    let transport = Transport::Opaque(Box::new([1, 2, 3]));
    assert!(space(Limits::default()).register(&handle("p"), over(transport)).is_ok());
}

#[test]
fn an_opaque_transport_has_no_more_octets_than_there_is_room_for() {
    let mut space = space(Limits::default());
    let mut register = |octets| {
        let transport = Transport::Opaque(vec![7; octets].into());
        space.register(&handle("p"), over(transport)).map(|_| ())
    };
    assert_eq!(register(256), Ok(()));
    assert_eq!(register(257), Err(Refused::Limit(Limit::OpaqueOctets)));
    assert_eq!(space.limits_reached().of(Limit::OpaqueOctets), 1);
}

#[test]
fn who_differs_from_the_pool_is_refused_with_what_the_pool_has() {
    let mut space = space(Limits::default());
    let first = Transport::Sctp(sctp(7, TransportUse::DataOnly, 1));
    space.register(&handle("p"), over(first.clone())).unwrap();
    let mut cause = |element| cause_of(&mut space, element);
    for id in [1, 2] {
        let other = PoolElement { id: PeId(id), ..over(first.clone()) };
        let policy = Policy::of_type(PolicyType::RANDOM);
        let expected = (CauseCode::INCONSISTENT_POLICY, Policy::round_robin().to_octets().into());
        assert_eq!(cause(PoolElement { policy, ..other.clone() }), expected);
        let user_transport = Transport::Udp { port: 7, address: [192, 0, 2, 1].into() };
        let expected = (CauseCode::INCONSISTENT_TRANSPORT, first.to_octets().into());
        assert_eq!(cause(PoolElement { user_transport, ..other.clone() }), expected);
        let user_transport = Transport::Sctp(sctp(7, TransportUse::DataPlusControl, 1));
        let expected = (CauseCode::INCONSISTENT_TRANSPORT_USE, Box::default());
        assert_eq!(cause(PoolElement { user_transport, ..other }), expected);
    }
}

#[test]
fn each_limit_refuses_and_counts_what_is_beyond() {
    let limits = Limits {
        pools_max: 2,
        elements_per_pool_max: 2,
        elements_max: 3,
        addresses_per_transport_max: 2,
        ..Limits::default()
    };
    let mut space = space(limits);
    let mut register = |name: &str, id| {
        space.register(&handle(name), element(id, Policy::round_robin())).map(|it| it.index)
    };
    let first = register("a", 1).unwrap();
    assert_eq!(register("a", 1), Ok(first));
    register("a", 2).unwrap();
    assert_eq!(register("a", 3), Err(Refused::Limit(Limit::ElementsPerPool)));
    register("b", 1).unwrap();
    assert_eq!(register("b", 2), Err(Refused::Limit(Limit::Elements)));
    assert_eq!(register("c", 1), Err(Refused::Limit(Limit::Pools)));
    let many = over(Transport::Sctp(sctp(7, TransportUse::DataOnly, 3)));
    let refused = space.register(&handle("a"), many).unwrap_err();
    assert_eq!(refused, Refused::Limit(Limit::AddressesPerTransport));
    assert_eq!(refused.cause().code, CauseCode::LACK_OF_RESOURCES);
    let counts = Limit::ALL.iter().map(|&limit| space.limits_reached().of(limit));
    assert_eq!(counts.collect::<Vec<_>>(), [1, 1, 1, 1, 0, 0]);
    // Whoever goes makes room.
    space.deregister(first).unwrap();
    space.register(&handle("b"), element(2, Policy::round_robin())).unwrap();
}

#[test]
fn who_registers_again_is_refused_like_who_registers() {
    let mut space = space(Limits { opaque_octets_max: 8, ..Limits::default() });
    let opaque = |len| over(Transport::Opaque(vec![1; len].into()));
    let index = space.register(&handle("p"), opaque(8)).unwrap().index;
    for (refused, code) in [
        (opaque(9), CauseCode::LACK_OF_RESOURCES),
        (
            over(Transport::Udp { port: 7, address: [192, 0, 2, 1].into() }),
            CauseCode::INCONSISTENT_TRANSPORT,
        ),
        (PoolElement { life: RegistrationLife(0), ..opaque(8) }, CauseCode::INVALID_VALUES),
    ] {
        let again = space.register_again(index, &handle("p"), refused.clone());
        let anew = space.register(&handle("p"), refused);
        assert_eq!(again.as_ref().unwrap_err().cause().code, code);
        assert_eq!(again, anew);
    }
    assert_eq!(space.element(index).unwrap().element, &opaque(8));
    assert_eq!(space.limits_reached().of(Limit::OpaqueOctets), 2);
}
