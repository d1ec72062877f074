//! Whether elements live (RFC 5352 §3.5).

use super::client::{Client, asking_registrar, default_registrar, registrar, registrar_with};
use super::octets::{
    ECHO_POOL, PE_ID, ROUND_ROBIN, TCP_7, element, handle, hex, message, pe_id, registered,
    registration, resolution, resolved, simple_element, unknown_pool,
};
use crate::programs::until;

const ID: u32 = 0x1122_3344;
const KEEP_ALIVE: &str = "0700001c 00000011  0009000c 4563686f506f6f6c  000e0008 11223344";

/// The answer to a resolution as long as that element is there.
fn listed() -> Vec<u8> {
    let element = element(ID, 0x11, 300, &[&hex(TCP_7), &hex(ROUND_ROBIN)]);
    resolved(&hex(ECHO_POOL), &hex(ROUND_ROBIN), &[element])
}

#[test]
fn an_element_is_asked_again_and_again_and_stays_as_long_as_it_answers() {
    let registrar = asking_registrar();
    let mut client = Client::to(&registrar);
    let pool = hex(ECHO_POOL);
    client.asks(&registration(&pool, &simple_element(ID, 7)), &registered(&pool, ID));
    for _ in 0..3 {
        assert_eq!(client.keep_alive(), hex(KEEP_ALIVE));
        client.say(&message(8, 0, &[&pool, &hex(PE_ID)]));
    }
    Client::to(&registrar).asks(&resolution(&pool), &listed());
}

#[test]
fn an_element_that_does_not_answer_is_out_and_its_connection_ends() {
    let registrar = default_registrar();
    let (mut client, mut user) = (Client::to(&registrar), Client::to(&registrar));
    let pool = hex(ECHO_POOL);
    client.asks(&registration(&pool, &simple_element(ID, 7)), &registered(&pool, ID));
    assert_eq!(client.keep_alive(), hex(KEEP_ALIVE));
    // An answer for somebody else is none.
    client.say(&message(8, 0, &[&pool, &pe_id(5)]));
    until("it is out", || {
        user.say(&resolution(&pool));
        user.answer() == unknown_pool(&pool)
    });
    assert!(client.is_ended());
}

#[test]
fn a_report_makes_the_registrar_ask_at_once() {
    let registrar = registrar();
    let (mut element, mut user) = (Client::to(&registrar), Client::to(&registrar));
    let pool = hex(ECHO_POOL);
    element.asks(&registration(&pool, &simple_element(ID, 7)), &registered(&pool, ID));
    user.say(&message(9, 0, &[&pool, &hex(PE_ID)]));
    assert_eq!(element.keep_alive(), hex(KEEP_ALIVE));
    element.say(&message(8, 0, &[&pool, &hex(PE_ID)]));
    element.hears_nothing();
    user.asks(&resolution(&pool), &listed());
}

#[test]
fn a_report_of_an_element_that_is_dead_removes_it() {
    let registrar = registrar();
    let (mut element, mut user) = (Client::to(&registrar), Client::to(&registrar));
    let pool = hex(ECHO_POOL);
    element.asks(&registration(&pool, &simple_element(ID, 7)), &registered(&pool, ID));
    user.say(&message(9, 0, &[&pool, &hex(PE_ID)]));
    until("it is out", || {
        user.say(&resolution(&pool));
        user.answer() == unknown_pool(&pool)
    });
    assert_eq!(element.keep_alive(), hex(KEEP_ALIVE));
    assert!(element.is_ended());
}

#[test]
fn reports_do_not_remove_an_element_that_answers() {
    let registrar = registrar_with("bad_reports_max = 2");
    let mut server = Client::to(&registrar);
    let pool = hex(ECHO_POOL);
    server.asks(&registration(&pool, &simple_element(ID, 7)), &registered(&pool, ID));
    let report = message(9, 0, &[&pool, &hex(PE_ID)]);
    // As many users as like to shout, as often as they like.
    for _ in 0..5 {
        let mut user = Client::to(&registrar);
        user.say(&report.repeat(10));
        user.hears_nothing();
        server.hears_nothing();
        user.asks(&resolution(&pool), &listed());
    }
}

#[test]
fn a_keep_alive_may_be_as_short_as_the_rfc_has_it() {
    let registrar = registrar_with("strict_rfc_keepalive = true");
    let mut client = Client::to(&registrar);
    let pool = hex(ECHO_POOL);
    client.asks(&registration(&pool, &simple_element(ID, 7)), &registered(&pool, ID));
    client.say(&message(9, 0, &[&pool, &hex(PE_ID)]));
    assert_eq!(client.keep_alive(), hex("07000014 00000011  0009000c 4563686f506f6f6c"));
}

#[test]
fn the_end_of_a_connection_is_the_end_of_its_elements_and_of_no_other() {
    let registrar = registrar();
    let (mut stays, mut ends) = (Client::to(&registrar), Client::to(&registrar));
    let (pool, other) = (hex(ECHO_POOL), handle(b"other"));
    stays.asks(&registration(&pool, &simple_element(1, 7)), &registered(&pool, 1));
    ends.asks(&registration(&pool, &simple_element(2, 8)), &registered(&pool, 2));
    ends.asks(&registration(&other, &simple_element(2, 8)), &registered(&other, 2));
    stays.say(&resolution(&pool));
    let both = stays.answer();
    drop(ends);
    until("only one is left", || {
        stays.say(&resolution(&pool));
        stays.answer().len() < both.len()
    });
    stays.asks(&resolution(&other), &unknown_pool(&other));
}
