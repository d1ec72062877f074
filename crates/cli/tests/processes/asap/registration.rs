//! REGISTRATION and DEREGISTRATION (RFC 5352 §3.1, §3.2).

use super::client::{Client, REGISTRAR, registrar, registrar_with};
use super::octets::{
    ECHO_POOL, PE_ID, ROUND_ROBIN, TCP_7, address, causes, deregistered, deregistration, element,
    handle, hex, message, pe_id, policy, registered, registration, rejected, resolution, resolved,
    sctp, simple_element, tcp, tlv, unknown_pool,
};
use crate::programs::until;

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [192, 0, 2, 1];
const ID: u32 = 0x1122_3344;

fn echo_pool() -> Vec<u8> {
    hex(ECHO_POOL)
}

#[test]
fn an_element_registers_is_listed_and_deregisters() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    client.asks(
        &hex("01000038  0009000c 4563686f506f6f6c
              000a0028 11223344 00000000 0000012c
              00050010 00070000 00010008 7f000001  00080008 00000001"),
        &hex("03000018  0009000c 4563686f506f6f6c  000e0008 11223344"),
    );
    client.asks(
        &hex("05000010  0009000c 4563686f506f6f6c"),
        &hex("06000040  0009000c 4563686f506f6f6c  00080008 00000001
              000a0028 11223344 00000011 0000012c
              00050010 00070000 00010008 7f000001  00080008 00000001"),
    );
    client.asks(
        &hex("02000018  0009000c 4563686f506f6f6c  000e0008 11223344"),
        &hex("04000018  0009000c 4563686f506f6f6c  000e0008 11223344"),
    );
    client.asks(
        &hex("05000010  0009000c 4563686f506f6f6c"),
        &hex("06000018  0009000c 4563686f506f6f6c  000c0008 00090004"),
    );
}

#[test]
fn what_a_registration_brings_beyond_what_it_has_to_is_taken() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    // Flags that are not defined, an own home and an ASAP transport, and -1, which is for ever.
    let brought = element(
        ID,
        0x99,
        -1,
        &[&sctp(7, 0, &[LOOPBACK, ELSEWHERE]), &hex(ROUND_ROBIN), &sctp(9, 0, &[ELSEWHERE])],
    );
    let request = message(1, 0xff, &[&echo_pool(), &brought]);
    client.asks(&request, &registered(&echo_pool(), ID));
    // Of the addresses those are listed that the element has, and no ASAP transport.
    let listed = element(ID, REGISTRAR, -1, &[&sctp(7, 0, &[LOOPBACK]), &hex(ROUND_ROBIN)]);
    let answer = resolved(&echo_pool(), &hex(ROUND_ROBIN), &[listed]);
    client.asks(&resolution(&echo_pool()), &answer);
}

#[test]
fn an_element_registers_again_with_other_values() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let weighted =
        |weight, port| element(ID, 0, 300, &[&tcp(port, LOOPBACK), &policy(2, &[weight])]);
    client.asks(&registration(&echo_pool(), &weighted(1, 7)), &registered(&echo_pool(), ID));
    client.asks(&registration(&echo_pool(), &weighted(5, 8)), &registered(&echo_pool(), ID));
    let listed = element(ID, REGISTRAR, 300, &[&tcp(8, LOOPBACK), &policy(2, &[5])]);
    // The pool's policy has no values of its own.
    let answer = resolved(&echo_pool(), &policy(2, &[0]), &[listed]);
    client.asks(&resolution(&echo_pool()), &answer);
}

#[test]
fn a_handle_that_ends_between_two_words_is_padded_in_either_form() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let answer = hex("06000018  00090009 4563686f31000000  000c0008 00090004");
    client.asks(&hex("0500000d  00090009 4563686f31000000"), &answer);
    client.asks(&hex("05000010  00090009 4563686f31000000"), &answer);
    // Padding is not looked at.
    client.asks(&hex("0500000d  00090009 4563686f31ffffff"), &answer);
}

// Checklist 195.
#[test]
fn what_no_element_can_be_is_rejected_with_cause_3_and_leaves_no_trace() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let pool = echo_pool();
    let round_robin = hex(ROUND_ROBIN);
    let (tcp_7, no_port) = (hex(TCP_7), tcp(0, LOOPBACK));
    let (foreign, anywhere) = (tcp(7, ELSEWHERE), tcp(7, [0; 4]));
    let unheard_of = policy(0x7777, &[1]);
    let lifeless = |home| element(ID, home, 0, &[&tcp_7, &round_robin]);
    let of = |id, transport: &[u8], policy: &[u8]| element(id, 0, 300, &[transport, policy]);
    let cases: &[(Vec<u8>, u32, &[u8])] = &[
        (of(0, &tcp_7, &round_robin), 0, &pe_id(0)),
        (of(ID, &no_port, &round_robin), ID, &no_port),
        (of(ID, &foreign, &round_robin), ID, &foreign),
        (of(ID, &anywhere, &round_robin), ID, &anywhere),
        (of(ID, &sctp(7, 0, &[ELSEWHERE]), &round_robin), ID, &sctp(7, 0, &[ELSEWHERE])),
        (of(ID, &tcp_7, &unheard_of), ID, &unheard_of),
        (of(ID, &tcp_7, &policy(0, &[])), ID, &policy(0, &[])),
        (of(ID, &tcp_7, &policy(0x4000_0000, &[])), ID, &policy(0x4000_0000, &[])),
    ];
    for (element, id, info) in cases {
        client.asks(&registration(&pool, element), &rejected(&pool, *id, 3, info));
        client.asks(&resolution(&pool), &unknown_pool(&pool));
    }
    client.say(&registration(&pool, &lifeless(0)));
    let answer = client.answer();
    assert!(answer.starts_with(&[3, 1]), "{answer:?}");
    assert_eq!(answer[24..][..8], hex("000c 0040 0003 003c"), "cause 3 with the element");
    client.asks(&resolution(&pool), &unknown_pool(&pool));
}

#[test]
fn a_handle_of_33_octets_is_rejected_and_one_of_32_taken() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let (longest, too_long) = (handle(&[b'x'; 32]), handle(&[b'x'; 33]));
    let element = simple_element(ID, 7);
    let info = tlv(9, &[b'x'; 33]);
    // The cause's length counts the parameter's padding, for the parameter is its information.
    client.asks(&registration(&too_long, &element), &rejected(&too_long, ID, 3, &info));
    client.asks(&resolution(&too_long), &unknown_pool(&too_long));
    client.asks(&registration(&longest, &element), &registered(&longest, ID));
}

#[test]
fn an_empty_handle_is_an_error() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let empty = hex("00090004");
    let error = message(14, 0, &[&causes(&[(3, &empty)])]);
    client.asks(&registration(&empty, &simple_element(ID, 7)), &error);
    client.asks(&deregistration(&empty, ID), &error);
    client.asks(&resolution(&empty), &error);
}

#[test]
fn a_registration_that_cannot_be_read_is_rejected_with_cause_3_and_leaves_no_trace() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let pool = echo_pool();
    let (tcp_7, round_robin) = (hex(TCP_7), hex(ROUND_ROBIN));
    let of = |inside: &[&[u8]]| element(ID, 0, 300, inside);
    let two_addresses = [&[0, 7, 0, 0][..], &address(LOOPBACK), &address(LOOPBACK)].concat();
    let cases: &[(&str, Vec<u8>)] = &[
        ("two user transports", of(&[&tcp_7, &tcp_7, &round_robin])),
        ("policy before transport", of(&[&round_robin, &tcp_7])),
        ("no transport", of(&[&round_robin])),
        ("no policy", of(&[&tcp_7])),
        ("nothing inside", of(&[])),
        ("two policies", of(&[&tcp_7, &round_robin, &round_robin])),
        ("SCTP without address", of(&[&sctp(7, 0, &[]), &round_robin])),
        ("Transport Use 2", of(&[&sctp(7, 2, &[LOOPBACK]), &round_robin])),
        ("TCP with two addresses", of(&[&tlv(5, &two_addresses), &round_robin])),
        ("TCP without address", of(&[&tlv(5, &[0, 7, 0, 0]), &round_robin])),
        (
            "IPv4 address of 5 octets",
            of(&[
                &tlv(5, &[&[0, 7, 0, 0][..], &tlv(1, &[127, 0, 0, 1, 0])].concat()),
                &round_robin,
            ]),
        ),
        ("policy without type", of(&[&tcp_7, &tlv(8, &[])])),
        ("weighted round robin without weight", of(&[&tcp_7, &policy(2, &[])])),
        ("ASAP transport of TCP", of(&[&tcp_7, &round_robin, &tcp_7])),
        ("parameter shorter than its header", of(&[&hex("00050003"), &round_robin])),
        ("parameter longer than its message", of(&[&tcp_7, &hex("0008ffff 00000001")])),
    ];
    for (what, element) in cases {
        client.say(&registration(&pool, element));
        let answer = client.answer();
        let head = [&hex("0301")[..], &[answer[2], answer[3]], &pool, &hex(PE_ID)].concat();
        assert_eq!(answer[..24], head, "{what}: {answer:?}");
        assert_eq!(answer[24..26], [0, 12], "{what}: {answer:?}");
        assert_eq!(answer[28..30], [0, 3], "{what}: {answer:?}");
        client.asks(&resolution(&pool), &unknown_pool(&pool));
    }
}

#[test]
fn whoever_does_not_fit_into_a_pool_is_told_what_the_pool_is_like() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let round_robin = hex(ROUND_ROBIN);
    let pool = echo_pool();
    client.asks(&registration(&pool, &simple_element(ID, 7)), &registered(&pool, ID));
    let random = element(2, 0, 300, &[&hex(TCP_7), &policy(3, &[])]);
    client.asks(
        &registration(&pool, &random),
        &hex("03010028  0009000c 4563686f506f6f6c  000e0008 00000002
              000c0010 0005000c 00080008 00000001"),
    );
    let over_sctp = element(2, 0, 300, &[&sctp(7, 0, &[LOOPBACK]), &round_robin]);
    client.asks(&registration(&pool, &over_sctp), &rejected(&pool, 2, 7, &hex(TCP_7)));
    // So is a member that changes its mind; it stays what it was.
    let random = element(ID, 0, 300, &[&hex(TCP_7), &policy(3, &[])]);
    client.asks(&registration(&pool, &random), &rejected(&pool, ID, 5, &round_robin));

    let controlled = handle(b"controlled");
    let with_control = element(1, 0, 300, &[&sctp(7, 1, &[LOOPBACK]), &round_robin]);
    let without = element(2, 0, 300, &[&sctp(8, 0, &[LOOPBACK]), &round_robin]);
    client.asks(&registration(&controlled, &with_control), &registered(&controlled, 1));
    client.asks(&registration(&controlled, &without), &rejected(&controlled, 2, 8, &[]));

    let listed = element(ID, REGISTRAR, 300, &[&hex(TCP_7), &round_robin]);
    client.asks(&resolution(&pool), &resolved(&pool, &round_robin, &[listed]));
}

#[test]
fn a_registrar_that_is_full_lacks_resources() {
    let registrar = registrar_with("limits.elements = 1");
    let mut client = Client::to(&registrar);
    let pool = echo_pool();
    client.asks(&registration(&pool, &simple_element(1, 7)), &registered(&pool, 1));
    client.asks(&registration(&pool, &simple_element(2, 8)), &rejected(&pool, 2, 6, &[]));
    client.asks(&registration(&pool, &simple_element(1, 7)), &registered(&pool, 1));
    client.asks(&deregistration(&pool, 1), &deregistered(&pool, 1));
    client.asks(&registration(&pool, &simple_element(2, 8)), &registered(&pool, 2));
}

#[test]
fn only_an_element_itself_is_deregistered() {
    let registrar = registrar();
    let (mut element, mut other) = (Client::to(&registrar), Client::to(&registrar));
    let pool = echo_pool();
    element.asks(&registration(&pool, &simple_element(ID, 7)), &registered(&pool, ID));
    let security = causes(&[(10, &[])]);
    other.asks(&deregistration(&pool, ID), &message(4, 0, &[&pool, &hex(PE_ID), &security]));
    let listed = element_at(7);
    other.asks(&resolution(&pool), &resolved(&pool, &hex(ROUND_ROBIN), &[listed]));
    // Whoever is not there is as good as gone.
    other.asks(&deregistration(&pool, 5), &deregistered(&pool, 5));
    let nowhere = handle(b"nowhere");
    other.asks(&deregistration(&nowhere, ID), &deregistered(&nowhere, ID));
    element.asks(&deregistration(&pool, ID), &deregistered(&pool, ID));
    element.asks(&deregistration(&pool, ID), &deregistered(&pool, ID));
}

/// The element as it is listed.
fn element_at(port: u16) -> Vec<u8> {
    element(ID, REGISTRAR, 300, &[&tcp(port, LOOPBACK), &hex(ROUND_ROBIN)])
}

#[test]
fn an_identifier_is_another_elements_while_that_one_lives_elsewhere() {
    let registrar = registrar();
    let (mut first, mut second) = (Client::to(&registrar), Client::to(&registrar));
    let pool = echo_pool();
    first.asks(&registration(&pool, &simple_element(ID, 7)), &registered(&pool, ID));
    second.asks(&registration(&pool, &simple_element(ID, 8)), &rejected(&pool, ID, 4, &[]));
    let listed = |port| resolved(&pool, &hex(ROUND_ROBIN), &[element_at(port)]);
    second.asks(&resolution(&pool), &listed(7));
    drop(first);
    until("the first one is gone", || {
        second.say(&registration(&pool, &simple_element(ID, 8)));
        second.answer() == registered(&pool, ID)
    });
    second.asks(&resolution(&pool), &listed(8));
}

#[test]
fn an_element_that_serves_where_it_did_may_register_over_another_connection() {
    let registrar = registrar();
    let (mut first, mut second) = (Client::to(&registrar), Client::to(&registrar));
    let pool = echo_pool();
    first.asks(&registration(&pool, &simple_element(ID, 7)), &registered(&pool, ID));
    second.asks(&registration(&pool, &simple_element(ID, 7)), &registered(&pool, ID));
    // It is the second connection's now, whatever becomes of the first, which was asked and is told.
    assert_eq!(first.answer(), deregistered(&pool, ID));
    let security = causes(&[(10, &[])]);
    first.asks(&deregistration(&pool, ID), &message(4, 0, &[&pool, &hex(PE_ID), &security]));
    first.hush();
    assert!(first.is_ended());
    let listed = resolved(&pool, &hex(ROUND_ROBIN), &[element_at(7)]);
    second.asks(&resolution(&pool), &listed);
    second.asks(&deregistration(&pool, ID), &deregistered(&pool, ID));
}

#[test]
fn a_registration_runs_out() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let pool = echo_pool();
    let brief = element(ID, 0, 2, &[&hex(TCP_7), &hex(ROUND_ROBIN)]);
    client.asks(&registration(&pool, &brief), &registered(&pool, ID));
    // Nobody asked for this.
    client.hears(&hex("04000018  0009000c 4563686f506f6f6c  000e0008 11223344"));
    client.asks(&resolution(&pool), &unknown_pool(&pool));
    client.asks(&registration(&pool, &brief), &registered(&pool, ID));
}

#[test]
fn a_registrar_may_leave_registrations_to_sctp() {
    let registrar = registrar_with("tcp_registration = false");
    let mut client = Client::to(&registrar);
    let pool = echo_pool();
    client.asks(&resolution(&pool), &unknown_pool(&pool));
    client.asks(&registration(&pool, &simple_element(ID, 7)), &rejected(&pool, ID, 10, &[]));
    assert!(client.is_ended());
    let mut other = Client::to(&registrar);
    other.asks(&resolution(&pool), &unknown_pool(&pool));
}
