//! What RFC 5354 demands of the octets, one test a rule, in the order of the RFC.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod vectors;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hex_literal::hex;
use rserpool_wire::asap::{Deregistration, HandleResolution};
use rserpool_wire::codec::{Codec, Writer, padding_len};
use rserpool_wire::enrp::{Body, Presence};
use rserpool_wire::param::{
    Cause, Cookie, PeChecksum, PeId, Policy, PoolElement, PoolHandle, RegistrationLife,
    SctpTransport, ServerInformation, Transport, TransportUse,
};
use rserpool_wire::registry::{AsapType, CauseCode, EnrpType, ParamType, PolicyType, Unrecognized};
use rserpool_wire::{Asap, DecodeError, DecodeErrorKind, Decoded, Enrp, Message, Protocol};

use vectors::{FILES, vectors};

const HANDLE: [u8; 12] = hex!("0009000c 4563686f506f6f6c");
const ID: [u8; 8] = hex!("000e0008 11223344");
const SCTP: [u8; 16] = hex!("00040010 00070001 00010008 c000020a");
const ROUND_ROBIN: [u8; 8] = hex!("00080008 00000001");

fn asap(octets: &[u8]) -> Result<Decoded, DecodeError> {
    Message::decode(Protocol::Asap, octets)
}

/// A message around parameters, with the padding of the last one.
fn message(ty: AsapType, flags: u8, parameters: &[&[u8]]) -> Vec<u8> {
    let mut w = Writer::default();
    w.message(ty.0, flags, |w| parameters.iter().for_each(|octets| w.slice(octets)));
    w.into_octets()
}

fn parameter(ty: u16, value: &[u8]) -> Vec<u8> {
    let mut w = Writer::default();
    w.param(ParamType(ty), |w| w.slice(value));
    w.into_octets()
}

/// A registration whose element has these parameters.
fn registration(parameters: &[&[u8]]) -> Vec<u8> {
    let element = [&hex!("11223344 00000000 0000012c")[..], &parameters.concat()].concat();
    message(AsapType::REGISTRATION, 0, &[&HANDLE, &parameter(0xa, &element)])
}

/// The causes with which octets are refused.
fn refused(octets: &[u8]) -> Vec<Cause> {
    asap(octets).unwrap_err().cause(octets).into_iter().collect()
}

/// The parameter that octets are refused for, as an invalid value (RFC 5354 §3.12.4).
#[track_caller]
fn refused_parameter(octets: &[u8]) -> Vec<u8> {
    let causes = refused(octets);
    assert_eq!(causes.len(), 1);
    assert_eq!(causes[0].code, CauseCode::INVALID_VALUES);
    causes[0].info.to_vec()
}

fn deregistration() -> Message {
    let handle = PoolHandle::new(*b"EchoPool").unwrap();
    Asap::Deregistration(Deregistration { handle, id: PeId(0x1122_3344) }).into()
}

fn resolution(handle: &str) -> Message {
    let handle = PoolHandle::new(handle.as_bytes()).unwrap();
    let (want_updates, items) = (false, None);
    Asap::HandleResolution(HandleResolution { want_updates, handle, items }).into()
}

/// Calls `check` with every parameter of a message: its octets, padding included.
fn each_parameter(octets: &[u8], check: &mut impl FnMut(u16, &[u8], &[u8])) {
    let mut rest = octets;
    while let [high, low, length_high, length_low, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let padded = (length + padding_len(length)).min(rest.len());
        check(u16::from_be_bytes([high, low]), &rest[4..length], &rest[length..padded]);
        rest = &rest[padded..];
    }
    assert!(rest.is_empty());
}

// RFC 5354 §2, RFC 5353 §2; checklist 1.
#[test]
fn numbers_are_big_endian() {
    assert_eq!(PeId(0x1122_3344).to_octets(), ID);
    let transport = SctpTransport::from_octets(&SCTP).unwrap();
    assert_eq!((transport.port, transport.transport_use), (7, TransportUse::DataPlusControl));
}

// RFC 5354 §3; checklist 2.
#[test]
fn a_parameter_length_leaves_out_its_padding() {
    let handle = PoolHandle::new(*b"Echo1").unwrap();
    assert_eq!(handle.to_octets(), hex!("0009 0009 4563686f31 000000"));
    for length in 1..=9 {
        let handle = PoolHandle::new(vec![b'x'; length]).unwrap();
        let octets = handle.to_octets();
        assert_eq!(usize::from(u16::from_be_bytes([octets[2], octets[3]])), 4 + length);
        assert_eq!(PoolHandle::from_octets(&octets), Ok(handle));
    }
}

// RFC 5354 §3; checklist 3.
#[test]
fn parameters_are_padded_with_at_most_three_zeros() {
    let fixed = |protocol, ty| match (protocol, ty) {
        (Protocol::Asap, 0x07 | 0x0a) => 8,
        (Protocol::Asap, _) => 4,
        (Protocol::Enrp, 0x04 | 0x07 | 0x08 | 0x09) => 16,
        (Protocol::Enrp, _) => 12,
    };
    for vector in FILES.into_iter().flat_map(vectors) {
        let Ok(decoded) = Message::decode(vector.protocol, &vector.octets) else {
            continue;
        };
        let octets = decoded.message.encode();
        let start = fixed(vector.protocol, octets[0]);
        each_parameter(&octets[start..], &mut |_, _, padding| {
            assert!(padding.len() <= 3 && padding.iter().all(|octet| *octet == 0));
        });
    }
}

// RFC 5354 §3, §4; checklist 4.
#[test]
fn the_content_of_padding_does_not_matter() {
    let octets = hex!("0500000d 00090009 4563686f31 abcdef");
    assert_eq!(asap(&octets).unwrap().message, resolution("Echo1"));
    let between = [&hex!("00090009 4563686f31 abcdef")[..], &ID].concat();
    let decoded = asap(&message(AsapType::DEREGISTRATION, 0, &[&between])).unwrap();
    assert!(matches!(
        decoded.message,
        Message::Asap(Asap::Deregistration(Deregistration { handle, .. }))
            if handle.as_bytes() == b"Echo1"
    ));
}

// RFC 5354 §2; checklist 5.
#[test]
fn the_length_around_parameters_covers_the_padding_between_them_but_not_the_last() {
    let opaque = Transport::Opaque(Box::new(*b"abcde"));
    let element = PoolElement {
        id: PeId(1),
        home: None,
        life: RegistrationLife::FOREVER,
        user_transport: opaque,
        policy: Policy::round_robin(),
        asap_transport: None,
    };
    let octets = element.to_octets();
    // 4 header, 12 fixed, 9 transport, 3 padding, 8 policy.
    assert_eq!(octets[..4], hex!("000a 0024"));
    assert_eq!(octets[16..28], hex!("0010 0009 6162636465 000000"));
    assert_eq!(PoolElement::from_octets(&octets), Ok(element));

    let causes = vec![Cause::with_info(CauseCode::UNRECOGNIZED_PARAMETER, &[0xc0; 5])];
    let error = Message::from(Asap::Error(causes)).encode();
    assert_eq!(error, hex!("0e000011 000c000d 00010009 c0c0c0c0c0 000000"));
}

// RFC 5354 §4; checklist 6.
#[test]
fn a_message_is_a_multiple_of_four_octets_and_its_length_leaves_out_the_padding() {
    assert_eq!(resolution("Echo1").encode(), hex!("0500000d 00090009 4563686f31 000000"));
    for vector in FILES.into_iter().flat_map(vectors) {
        if let Ok(decoded) = Message::decode(vector.protocol, &vector.octets) {
            assert_eq!(decoded.message.encode().len() % 4, 0, "{}", vector.name);
        }
    }
}

// rsplib sends it so.
// Checklist 7.
#[test]
fn a_message_length_that_counts_the_padding_is_accepted() {
    let octets = hex!("05000010 00090009 4563686f31 000000");
    assert_eq!(asap(&octets).unwrap().message, resolution("Echo1"));
}

// Some SCTP stacks and programs leave the last padding out.
#[test]
fn a_message_without_its_last_padding_is_accepted() {
    let octets = hex!("0500000d 00090009 4563686f31");
    assert_eq!(asap(&octets).unwrap().message, resolution("Echo1"));
}

// RFC 5354 §4; checklist 8.
#[test]
fn unknown_flags_are_ignored_and_never_sent() {
    for flags in [0x00, 0x02, 0xfe] {
        let octets = message(AsapType::HANDLE_RESOLUTION, flags, &[&HANDLE]);
        let decoded = asap(&octets).unwrap();
        assert_eq!(decoded.message, resolution("EchoPool"), "{flags:#x}");
        assert_eq!(decoded.message.encode()[1], 0);
    }
    let octets = message(AsapType::DEREGISTRATION, 0xff, &[&HANDLE, &ID]);
    assert_eq!(asap(&octets).unwrap().message, deregistration());
}

/// A deregistration with parameters between its own two.
fn with_unknown(parameters: &[&[u8]]) -> Vec<u8> {
    let unknown = parameters.concat();
    message(AsapType::DEREGISTRATION, 0, &[&HANDLE, &unknown, &ID])
}

// RFC 5354 §3; checklist 9.
#[test]
fn an_unknown_parameter_with_high_bits_00_drops_the_message_silently() {
    let octets = with_unknown(&[&parameter(0x0123, b"abcd")]);
    let error = asap(&octets).unwrap_err();
    assert_eq!(
        (error.kind.clone(), error.offset),
        (DecodeErrorKind::Parameter(ParamType(0x123)), 16)
    );
    assert_eq!(refused(&octets), []);
}

// RFC 5354 §3, §3.12.2; checklist 10.
#[test]
fn an_unknown_parameter_with_high_bits_01_drops_the_message_and_is_reported() {
    for value in [&b""[..], b"a", b"abcd", b"abcdefg"] {
        let unknown = parameter(0x4123, value);
        let octets = with_unknown(&[&unknown]);
        let info = &unknown[..4 + value.len()];
        let cause = Cause::with_info(CauseCode::UNRECOGNIZED_PARAMETER, info);
        assert_eq!(refused(&octets), [cause]);
    }
}

// RFC 5354 §3; checklist 11.
#[test]
fn an_unknown_parameter_with_high_bits_10_is_skipped() {
    for value in [&b""[..], b"a", b"ab", b"abc", b"abcd"] {
        let octets = with_unknown(&[&parameter(0x8123, value)]);
        let decoded = asap(&octets).unwrap();
        assert_eq!(decoded.message, deregistration());
        assert_eq!(decoded.reports(&octets), []);
        assert_eq!(decoded.skipped.len(), 1);
        assert_eq!(
            (decoded.skipped[0].param_type, decoded.skipped[0].offset),
            (ParamType(0x8123), 16)
        );
    }
}

// RFC 5354 §3, §3.12.2; checklist 12.
#[test]
fn an_unknown_parameter_with_high_bits_11_is_skipped_and_reported() {
    for value in [&b""[..], b"a", b"ab", b"abc", b"abcd"] {
        let unknown = parameter(0xc123, value);
        let octets = with_unknown(&[&unknown]);
        let decoded = asap(&octets).unwrap();
        assert_eq!(decoded.message, deregistration());
        let info = &unknown[..4 + value.len()];
        let cause = Cause::with_info(CauseCode::UNRECOGNIZED_PARAMETER, info);
        assert_eq!(decoded.reports(&octets), [cause]);
    }
}

#[test]
fn unknown_parameters_are_skipped_wherever_they_stand() {
    let unknown = parameter(0x8fff, b"xyz");
    let at_end = message(AsapType::DEREGISTRATION, 0, &[&HANDLE, &ID, &unknown]);
    assert_eq!(asap(&at_end).unwrap().message, deregistration());
    let in_front = message(AsapType::DEREGISTRATION, 0, &[&unknown, &HANDLE, &ID]);
    assert_eq!(asap(&in_front).unwrap().message, deregistration());

    let plain = asap(&registration(&[&SCTP, &ROUND_ROBIN])).unwrap();
    let in_element =
        asap(&registration(&[&unknown, &SCTP, &unknown, &ROUND_ROBIN, &unknown])).unwrap();
    assert_eq!(in_element.message, plain.message);
    assert_eq!(in_element.skipped.len(), 3);

    let mut addresses = SCTP[..8].to_vec();
    addresses[3] += 8;
    addresses.extend_from_slice(&[&unknown[..], &SCTP[8..]].concat());
    let in_transport = asap(&registration(&[&addresses, &ROUND_ROBIN])).unwrap();
    assert_eq!(in_transport.message, plain.message);
}

// RFC 5354 §3.12.2; checklist 13.
#[test]
fn every_unknown_parameter_is_a_cause_of_its_own() {
    let (one, two) = (parameter(0xc001, b"one!"), parameter(0xffff, b"2"));
    let octets = with_unknown(&[&one, &parameter(0x8001, b"quiet"), &two]);
    let reports = asap(&octets).unwrap().reports(&octets);
    let info: Vec<_> = reports.iter().map(|cause| &cause.info[..]).collect();
    assert_eq!(info, [&one[..], &two[..5]]);
    assert!(reports.iter().all(|cause| cause.code == CauseCode::UNRECOGNIZED_PARAMETER));
}

#[test]
fn an_error_reports_at_most_sixteen_parameters() {
    let many = parameter(0xc001, b"").repeat(100);
    let octets = with_unknown(&[&many]);
    let decoded = asap(&octets).unwrap();
    assert_eq!(decoded.skipped.len(), 100);
    assert_eq!(decoded.reports(&octets).len(), Decoded::REPORTS_MAX);
}

#[test]
fn a_cause_carries_at_most_1024_octets() {
    let octets = with_unknown(&[&parameter(0xc001, &[7; 5000])]);
    let reports = asap(&octets).unwrap().reports(&octets);
    assert_eq!(reports[0].info.len(), Cause::INFO_MAX);
    let octets = with_unknown(&[&parameter(0x4001, &[7; 5000])]);
    assert_eq!(refused(&octets)[0].info.len(), Cause::INFO_MAX);
}

// RFC 5354 §4; checklist 14, 15.
#[test]
fn an_unknown_message_type_is_dropped_silently_unless_its_high_bits_are_01() {
    for ty in [0x00, 0x0f, 0x1f, 0x3f, 0x80, 0xbf, 0xc0, 0xff] {
        let octets = [ty, 0, 0, 4];
        assert_eq!(asap(&octets).unwrap_err().kind, DecodeErrorKind::Message(ty));
        assert_eq!(refused(&octets), [], "{ty:#x}");
    }
    for ty in [0x40, 0x5f, 0x7f] {
        let octets = [ty, 0, 0, 8, 1, 2, 3, 4];
        let cause = Cause::with_info(CauseCode::UNRECOGNIZED_MESSAGE, &octets);
        assert_eq!(refused(&octets), [cause], "{ty:#x}");
        let error = Message::decode(Protocol::Enrp, &octets).unwrap_err();
        assert_eq!(error.cause(&octets).unwrap().code, CauseCode::UNRECOGNIZED_MESSAGE);
    }
}

// RFC 5354 §3, §4; checklist 16.
#[test]
fn the_reserved_types_are_not_assigned() {
    assert!(!AsapType::ASSIGNED.iter().any(|ty| matches!(ty.0, 0 | 255)));
    assert!(!EnrpType::ASSIGNED.iter().any(|ty| matches!(ty.0, 0 | 255)));
    assert!(!ParamType::ASSIGNED.iter().any(|ty| matches!(ty.0, 0 | 0xffff)));
    assert_eq!(ParamType(0xffff).unrecognized(), Unrecognized::SkipAndReport);
}

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

// RFC 5354 §4
#[test]
fn octets_behind_a_message_are_not_ignored() {
    let mut octets = deregistration().encode();
    octets.extend([0; 4]);
    let error = asap(&octets).unwrap_err();
    let kind = DecodeErrorKind::Length { field: "Message Length", length: 24 };
    assert_eq!((error.kind, error.offset, error.parameter), (kind, 2, None));
}

// Checklist 32.
#[test]
fn a_prefix_of_a_message_is_never_a_message() {
    for vector in FILES.into_iter().flat_map(vectors) {
        let whole = Message::decode(vector.protocol, &vector.octets);
        for length in 0..vector.octets.len() {
            let cut = Message::decode(vector.protocol, &vector.octets[..length]);
            // Only the final padding may be missing.
            match cut {
                Ok(decoded) => {
                    assert!(vector.octets.len() - length <= 3);
                    assert_eq!(Ok(decoded), whole);
                }
                Err(error) => assert!(error.offset <= length, "{}: {error}", vector.name),
            }
        }
    }
}

// Checklist 32.
#[test]
fn a_length_that_lies_is_found() {
    for vector in FILES.into_iter().flat_map(vectors) {
        if Message::decode(vector.protocol, &vector.octets).is_err() {
            continue;
        }
        let right = u16::from_be_bytes([vector.octets[2], vector.octets[3]]);
        let total = u16::try_from(vector.octets.len()).unwrap();
        for length in (0..total + 8).chain([u16::MAX]) {
            let mut octets = vector.octets.clone();
            octets[2..4].copy_from_slice(&length.to_be_bytes());
            let decoded = Message::decode(vector.protocol, &octets);
            let covers = length <= total && total - length <= 3 && length > total - 4;
            assert!(decoded.is_err() || covers, "{}: {length} for {right}", vector.name);
        }
    }
}
