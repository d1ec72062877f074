//! What is not known: its type says what becomes of it (RFC 5354 §3, §4).

use rserpool_wire::param::Cause;
use rserpool_wire::registry::{AsapType, CauseCode, EnrpType, ParamType, Unrecognized};
use rserpool_wire::{DecodeErrorKind, Decoded, Message, Protocol};

use crate::octets::{
    HANDLE, ID, ROUND_ROBIN, SCTP, asap, deregistration, message, parameter, refused, registration,
    with_unknown,
};

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
