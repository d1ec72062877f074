//! Where a message ends in a stream of octets, and streams that do not know it.

use super::client::{Client, registrar};
use super::octets::{
    ECHO_POOL, handle, hex, message, registered, registration, resolution, simple_element,
    unknown_pool,
};

#[test]
fn a_length_below_4_ends_that_connection_and_no_other() {
    let registrar = registrar();
    let mut other = Client::to(&registrar);
    other.hears_nothing();
    for length in 0..4 {
        let mut client = Client::to(&registrar);
        client.hears_nothing();
        client.say(&[5, 0, 0, length]);
        assert!(client.is_ended());
        other.hears_nothing();
    }
}

#[test]
fn the_longest_message_there_can_be_is_read() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    // 65 535 octets and one of padding, of which the answer returns what fits into an error.
    let mut longest = vec![0xee; 65_536];
    longest[..4].copy_from_slice(&[0x5f, 0, 0xff, 0xff]);
    client.say(&longest);
    let answer = client.answer();
    assert_eq!(answer[..2], [14, 0]);
    assert_eq!(answer[8..10], [0, 2], "unrecognized message");
    assert!(answer.len() < 2048, "{}", answer.len());
    // A handle that takes all of it is too long for any pool, but a handle.
    let pool = handle(&vec![b'x'; 60_000]);
    client.say(&resolution(&pool));
    assert_eq!(client.answer()[..4], [6, 0, 0xea, 0x70]);
    client.hears_nothing();
}

#[test]
fn a_message_may_come_one_octet_at_a_time() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let pool = hex(ECHO_POOL);
    for octet in registration(&pool, &simple_element(1, 7)) {
        client.say(&[octet]);
    }
    client.hears(&registered(&pool, 1));
}

#[test]
fn a_message_that_does_not_end_holds_up_nobody() {
    let registrar = registrar();
    let pool = hex(ECHO_POOL);
    let whole = registration(&pool, &simple_element(1, 7));
    let mut waiting: Vec<Client> = (1..whole.len())
        .map(|len| {
            let mut client = Client::to(&registrar);
            client.say(&whole[..len]);
            client
        })
        .collect();
    let mut other = Client::to(&registrar);
    other.asks(&resolution(&pool), &unknown_pool(&pool));
    // Half of them give up, the others finish at last.
    for (len, client) in (1..whole.len()).zip(&mut waiting) {
        if len % 2 == 0 {
            client.hush();
            assert!(client.is_ended());
        }
    }
    other.asks(&resolution(&pool), &unknown_pool(&pool));
    for (len, client) in (1..whole.len()).zip(&mut waiting) {
        if len % 2 == 1 {
            client.say(&whole[len..]);
            client.hears(&registered(&pool, 1));
        }
    }
}

#[test]
fn a_thousand_requests_in_one_write_have_a_thousand_answers_in_order() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let pools: Vec<Vec<u8>> =
        (0..1000).map(|number| handle(format!("pool {number}").as_bytes())).collect();
    let requests: Vec<u8> = pools.iter().flat_map(|pool| resolution(pool)).collect();
    client.say(&requests);
    for pool in &pools {
        client.hears(&unknown_pool(pool));
    }
}

#[test]
fn a_client_that_hangs_up_is_forgotten_and_no_other() {
    let registrar = registrar();
    let (mut client, mut other) = (Client::to(&registrar), Client::to(&registrar));
    client.hears_nothing();
    client.hush();
    assert!(client.is_ended());
    other.hears_nothing();
}

#[test]
fn a_message_longer_than_its_parameters_say_is_read_as_far_as_they_go() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let pool = hex(ECHO_POOL);
    // Less than a parameter's header is no parameter.
    client.say(&message(5, 0, &[&pool, &[0, 0]]));
    client.say(&[0, 0]);
    assert_eq!(client.answer()[..1], [14]);
    client.hears_nothing();
}
