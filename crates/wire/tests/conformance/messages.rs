//! Octet order, lengths, padding and flags (RFC 5354 §2 to §4).

use hex_literal::hex;
use rserpool_wire::asap::Deregistration;
use rserpool_wire::codec::{Codec, padding_len};
use rserpool_wire::param::{
    Cause, PeId, Policy, PoolElement, PoolHandle, RegistrationLife, SctpTransport, Transport,
    TransportUse,
};
use rserpool_wire::registry::{AsapType, CauseCode};
use rserpool_wire::{Asap, DecodeErrorKind, Message, Protocol};

use crate::octets::{HANDLE, ID, SCTP, asap, deregistration, message, resolution};
use crate::vectors::{FILES, vectors};

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
