//! Association setup: 1/1/1 to 1/15.

use std::net::{IpAddr, SocketAddr};

use rserpool_sctp::chunk::kind;
use rserpool_sctp::parameter::{Parameters, kind as parameter, write_address};
use rserpool_sctp::{Config, DownReason, Event, SendError};

use crate::network::{Network, ip, quick};
use crate::raw::{Out, PORTS, Raw, cookie_parameter, ms};

fn kinds(out: &[Out]) -> Vec<u8> {
    out.iter().map(|out| out.kind).collect()
}

fn is_up(raw: &Raw) -> bool {
    raw.events.iter().any(|event| matches!(event, Event::Up(_)))
}

#[test]
fn as_1_1_1_the_endpoint_dials() {
    assert!(is_up(&Raw::accepted(Config::default())));
}

#[test]
fn as_1_1_2_the_peer_dials() {
    assert!(is_up(&Raw::dialed(Config::default())));
}

#[test]
fn as_1_2_1_an_init_without_an_answer_is_repeated() {
    let mut raw = Raw::new(Config::default());
    let first = raw.connect();
    assert_eq!(kinds(&raw.wait(ms(999))), []);
    let again = raw.wait(ms(2));
    assert_eq!(again, first);
    raw.answer_init(&again[0], &cookie_parameter(b"c"));
    raw.packet(&[(kind::COOKIE_ACK, 0, vec![])]);
    assert!(is_up(&raw));
}

#[test]
fn as_1_2_2_a_cookie_without_an_answer_is_repeated() {
    let mut raw = Raw::new(Config::default());
    let init = raw.connect();
    let echo = raw.answer_init(&init[0], &cookie_parameter(b"abc"));
    assert_eq!((kinds(&echo), &echo[0].value[..]), (vec![kind::COOKIE_ECHO], &b"abc"[..]));
    assert_eq!(raw.wait(ms(1001)), echo);
    raw.packet(&[(kind::COOKIE_ACK, 0, vec![])]);
    assert!(is_up(&raw));
}

#[test]
fn as_1_3_1_so_many_inits_and_no_more() {
    let mut raw = Raw::new(Config::default());
    let mut out = raw.connect();
    out.extend(raw.wait(ms(3_600_000)));
    assert_eq!(kinds(&out), [kind::INIT; 9]);
    assert_eq!(raw.down(), Some(DownReason::Timeout));
}

#[test]
fn as_1_3_2_so_many_cookies_and_no_more() {
    let mut raw = Raw::new(Config::default());
    let init = raw.connect();
    let mut out = raw.answer_init(&init[0], &cookie_parameter(b"abc"));
    out.extend(raw.wait(ms(3_600_000)));
    assert_eq!(kinds(&out), [kind::COOKIE_ECHO; 9]);
    assert_eq!(raw.down(), Some(DownReason::Timeout));
}

#[test]
fn as_1_4_there_are_no_resources() {
    let mut raw = Raw::new(Config { associations_max: 1, ..Config::default() });
    raw.dial(&[]);
    raw.at.set_ip("192.0.2.2".parse().unwrap());
    let out = raw.send_init(&[]);
    assert_eq!((out[0].kind, out[0].tag, out[0].cause()), (kind::ABORT, raw.tags[0], Some(4)));
}

#[test]
fn as_1_5_1_the_tags_of_inits_differ() {
    let tag = |seed: u8| {
        let remote: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let mut endpoint = rserpool_sctp::Endpoint::new(Config::default(), 7, vec![], [seed; 32]);
        endpoint.connect(ms(0), &[remote], 7).unwrap();
        let mut packet = Vec::new();
        endpoint.poll(&mut packet);
        let word = |at: usize| u32::from_be_bytes(*packet[at..].first_chunk().unwrap());
        (word(16), word(28))
    };
    let tags: Vec<_> = (0..100).map(tag).collect();
    let (first, tsns): (Vec<u32>, Vec<u32>) = tags.iter().copied().unzip();
    for mut numbers in [first, tsns] {
        assert!(!numbers.contains(&0));
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 100);
    }
}

#[test]
fn as_1_5_2_the_tags_of_init_acks_differ() {
    let mut raw = Raw::new(Config::default());
    let tags: std::collections::HashSet<Vec<u8>> =
        (0..100).map(|_| raw.send_init(&[])[0].value[..4].to_vec()).collect();
    assert_eq!(tags.len(), 100);
}

#[test]
fn as_1_6_1_a_cookie_preservative_is_no_obstacle() {
    let mut raw = Raw::new(Config::default());
    raw.dial(&[0, 9, 0, 8, 0, 0, 0, 10]);
    assert!(is_up(&raw));
}

#[test]
fn as_1_6_2_nor_is_one_in_an_init_ack() {
    let mut raw = Raw::new(Config::default());
    let init = raw.connect();
    let parameters = [&[0, 9, 0, 8, 0, 0, 0, 10][..], &cookie_parameter(b"c")].concat();
    assert_eq!(kinds(&raw.answer_init(&init[0], &parameters)), [kind::COOKIE_ECHO]);
}

fn streams_of(out: &Out) -> [u16; 2] {
    [8, 10].map(|at: usize| u16::from_be_bytes(*out.value[at..].first_chunk().unwrap()))
}

#[test]
fn as_1_7_1_not_more_streams_than_the_peer_takes() {
    let mut raw = Raw::new(Config::default());
    // The peer takes 10.
    let out = raw.send_init(&[]);
    assert_eq!(streams_of(&out[0]), [10, 16]);
    raw.echo(&out[0]);
    let Some(Event::Up(up)) = raw.events.first() else { panic!() };
    assert_eq!((up.streams_out, up.streams_in), (10, 16));
}

#[test]
fn as_1_7_2_an_init_that_wants_no_streams_is_refused() {
    for at in [8, 10] {
        let mut raw = Raw::new(Config::default());
        let mut init = raw.init(&[]);
        init[at..at + 2].fill(0);
        let out = raw.with_tag(0, &[(kind::INIT, 0, init)]);
        assert_eq!((out[0].kind, out[0].tag, out[0].cause()), (kind::ABORT, raw.tags[0], Some(7)));
    }
}

#[test]
fn as_1_7_3_messages_go_on_streams_that_the_peer_takes() {
    let mut raw = Raw::accepted(Config::default());
    let id = raw.id.unwrap();
    let mut send = |stream| {
        let octets = b"x".to_vec().into();
        let message = rserpool_sctp::Message { stream, ppid: 0, unordered: false, octets };
        raw.endpoint.send(raw.now, id, message)
    };
    assert_eq!((send(9), send(10)), (Ok(()), Err(SendError::NoStream)));
}

#[test]
fn as_1_7_4_an_init_ack_that_wants_no_streams_ends_it() {
    for at in [8, 10] {
        let mut raw = Raw::new(Config::default());
        raw.connect();
        let mut ack = raw.init(&cookie_parameter(b"c"));
        ack[at..at + 2].fill(0);
        let tag = own_tag(&mut raw);
        let out = raw.with_tag(tag, &[(kind::INIT_ACK, 0, ack)]);
        assert_eq!((out[0].kind, out[0].tag, out[0].cause()), (kind::ABORT, raw.tags[0], Some(7)));
        assert_eq!(raw.down(), Some(DownReason::Violation));
    }
}

/// The tag of an endpoint that dials: it repeats its INIT.
fn own_tag(raw: &mut Raw) -> u32 {
    let init = raw.wait(ms(1001));
    assert_eq!(init[0].kind, kind::INIT);
    u32::from_be_bytes(*init[0].value.first_chunk().unwrap())
}

#[test]
fn as_1_7_5_as_many_streams_as_both_want() {
    let mut raw = Raw::new(Config { streams_out: 10, streams_in: 10, ..Config::default() });
    assert_eq!(streams_of(&raw.send_init(&[])[0]), [10, 10]);
}

/// What comes back of parameters that are not known.
fn unrecognized(kind: u16) -> (usize, bool) {
    let mut raw = Raw::new(Config::default());
    let mut parameters = kind.to_be_bytes().to_vec();
    parameters.extend([0, 8, 1, 2, 3, 4]);
    write_address(&mut parameters, "192.0.2.77".parse().unwrap());
    let out = raw.send_init(&parameters);
    let reported = Parameters::new(&out[0].value[16..])
        .find(|p| p.kind == parameter::UNRECOGNIZED)
        .map_or(0, |p| {
            assert_eq!(p.value, &parameters[..8]);
            p.value.len()
        });
    raw.echo(&out[0]);
    let Some(Event::Up(up)) = raw.events.first() else { panic!() };
    (reported, up.remote.len() == 2)
}

#[test]
fn as_1_8_1_an_unknown_parameter_00_ends_the_reading() {
    assert_eq!(unrecognized(0x0033), (0, false));
}

#[test]
fn as_1_8_2_an_unknown_parameter_01_ends_the_reading_and_is_reported() {
    assert_eq!(unrecognized(0x4033), (8, false));
}

#[test]
fn as_1_8_3_an_unknown_parameter_10_is_passed_over() {
    assert_eq!(unrecognized(0x8033), (0, true));
}

#[test]
fn as_1_8_4_an_unknown_parameter_11_is_passed_over_and_reported() {
    assert_eq!(unrecognized(0xc033), (8, true));
}

#[test]
fn as_1_9_1_an_init_of_the_peer_of_an_association_gets_another_tag_and_changes_nothing() {
    let mut raw = Raw::dialed(Config::default());
    let before = raw.tags;
    raw.tags[0] = 0x2222_2222;
    let out = raw.send_init(&[]);
    assert_eq!((out[0].kind, out[0].tag), (kind::INIT_ACK, 0x2222_2222));
    assert_ne!(out[0].value[..4], before[1].to_be_bytes());
    assert_eq!(raw.send(b"x")[0].tag, before[0]);
}

#[test]
fn as_1_9_2_an_init_with_new_addresses_is_refused_and_changes_nothing() {
    let mut raw = Raw::dialed(Config::default());
    let before = raw.tags;
    raw.tags[0] = 0x2222_2222;
    let mut list = Vec::new();
    write_address(&mut list, "192.0.2.200".parse().unwrap());
    let out = raw.send_init(&list);
    assert_eq!((out[0].kind, out[0].tag, out[0].cause()), (kind::ABORT, 0x2222_2222, Some(11)));
    assert_eq!(out[0].value[4..], list, "it says which");
    assert_eq!((raw.send(b"x")[0].tag, raw.down()), (before[0], None));
}

#[test]
fn as_1_10_1_without_a_list_the_source_is_the_address() {
    let raw = Raw::dialed(Config::default());
    let Some(Event::Up(up)) = raw.events.first() else { panic!() };
    assert_eq!(up.remote, [raw.at.ip()]);
}

#[test]
fn as_1_10_2_the_same_of_an_init_ack() {
    let raw = Raw::accepted(Config::default());
    let Some(Event::Up(up)) = raw.events.first() else { panic!() };
    assert_eq!(up.remote, [raw.at.ip()]);
}

/// Both addresses of a list are used: the second where the first does not answer.
fn second_is_used(we_dial: bool) {
    let mut raw = Raw::new(quick());
    let second: IpAddr = "192.0.2.2".parse().unwrap();
    let mut list = Vec::new();
    write_address(&mut list, second);
    if we_dial {
        let init = raw.connect();
        list.extend(cookie_parameter(b"c"));
        raw.answer_init(&init[0], &list);
        raw.packet(&[(kind::COOKIE_ACK, 0, vec![])]);
    } else {
        raw.dial(&list);
    }
    let out = raw.wait(ms(1));
    let heartbeat = out.iter().find(|out| out.to.ip() == second).unwrap();
    assert_eq!(heartbeat.kind, kind::HEARTBEAT);
    raw.packet(&[(kind::HEARTBEAT_ACK, 0, heartbeat.value.clone())]);
    let out = raw.send(&[7; 1000]);
    assert_eq!((out[0].kind, out[0].to), (kind::DATA, raw.at));
    let again = raw.wait(ms(260));
    let again = again.iter().find(|out| out.kind == kind::DATA).unwrap();
    assert_eq!(again.to.ip(), second);
}

#[test]
fn as_1_11_1_the_addresses_of_an_init_are_used() {
    second_is_used(false);
}

#[test]
fn as_1_11_2_the_addresses_of_an_init_ack_are_used() {
    second_is_used(true);
}

/// RFC 9260 §5.1.2: names are not taken any more.
#[test]
fn as_1_12_1_a_name_in_an_init_is_refused() {
    let mut raw = Raw::new(Config::default());
    let out = raw.send_init(&[0, 11, 0, 8, b'a', b'.', b'b', 0]);
    assert_eq!((out[0].kind, out[0].tag, out[0].cause()), (kind::ABORT, raw.tags[0], Some(5)));
}

#[test]
fn as_1_12_2_a_name_in_an_init_ack_ends_it() {
    let mut raw = Raw::new(Config::default());
    let init = raw.connect();
    let parameters = [&[0, 11, 0, 8, b'a', b'.', b'b', 0][..], &cookie_parameter(b"c")].concat();
    let out = raw.answer_init(&init[0], &parameters);
    assert_eq!((out[0].kind, out[0].cause()), (kind::ABORT, Some(5)));
    assert_eq!(raw.down(), Some(DownReason::Violation));
}

#[test]
fn as_1_13_1_supported_address_types_are_no_obstacle() {
    let mut raw = Raw::new(Config::default());
    raw.dial(&[0, 12, 0, 8, 0, 5, 0, 6]);
    assert!(is_up(&raw));
}

#[test]
fn as_1_14_1_an_init_with_tag_0_is_ignored() {
    let mut raw = Raw::new(Config::default());
    raw.tags[0] = 0;
    assert!(raw.send_init(&[]).is_empty());
    raw.tags[0] = 5;
    raw.dial(&[]);
}

#[test]
fn as_1_14_2_an_init_ack_with_tag_0_ends_it() {
    let mut raw = Raw::new(Config::default());
    let init = raw.connect();
    raw.tags[0] = 0;
    assert!(raw.answer_init(&init[0], &cookie_parameter(b"c")).is_empty());
    assert_eq!(raw.down(), Some(DownReason::Violation));
    assert_eq!(PORTS[1], 7);
}

#[test]
fn as_1_15_inits_go_to_all_addresses_in_turn() {
    let mut network = Network::new(1, 3, [quick(), quick()]);
    network.cut.extend([ip(1, 0), ip(1, 1), ip(1, 2)]);
    network.records = true;
    network.connect();
    network.run(ms(1000));
    let to: Vec<IpAddr> = network.record.iter().map(|(_, _, way, _)| way.remote.ip()).collect();
    assert_eq!(to[..3], [ip(1, 0), ip(1, 1), ip(1, 2)]);
}
