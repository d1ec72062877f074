//! Each parameter (RFC 5354 §3.1 to §3.15).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hex_literal::hex;
use rserpool_wire::codec::Codec;
use rserpool_wire::enrp::{Body, Presence};
use rserpool_wire::param::{
    Cause, Cookie, PeChecksum, Policy, PoolElement, RegistrationLife, SctpTransport,
    ServerInformation, Transport, TransportUse,
};
use rserpool_wire::registry::{AsapType, CauseCode, ParamType, PolicyType};
use rserpool_wire::{Asap, DecodeErrorKind, Enrp, Message, Protocol};

use crate::octets::{
    ROUND_ROBIN, SCTP, asap, message, parameter, refused, refused_parameter, registration,
    with_unknown,
};

// RFC 5354 §3.1, §3.2; checklist 17.
#[test]
fn an_address_has_the_length_of_its_family() {
    let v4 = IpAddr::from(Ipv4Addr::new(192, 0, 2, 10));
    let v6 = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3));
    assert_eq!(v4.to_octets(), hex!("00010008 c000020a"));
    assert_eq!(v6.to_octets(), hex!("00020014 20010db8 00000000 00000000 00000003"));
    for (ty, lengths) in [(1, [0, 3, 5, 16]), (2, [0, 4, 15, 17])] {
        for length in lengths {
            let address = parameter(ty, &vec![1; length]);
            let transport = parameter(4, &[&hex!("00070000")[..], &address].concat());
            let octets = registration(&[&transport, &ROUND_ROBIN]);
            assert_eq!(refused_parameter(&octets), address[..4 + length], "{ty}, {length}");
        }
    }
}

// RFC 5354 §3.4; checklist 18.
#[test]
fn an_sctp_transport_has_one_address_or_more_of_either_family() {
    let none = parameter(4, &hex!("00070000"));
    assert_eq!(refused_parameter(&registration(&[&none, &ROUND_ROBIN])), none);

    let v6: IpAddr = Ipv6Addr::LOCALHOST.into();
    let v4: IpAddr = Ipv4Addr::new(10, 1, 2, 3).into();
    let addresses: Vec<_> = [v4, v6].into_iter().cycle().take(200).collect();
    let transport_use = TransportUse::DataOnly;
    let transport = SctpTransport { port: 7, transport_use, addresses: addresses.into() };
    assert_eq!(SctpTransport::from_octets(&transport.to_octets()), Ok(transport));
}

// RFC 5354 §3.4; checklist 19.
#[test]
fn a_transport_use_is_0_or_1() {
    for number in [2, 0xffff_u16] {
        let mut transport = SCTP;
        transport[6..8].copy_from_slice(&number.to_be_bytes());
        let octets = registration(&[&transport, &ROUND_ROBIN]);
        assert_eq!(refused_parameter(&octets), transport);
        assert_eq!(asap(&octets).unwrap_err().offset, 38);
    }
}

/// A TCP, UDP, UDP-Lite or DCCP transport at port 7 with these addresses.
fn single_homed(ty: u16, reserved: u16, addresses: &[IpAddr]) -> Vec<u8> {
    let mut value = [7_u16.to_be_bytes(), reserved.to_be_bytes()].concat();
    if ty == 3 {
        value.extend_from_slice(&[0, 0, 0, 42]);
    }
    value.extend(addresses.iter().flat_map(Codec::to_octets));
    parameter(ty, &value)
}

// RFC 5354 §3.3, §3.5 to §3.7; checklist 20.
#[test]
fn transports_other_than_sctp_have_exactly_one_address() {
    let v4: IpAddr = Ipv4Addr::new(192, 0, 2, 10).into();
    let v6: IpAddr = Ipv6Addr::LOCALHOST.into();
    for ty in [3, 5, 6, 7] {
        for address in [v4, v6] {
            let octets = single_homed(ty, 0, &[address]);
            let transport = Transport::from_octets(&octets).unwrap();
            assert_eq!(transport.addresses(), [address]);
            assert_eq!((transport.port(), transport.to_octets()), (Some(7), octets));
        }
        for addresses in [&[][..], &[v4, v6], &[v4, v4]] {
            let transport = single_homed(ty, 0, addresses);
            let info = refused_parameter(&registration(&[&transport, &ROUND_ROBIN]));
            assert_eq!(info, transport, "{ty}");
        }
    }
}

// RFC 5354 §3.3, §3.6, §3.7. TCP's reserved field is a Transport Use to rsplib and to us.
// Checklist 21.
#[test]
fn transports_other_than_sctp_and_tcp_are_data_only() {
    let v4: IpAddr = Ipv4Addr::new(192, 0, 2, 10).into();
    for ty in [3, 6, 7] {
        let transport = Transport::from_octets(&single_homed(ty, 1, &[v4])).unwrap();
        assert_eq!(transport.transport_use(), TransportUse::DataOnly);
        assert_eq!(transport.to_octets(), single_homed(ty, 0, &[v4]));
    }
    for (reserved, transport_use) in [
        (0, TransportUse::DataOnly),
        (1, TransportUse::DataPlusControl),
        (9, TransportUse::DataOnly),
    ] {
        let transport = Transport::from_octets(&single_homed(5, reserved, &[v4])).unwrap();
        assert_eq!(transport.transport_use(), transport_use);
    }
}

// RFC 5354 §3.8; checklist 22.
#[test]
fn a_policy_starts_with_its_type() {
    let policy = parameter(8, b"");
    assert_eq!(refused_parameter(&registration(&[&SCTP, &policy])), policy);
    for (policy_type, fields) in [(PolicyType::ROUND_ROBIN, 0), (PolicyType::LEAST_USED_DPF, 3)] {
        let octets = Policy::of_type(policy_type).to_octets();
        assert_eq!(octets[4..8], policy_type.0.to_be_bytes());
        assert_eq!(octets.len(), 8 + 4 * fields);
    }
}

// RFC 5356 §3.1; checklist 195.
#[test]
fn two_policy_types_are_no_policies() {
    for policy_type in [0, 0x4000_0000] {
        let policy = parameter(8, &u32::to_be_bytes(policy_type));
        assert_eq!(refused_parameter(&registration(&[&SCTP, &policy])), policy);
    }
    // Their neighbours are.
    for policy_type in [1_u32, 0x4000_0001, 0x8000_0000, 0xc000_0000] {
        let fields = PolicyType(policy_type).fields().map_or(0, <[_]>::len);
        let value = [policy_type.to_be_bytes().to_vec(), vec![0; 4 * fields]].concat();
        let decoded = Policy::from_octets(&parameter(8, &value)).unwrap();
        assert_eq!(decoded.policy_type(), PolicyType(policy_type));
    }
}

// RFC 5354 §3.8, RFC 5356; checklist 31.
#[test]
fn policies_to_come_are_read_and_sent_on_unchanged() {
    let policy = parameter(8, &hex!("80001234 01020304 aabb"));
    let decoded = Policy::from_octets(&policy).unwrap();
    assert_eq!(decoded.policy_type(), PolicyType(0x8000_1234));
    assert_eq!(decoded.unknown(), hex!("01020304 aabb"));
    assert_eq!(decoded.to_octets(), policy);
}

// RFC 5354 §3.10; checklist 23.
#[test]
fn a_pool_element_has_exactly_one_user_transport() {
    for transports in [&[][..], &[&SCTP[..], &SCTP]] {
        let parameters = [transports, &[&ROUND_ROBIN[..]]].concat();
        let octets = registration(&parameters);
        assert_eq!(refused_parameter(&octets)[..2], hex!("000a"));
    }
}

// RFC 5354 §3.10; checklist 24.
#[test]
fn an_asap_transport_is_of_sctp() {
    let mut tcp = SCTP;
    tcp[1] = 5;
    assert!(asap(&registration(&[&tcp, &ROUND_ROBIN])).is_ok());
    assert!(asap(&registration(&[&SCTP, &ROUND_ROBIN, &SCTP])).is_ok());
    let octets = registration(&[&SCTP, &ROUND_ROBIN, &tcp]);
    assert_eq!(refused_parameter(&octets)[..2], hex!("000a"));
    let two = registration(&[&SCTP, &ROUND_ROBIN, &SCTP, &SCTP]);
    assert_eq!(refused_parameter(&two)[..2], hex!("000a"));
}

// RFC 5354 §3.10; checklist 25.
#[test]
fn a_registration_life_is_signed_and_minus_one_is_for_ever() {
    for (octets, life) in [
        (hex!("0000012c"), RegistrationLife(300)),
        (hex!("ffffffff"), RegistrationLife::FOREVER),
        (hex!("80000000"), RegistrationLife(i32::MIN)),
    ] {
        let element = [&hex!("11223344 00000000")[..], &octets, &SCTP, &ROUND_ROBIN].concat();
        assert_eq!(PoolElement::from_octets(&parameter(0xa, &element)).unwrap().life, life);
    }
}

// RFC 5354 §3.10; checklist 26.
#[test]
fn a_home_of_0_is_undetermined() {
    let decoded = asap(&registration(&[&SCTP, &ROUND_ROBIN])).unwrap();
    let Message::Asap(Asap::Registration(registration)) = decoded.message else {
        panic!("{decoded:?}");
    };
    assert_eq!(registration.element.home, None);
}

// RFC 5354 §3.11; checklist 27.
#[test]
fn a_registrar_is_reached_by_sctp() {
    let server = parameter(0xb, &[&hex!("aabbccdd")[..], &SCTP].concat());
    assert_eq!(ServerInformation::from_octets(&server).unwrap().to_octets(), server);
    let mut tcp = SCTP;
    tcp[1] = 5;
    let server = parameter(0xb, &[&hex!("aabbccdd")[..], &tcp].concat());
    let error = ServerInformation::from_octets(&server).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Missing(ParamType::SCTP_TRANSPORT));
    let two = parameter(0xb, &[&hex!("aabbccdd")[..], &SCTP, &SCTP].concat());
    let error = ServerInformation::from_octets(&two).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Unexpected(ParamType::SCTP_TRANSPORT));
}

// RFC 5354 §3.12; checklist 28.
#[test]
fn an_operation_error_has_causes_with_padding_between() {
    let octets = hex!("0e000020 000c001c 00010009 c0c00005 aa 000000 00070005 bb 000000 00000004");
    let decoded = asap(&octets).unwrap();
    let causes = vec![
        Cause::with_info(CauseCode::UNRECOGNIZED_PARAMETER, &hex!("c0c00005 aa")),
        Cause::with_info(CauseCode::INCONSISTENT_TRANSPORT, &hex!("bb")),
        Cause::new(CauseCode::UNSPECIFIED),
    ];
    assert_eq!(decoded.message, Asap::Error(causes).into());
    assert_eq!(decoded.message.encode(), octets);
    assert!(asap(&hex!("0e000008 000c0004")).is_err(), "no cause");
}

// rsplib sends causes of its own, RFC 5354 §3.12 may get more.
#[test]
fn unknown_causes_are_read() {
    let decoded = asap(&hex!("0e000010 000c000c f0060008 01020304")).unwrap();
    let cause = Cause::with_info(CauseCode(0xf006), &[1, 2, 3, 4]);
    assert_eq!(decoded.message, Asap::Error(vec![cause]).into());
}

// RFC 5354 §3.12.1 to §3.12.11; checklist 29.
#[test]
fn causes_carry_the_object_that_they_are_about() {
    let unknown = parameter(0x4001, b"unknown!");
    assert_eq!(refused(&with_unknown(&[&unknown]))[0].info[..], unknown);
    assert_eq!(refused(&hex!("40000004"))[0].info[..], hex!("40000004"));
    let handle = hex!("00090004");
    let empty = message(AsapType::HANDLE_RESOLUTION, 0, &[&handle]);
    assert_eq!(refused_parameter(&empty), handle);
    let announce = hex!("0a000018 aabbccdd 00060010 0f170000 00010008 c0000201");
    assert_eq!(refused_parameter(&announce), announce[8..]);

    let cause = Cause::inconsistent_policy(&Policy::round_robin());
    assert_eq!((cause.code, &cause.info[..]), (CauseCode::INCONSISTENT_POLICY, &ROUND_ROBIN[..]));
    let cause = Cause::inconsistent_transport(&Transport::from_octets(&SCTP).unwrap());
    assert_eq!((cause.code, &cause.info[..]), (CauseCode::INCONSISTENT_TRANSPORT, &SCTP[..]));
    let cause = Cause::new(CauseCode::UNKNOWN_POOL_HANDLE);
    assert!(cause.info.is_empty());
}

// RFC 5354 §3.13
#[test]
fn a_cookie_is_any_octets() {
    for cookie in [&b""[..], b"a", b"abcdefgh", &[0; 1000]] {
        let cookie = Cookie::new(cookie).unwrap();
        assert_eq!(Cookie::from_octets(&cookie.to_octets()), Ok(cookie));
    }
}

// RFC 5354 §3.15; checklist 30.
#[test]
fn a_checksum_has_length_6_and_two_octets_of_padding() {
    assert_eq!(PeChecksum(0x4deb).to_octets(), hex!("000f 0006 4deb 0000"));
    let presence = Presence { reply_required: false, checksum: Some(PeChecksum(1)), server: None };
    let message = Enrp { sender: None, receiver: None, body: Body::Presence(presence) };
    let octets = Message::from(message.clone()).encode();
    assert_eq!(octets, hex!("01000012 00000000 00000000 000f0006 0001 0000"));
    assert_eq!(Message::decode(Protocol::Enrp, &octets).unwrap().message, message.into());
}
