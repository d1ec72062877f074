use proptest::prelude::*;

use super::*;
use crate::packet::hex;

/// The first ping of rsplib's client, and its server's answer.
const PING: &str = "01 00 0037 0000000000000001 4e61636872696368743a20312c205a65697473
    74656d70656c3a2031373935343130353232393332303936";
const PONG: &str = "02 00 003f 0000000000000001 0000000000000001 4e61636872696368743a20312c20
    5a6569747374656d70656c3a2031373935343130353232393332303936";

#[test]
fn speaks_as_rsplib_does() {
    let text = b"Nachricht: 1, Zeitstempel: 1795410522932096".to_vec();
    let ping = Packet::Ping { message: 1, text: text.clone() };
    let pong = Packet::Pong { message: 1, reply: 1, text };
    for (packet, octets) in [(ping, hex(PING)), (pong, hex(PONG))] {
        assert_eq!(packet.encode(), octets);
        assert_eq!(Packet::decode(&octets), Ok(packet));
    }
    let cookie = hex("3c50502d5444313e 000000000000000e");
    assert_eq!(packet::cookie(14), cookie);
    assert_eq!(packet::next_reply(&cookie), Some(14));
}

#[test]
fn the_next_server_goes_on_with_the_next_number() {
    let mut first = Counter::default();
    let answer = first.answer(&hex(PING)).unwrap();
    assert_eq!(answer.pong, hex(PONG));
    assert_eq!(answer.cookie, packet::cookie(2));

    let mut second = Counter::default();
    second.resume(&answer.cookie);
    let answer = second.answer(&hex(PING)).unwrap();
    let Ok(Packet::Pong { message: 1, reply: 2, .. }) = Packet::decode(&answer.pong) else {
        panic!("{answer:?}");
    };
}

#[test]
fn cookies_of_something_else_begin_anew() {
    let mut counter = Counter::default();
    for cookie in
        [&b""[..], b"<PP-TD1>", b"<PP-TD1>1234567", b"<PP-TD1>123456789", b"<FG-TD1>12345678"]
    {
        counter.resume(cookie);
        assert_eq!(counter, Counter::default());
    }
}

#[test]
fn what_is_no_ping_has_no_answer() {
    let mut counter = Counter::default();
    let mut long = hex(PING);
    long[3] = 0xff;
    for octets in [hex(PONG), hex("03 00 000c 0000000000000001"), hex("01 00 0004"), long, vec![]] {
        assert_eq!(counter.answer(&octets), None);
    }
    assert_eq!(counter, Counter::default());
}

#[test]
fn a_text_that_does_not_fit_is_cut_off() {
    let pong = Packet::Pong { message: 1, reply: 2, text: vec![b'x'; 70_000] };
    let Ok(Packet::Pong { text, .. }) = Packet::decode(&pong.encode()) else { panic!() };
    assert_eq!(text.len(), 65_000);
}

proptest! {
    #[test]
    fn any_octets_are_survived(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(packet) = Packet::decode(&octets) {
            prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
        }
        let mut counter = Counter::default();
        counter.resume(&octets);
        counter.answer(&octets);
    }
}
