//! What is not known, or does not belong: the actions of RFC 5354 §3 and §4.

use super::client::{Client, registrar};
use super::octets::{
    ECHO_POOL, PE_ID, causes, deregistered, deregistration, element, handle, hex, message, pe_id,
    policy, registered, registration, resolution, resolved, simple_element, tcp, tlv, unknown_pool,
};

const ID: u32 = 0x1122_3344;

#[test]
fn an_unknown_parameter_is_treated_as_its_type_asks() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let pool = hex(ECHO_POOL);
    let with = |parameter: &[u8]| message(2, 0, &[&pool, parameter, &hex(PE_ID)]);
    client.asks(&registration(&pool, &simple_element(ID, 7)), &registered(&pool, ID));

    // 00: the message is dropped without a word.
    client.say(&with(&tlv(0x0123, b"abcd")));
    client.hears_nothing();
    // 01: it is dropped and the parameter returned.
    client
        .asks(&with(&tlv(0x4123, b"abcd")), &hex("0e000014  000c0010 0001000c 41230008 61626364"));
    let listed = element(ID, 0x11, 300, &[&tcp(7, [127, 0, 0, 1]), &policy(1, &[])]);
    client.asks(&resolution(&pool), &resolved(&pool, &policy(1, &[]), &[listed]));
    // 10: it is skipped.
    client.asks(&with(&tlv(0x8123, b"abcd")), &deregistered(&pool, ID));
    client.asks(&with(&tlv(0x8123, b"abcde")), &deregistered(&pool, ID));
    // 11: it is skipped, and returned.
    client.asks(&with(&tlv(0xc123, b"abcd")), &deregistered(&pool, ID));
    client.hears(&hex("0e000014  000c0010 0001000c c1230008 61626364"));
    client.hears_nothing();
}

#[test]
fn unknown_parameters_are_found_wherever_they_stand() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let pool = hex(ECHO_POOL);
    let (skipped, reported) = (tlv(0x8001, &[1; 3]), tlv(0xc0ff, &[2; 6]));
    let (transport, round_robin) = (tcp(7, [127, 0, 0, 1]), policy(1, &[]));
    let inside = element(ID, 0, 300, &[&skipped, &transport, &reported, &round_robin, &skipped]);
    let request = message(1, 0, &[&skipped, &pool, &reported, &inside, &skipped]);
    client.asks(&request, &registered(&pool, ID));
    // Each is returned as it came, without its padding; one message for all of them.
    client.hears(&hex(
        "0e000026  000c0022  0001000e c0ff000a 02020202 02020000  0001000e c0ff000a 02020202 02020000",
    ));
    // What is listed is what was understood.
    let listed = element(ID, 0x11, 300, &[&transport, &round_robin]);
    let answer = resolved(&pool, &round_robin, &[listed]);
    client.asks(&message(5, 0, &[&pool, &skipped]), &answer);
}

#[test]
fn a_message_of_an_unknown_type_is_treated_as_its_type_asks() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    for silent in [0, 0x0f, 0x1f, 0x3f, 0x80, 0x9f, 0xc0, 0xdf, 0xff] {
        client.say(&message(silent, 0, &[b"abcd"]));
        client.hears_nothing();
    }
    client.asks(&hex("5f000008 61626364"), &hex("0e000014  000c0010 0002000c 5f000008 61626364"));
    client.hears_nothing();
}

#[test]
fn undefined_flags_are_ignored() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let pool = hex(ECHO_POOL);
    let request = message(1, 0xfe, &[&pool, &simple_element(ID, 7)]);
    client.asks(&request, &registered(&pool, ID));
    let request = message(2, 0xff, &[&pool, &pe_id(ID)]);
    client.asks(&request, &deregistered(&pool, ID));
    client.asks(&message(5, 0xfe, &[&pool]), &unknown_pool(&pool));
}

#[test]
fn a_known_parameter_where_none_belongs_is_cause_3() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let (pool, other) = (hex(ECHO_POOL), handle(b"other"));
    client.asks(
        &message(5, 0, &[&pool, &other]),
        // No length counts the padding at the end.
        &hex("0e000015  000c0011 0003000d 00090009 6f746865 72000000"),
    );
    let error = message(14, 0, &[&causes(&[(3, &pe_id(2))])]);
    client.asks(&message(2, 0, &[&pool, &pe_id(1), &pe_id(2)]), &error);
    client.say(&message(2, 0, &[&pe_id(1), &pool]));
    assert_eq!(client.answer()[..1], [14]);
    client.say(&message(5, 0, &[]));
    assert_eq!(client.answer()[..1], [14]);
}

#[test]
fn an_error_is_not_answered_by_an_error() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    client.say(&message(14, 0, &[]));
    client.say(&message(14, 0, &[&tlv(12, &[])]));
    client.say(&message(14, 0, &[&tlv(0x4123, b"abcd")]));
    client.say(&message(14, 0, &[&causes(&[(1, b"abcd")])]));
    client.hears_nothing();
}

#[test]
fn what_only_registrars_and_servers_say_is_not_answered() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let pool = hex(ECHO_POOL);
    let cookie = tlv(13, b"cookie");
    let messages = [
        registered(&pool, ID),
        deregistered(&pool, ID),
        unknown_pool(&pool),
        message(7, 0, &[&[0, 0, 0, 9], &pool]),
        message(8, 0, &[&pool, &pe_id(ID)]),
        message(9, 0, &[&pool, &pe_id(ID)]),
        message(10, 0, &[&[0, 0, 0, 9]]),
        message(11, 0, &[&cookie]),
        message(12, 0, &[&cookie]),
        message(13, 0, &[&pool, &simple_element(ID, 7)]),
    ];
    for octets in messages {
        client.say(&octets);
    }
    client.hears_nothing();
    client.asks(&deregistration(&pool, ID), &deregistered(&pool, ID));
}
