//! Data: 8/1 to 8/12; acknowledgements: 9/1 to 9/3; the retransmission timer: 11/1 to 11/3.

use rserpool_sctp::chunk::{BEGINS, ENDS, kind};
use rserpool_sctp::{Config, DownReason};

use crate::network::{Network, ip, payload, quick};
use crate::raw::{Out, Raw, ms};

const WHOLE: u8 = BEGINS | ENDS;

fn kinds(out: &[Out]) -> Vec<u8> {
    out.iter().map(|out| out.kind).collect()
}

fn of_data(out: &[Out]) -> Vec<(u8, usize)> {
    let data = out.iter().filter(|out| out.kind == kind::DATA);
    data.map(|out| (out.flags & 7, out.value.len() - 12)).collect()
}

fn word(out: &Out, at: usize) -> u32 {
    u32::from_be_bytes(*out.value[at..].first_chunk().unwrap())
}

#[test]
fn d_8_1_a_message_that_fits_is_one_chunk() {
    let mut raw = Raw::accepted(Config::default());
    assert_eq!(of_data(&raw.send(&[7; 1444])), [(WHOLE, 1444)]);
}

#[test]
fn d_8_2_a_message_that_does_not_fit_is_cut() {
    let mut raw = Raw::accepted(Config::default());
    let out = raw.send(&[7; 3000]);
    assert_eq!(of_data(&out), [(BEGINS, 1444), (0, 1444), (ENDS, 112)]);
    let tsns: Vec<u32> = out.iter().map(|out| word(out, 0)).collect();
    assert_eq!(tsns, [0, 1, 2].map(|n| raw.tsns[1].wrapping_add(n)));
    assert!(out.iter().all(|chunk| chunk.value[4..12] == out[0].value[4..12]), "one message");
}

#[test]
fn d_8_3_fragments_become_a_message() {
    let mut raw = Raw::accepted(Config::default());
    raw.data(&[(0, 1, 0, BEGINS, b"one "), (1, 1, 0, 0, b"two ")]);
    assert!(raw.messages().is_empty());
    raw.data(&[(2, 1, 0, ENDS, b"three")]);
    assert_eq!(raw.messages(), [b"one two three"]);
}

#[test]
fn d_8_4_the_timer_follows_the_round_trips() {
    let mut raw = Raw::accepted(Config { rto_min: ms(10), ..Config::default() });
    for number in 0..20 {
        raw.send(b"x");
        raw.wait(ms(50));
        raw.sack(number, 100_000, &[]);
    }
    raw.send(b"x");
    assert!(of_data(&raw.wait(ms(50))).is_empty());
    assert_eq!(of_data(&raw.wait(ms(30))).len(), 1, "50 ms and four times what varies");
}

#[test]
fn d_8_5_what_is_not_acknowledged_is_sent_again() {
    let mut raw = Raw::accepted(Config::default());
    let first = raw.send(b"x");
    assert!(of_data(&raw.wait(ms(999))).is_empty());
    let again = raw.wait(ms(2));
    let again = again.iter().find(|out| out.kind == kind::DATA).unwrap();
    assert_eq!(again.value, first[0].value);
}

#[test]
fn d_8_6_what_arrives_twice_is_reported_and_delivered_once() {
    let mut raw = Raw::accepted(Config::default());
    raw.data(&[(0, 0, 0, WHOLE, b"x")]);
    let out = raw.data(&[(0, 0, 0, WHOLE, b"x")]);
    assert_eq!(kinds(&out), [kind::SACK]);
    assert_eq!((word(&out[0], 8), word(&out[0], 12)), (1, raw.tsns[0]));
    assert_eq!(raw.messages().len(), 1);
    // And not in the next one again.
    let out = raw.data(&[(1, 0, 1, WHOLE, b"y")]);
    let out = if out.is_empty() { raw.wait(ms(201)) } else { out };
    assert_eq!(word(&out[0], 8), 0);
}

#[test]
fn d_8_7_what_is_sent_again_leaves_before_what_is_new() {
    let mut raw = Raw::accepted(Config::default());
    raw.send(&[7; 1400]);
    let (out, second) = (raw.wait(ms(1001)), raw.send(&[8; 1400]));
    let first = out.iter().chain(&second).find(|out| out.kind == kind::DATA).unwrap();
    assert_eq!(word(first, 0), raw.tsns[1]);
    let out = raw.sack(0, 100_000, &[]);
    let all: Vec<_> = second.iter().chain(&out).filter(|o| o.kind == kind::DATA).collect();
    assert_eq!(word(all[0], 0), raw.tsns[1].wrapping_add(1));
}

#[test]
fn d_8_8_not_more_than_the_window_allows_is_on_its_way() {
    let mut raw = Raw::accepted(Config::default());
    raw.sack(u32::MAX, 1500, &[]);
    assert_eq!(of_data(&raw.send(&[7; 4000])).len(), 1);
    // 0: one packet to find out, when nothing else is on its way.
    let out = raw.sack(0, 0, &[]);
    assert_eq!(of_data(&out).len(), 1);
    assert!(of_data(&raw.sack(0, 0, &[])).is_empty());
    assert_eq!(of_data(&raw.wait(ms(1001))).len(), 1);
    assert_eq!(of_data(&raw.sack(1, 100_000, &[])).len(), 1);
}

/// RFC 9260 §7.2.4: after three that came later, the missing one leaves at once.
#[test]
fn d_8_9_three_that_came_later_show_a_loss() {
    let mut raw = Raw::accepted(Config::default());
    for number in 0..5 {
        raw.send(&[number; 1400]);
    }
    let first = raw.tsns[1];
    let repeats = |out: &[Out]| out.iter().any(|out| word(out, 0) == first);
    for last in [2, 3] {
        assert!(!repeats(&raw.sack(u32::MAX, 100_000, &[(2, last)])), "{last}");
    }
    assert!(repeats(&raw.sack(u32::MAX, 100_000, &[(2, 4)])));
    assert_eq!(raw.endpoint.statistics().timeouts, 0);
}

#[test]
fn d_8_10_new_data_goes_to_the_primary_address() {
    let mut network = Network::up(1, 2, [quick(), quick()]);
    network.records = true;
    for number in 0..10 {
        network.send(0, 0, &payload(number, 100));
        network.run(ms(10));
    }
    let sent = network.record.iter().filter(|(_, end, _, o)| *end == 0 && o[12] == kind::DATA);
    assert!(sent.clone().count() > 0);
    assert!(sent.clone().all(|(_, _, way, _)| way.remote.ip() == ip(1, 0)));
}

#[test]
fn d_8_11_data_without_data_ends_it() {
    let mut raw = Raw::accepted(Config::default());
    let out = raw.data(&[(0, 0, 0, WHOLE, b"")]);
    assert_eq!((kinds(&out), out[0].cause()), (vec![kind::ABORT], Some(9)));
    assert_eq!(word(&out[0], 4), raw.tsns[0]);
    assert_eq!(raw.down(), Some(DownReason::Violation));
}

#[test]
fn d_8_12_an_old_sack_is_ignored() {
    let mut raw = Raw::accepted(Config::default());
    raw.send(b"x");
    raw.sack(0, 100_000, &[]);
    raw.send(b"y");
    raw.sack(u32::MAX, 0, &[(2, 2)]);
    assert_eq!(of_data(&raw.send(b"z")).len(), 1, "the window is the new one");
    assert_eq!(of_data(&raw.wait(ms(1001))).len(), 2, "and nothing has arrived by the old one");
}

#[test]
fn a_9_1_one_packet_is_acknowledged_within_200_ms() {
    let mut raw = Raw::accepted(Config::default());
    assert!(raw.data(&[(0, 0, 0, WHOLE, b"x")]).is_empty());
    assert!(raw.wait(ms(199)).is_empty());
    let out = raw.wait(ms(2));
    assert_eq!((kinds(&out), word(&out[0], 0)), (vec![kind::SACK], raw.tsns[0]));
}

#[test]
fn a_9_2_every_second_packet_is_acknowledged_at_once() {
    let mut raw = Raw::accepted(Config::default());
    for tsn in 0..10 {
        let out = raw.data(&[(tsn, 0, u16::try_from(tsn).unwrap(), WHOLE, b"x")]);
        assert_eq!(out.len(), usize::from(tsn % 2 == 1));
    }
}

#[test]
fn a_9_3_a_gap_is_reported_at_once() {
    let mut raw = Raw::accepted(Config::default());
    raw.data(&[(0, 0, 0, WHOLE, b"x")]);
    let out = raw.data(&[(2, 0, 2, WHOLE, b"z")]);
    assert_eq!((word(&out[0], 0), word(&out[0], 8)), (raw.tsns[0], 0x0001_0000));
    assert_eq!(word(&out[0], 12), 0x0002_0002);
    assert_eq!(raw.messages().len(), 1);
    raw.data(&[(1, 0, 1, WHOLE, b"y")]);
    assert_eq!(raw.messages(), [b"x", b"y", b"z"]);
}

/// A SACK that could wait, and a repetition that fills a packet: both leave.
#[test]
fn a_sack_that_leaves_no_room_for_data_goes_alone() {
    let mut raw = Raw::accepted(Config::default());
    raw.send(&[7; 1444]);
    raw.wait(ms(900));
    assert!(raw.data(&[(0, 0, 0, WHOLE, b"x")]).is_empty());
    let out = raw.wait(ms(100));
    let (sacks, data): (Vec<_>, Vec<_>) =
        out.iter().filter(|o| o.kind != kind::HEARTBEAT).partition(|o| o.kind == kind::SACK);
    assert_eq!((sacks.len(), of_data(&out)), (1, vec![(WHOLE, 1444)]), "{data:?}");
    assert_eq!(word(sacks[0], 0), raw.tsns[0]);
}

/// RFC 7053: where the sender asks for it.
#[test]
fn a_sack_is_sent_at_once_where_it_is_asked_for() {
    let mut raw = Raw::accepted(Config::default());
    let flags = WHOLE | rserpool_sctp::chunk::IMMEDIATE;
    assert_eq!(kinds(&raw.data(&[(0, 0, 0, flags, b"x")])), [kind::SACK]);
}

#[test]
fn rt_11_1_and_2_the_timer_doubles_up_to_its_maximum() {
    let config = Config {
        rto_max: ms(4000),
        heartbeat_interval: ms(3_600_000),
        association_retransmits_max: 100,
        path_retransmits_max: 0,
        ..Config::default()
    };
    let mut raw = Raw::accepted(config);
    raw.send(b"x");
    for wait in [1000, 2000, 4000, 4000, 4000] {
        let early: Vec<Out> = raw.wait(ms(wait - 1));
        assert!(of_data(&early).is_empty(), "{wait}");
        assert_eq!(of_data(&raw.wait(ms(1))).len(), 1, "{wait}");
    }
}

#[test]
fn rt_11_3_each_path_has_its_own_timer() {
    let mut network = Network::up(2, 2, [quick(), quick()]);
    network.records = true;
    network.cut(0, true);
    network.cut(1, true);
    network.send(0, 0, b"x");
    network.run(ms(1700));
    let sent = network.record.iter().filter(|(_, end, _, o)| *end == 0 && o[12] == kind::DATA);
    let times: Vec<(u64, u8)> = sent
        .map(|(at, _, way, _)| {
            let network = if way.remote.ip() == ip(1, 0) { 0 } else { 1 };
            (u64::try_from(at.as_millis()).unwrap(), network)
        })
        .collect();
    let begin = times[0].0;
    let relative: Vec<(u64, u8)> =
        times.iter().map(|(at, network)| (at - begin, *network)).collect();
    // 100 ms on the first, 100 ms on the second, then 200 ms on each.
    assert_eq!(relative[..3], [(0, 0), (100, 1), (200, 0)]);
}
