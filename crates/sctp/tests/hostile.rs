//! Peers and strangers that mean no good: nothing grows beyond its bounds, nobody else is hurt.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod raw;

use std::net::{IpAddr, SocketAddr};

use raw::{PORTS, Raw, cookie_of, encode, ms, sack_value};
use rserpool_sctp::chunk::{BEGINS, ENDS, IMMEDIATE, Init, UNORDERED, kind};
use rserpool_sctp::packet::Header;
use rserpool_sctp::parameter::write_address;
use rserpool_sctp::{Command, Config, DownReason, Event, crc};

const WHOLE: u8 = BEGINS | ENDS;

/// 200 000 INITs from as many addresses, with address lists: each is answered, and nothing is kept.
#[test]
fn a_flood_of_inits_leaves_no_state() {
    let mut raw = Raw::new(Config::default());
    let mut parameters = Vec::new();
    for last in 1..=16 {
        write_address(&mut parameters, IpAddr::from([198, 51, 100, last]));
    }
    let init = Init {
        tag: 7,
        window: 100_000,
        streams_out: 10,
        streams_in: 10,
        tsn: 1,
        parameters: &parameters,
    };
    let mut octets = Vec::new();
    Header { source: PORTS[0], destination: PORTS[1], tag: 0 }.write(&mut octets);
    init.write(&mut octets, kind::INIT);
    crc::seal(&mut octets);
    for number in 0..200_000_u32 {
        let remote = SocketAddr::new(IpAddr::from((0x0b00_0000 + number).to_be_bytes()), 9899);
        let out = raw.octets_from(remote, &octets);
        assert_eq!((out.len(), out[0].kind, out[0].to), (1, kind::INIT_ACK, remote));
        let answer = 12 + 4 + out[0].value.len();
        assert!(answer <= 4 * octets.len(), "{answer} for {}", octets.len());
    }
    assert!(raw.endpoint.is_empty() && raw.endpoint.next_timeout().is_none());
    assert!(raw.events.is_empty());
    // A bare one, of 32 octets.
    assert_eq!(12 + 4 + raw.send_init(&[])[0].value.len(), 132);
}

/// A cookie brings up one association, from where it was sent to, and for a minute.
#[test]
fn cookies_are_good_once_for_one_peer_and_for_a_minute() {
    let mut raw = Raw::new(Config::default());
    let ack = raw.send_init(&[])[0].clone();
    let tag = u32::from_be_bytes(*ack.value.first_chunk().unwrap());
    let echo = encode(tag, &[(kind::COOKIE_ECHO, 0, cookie_of(&ack))]);
    // From somebody else, with another tag, from another port.
    assert!(raw.octets_from("192.0.2.7:9899".parse().unwrap(), &echo).is_empty());
    let other_tag = encode(tag ^ 1, &[(kind::COOKIE_ECHO, 0, cookie_of(&ack))]);
    assert!(raw.octets(&other_tag).is_empty());
    let mut other_port = echo.clone();
    other_port[1] ^= 1;
    crc::seal(&mut other_port);
    assert!(raw.octets(&other_port).is_empty());
    assert_eq!(raw.endpoint.len(), 0);

    assert_eq!(raw.octets(&echo)[0].kind, kind::COOKIE_ACK);
    // Its answer was lost: it is answered again, and there is one association.
    assert_eq!(raw.octets(&echo)[0].kind, kind::COOKIE_ACK);
    assert_eq!(raw.endpoint.len(), 1);
    assert_eq!(raw.events.len(), 1);
    // After its end it is not taken again.
    raw.command(Command::Abort);
    assert!(raw.octets(&echo).is_empty());
    assert_eq!(raw.endpoint.len(), 0);

    let ack = raw.send_init(&[])[0].clone();
    let tag = u32::from_be_bytes(*ack.value.first_chunk().unwrap());
    raw.wait(ms(60_001));
    let out = raw.with_tag(tag, &[(kind::COOKIE_ECHO, 0, cookie_of(&ack))]);
    assert_eq!((out[0].kind, out[0].cause()), (kind::ERROR, Some(3)), "stale");
    assert_eq!(raw.endpoint.statistics().cookies_refused, 5);
}

#[test]
fn no_octet_of_a_cookie_can_be_changed() {
    let mut raw = Raw::new(Config::default());
    let ack = raw.send_init(&[])[0].clone();
    let tag = u32::from_be_bytes(*ack.value.first_chunk().unwrap());
    let cookie = cookie_of(&ack);
    for at in 0..cookie.len() {
        let mut forged = cookie.clone();
        forged[at] ^= 1;
        assert!(raw.with_tag(tag, &[(kind::COOKIE_ECHO, 0, forged)]).is_empty(), "octet {at}");
    }
    assert!(raw.endpoint.is_empty());
}

/// An INIT that names addresses of others: they get a HEARTBEAT each now and then, and no DATA, even
/// where the peer falls silent.
#[test]
fn addresses_of_others_in_an_init_get_heartbeats_only() {
    let mut raw = Raw::new(Config::default());
    let mut parameters = Vec::new();
    for last in 1..=16 {
        write_address(&mut parameters, IpAddr::from([198, 51, 100, last]));
    }
    raw.dial(&parameters);
    raw.send(&[0; 100_000]);
    let out = raw.wait(ms(600_000));
    let (own, others): (Vec<_>, Vec<_>) = out.iter().partition(|out| out.to == raw.at);
    assert!(!own.is_empty());
    assert!(others.iter().all(|out| out.kind == kind::HEARTBEAT), "{others:?}");
    assert!(others.len() < 200, "{}", others.len());
    assert_eq!(raw.down(), Some(DownReason::Timeout));
}

/// Fragments of one octet in descending order: bounded, and quick enough to be taken by the million.
#[test]
fn fragments_in_descending_order_are_bounded() {
    let mut raw = Raw::dialed(Config::default());
    // Not the first, so that nothing can be delivered; each has neither beginning nor end.
    for tsn in (1..20_000_u32).rev().step_by(50) {
        let parts: Vec<_> = (0..50).map(|n| (tsn + 50 - n, 0, 0, 0, b"x".as_slice())).collect();
        raw.data(&parts);
    }
    let id = raw.id.unwrap();
    assert!(raw.endpoint.held(id) <= 4096 * 65, "{}", raw.endpoint.held(id));
    assert!(raw.endpoint.statistics().data_far_ahead > 10_000);
    assert_eq!(raw.down(), None);
    // A minute later it is over.
    raw.wait(ms(61_000));
    assert_eq!(raw.down(), Some(DownReason::TooOld));
}

/// Every second TSN: as many gaps as can be.
#[test]
fn gaps_are_bounded_and_reported_in_what_fits_a_packet() {
    let mut raw = Raw::dialed(Config::default());
    let mut sacks = Vec::new();
    for tsn in 1..6000_u32 {
        sacks.extend(raw.data(&[(2 * tsn, 0, 0, WHOLE | UNORDERED, b"x")]));
    }
    assert!(sacks.iter().all(|sack| sack.value.len() < 1472));
    assert_eq!(raw.messages().len(), 2047, "ahead of the gap by 4096 TSNs at most");
    // What fills the gap is taken.
    raw.data(&[(0, 0, 0, WHOLE, b"first")]);
    assert_eq!(raw.messages().len(), 2048);
}

/// Memory is full of fragments behind a gap: what fills it goes through all the same.
#[test]
fn what_fills_the_gap_is_never_dropped() {
    let mut raw = Raw::dialed(Config { message_max: 40_000, ..Config::default() });
    let payload = [7; 1400];
    raw.data(&[(0, 0, 0, BEGINS, &payload)]);
    // The second fragment is missing; behind it are messages that wait for the first one.
    let mut tsn = 3;
    while raw.endpoint.statistics().data_dropped < 20 {
        raw.data(&[(tsn, 0, u16::try_from(tsn - 2).unwrap(), WHOLE, &payload)]);
        tsn += 1;
        assert!(tsn < 4000);
    }
    assert!(raw.messages().is_empty());
    raw.data(&[(1, 0, 0, 0, &payload)]);
    raw.data(&[(2, 0, 0, ENDS, &payload)]);
    assert!(raw.messages().len() > 100, "{}", raw.messages().len());
    assert_eq!(raw.down(), None);
}

#[test]
fn a_room_that_its_endpoint_sets_bounds_what_is_held() {
    let mut raw = Raw::dialed(Config::default());
    let id = raw.id.unwrap();
    raw.endpoint.set_room(id, 10_000);
    for tsn in 1..100 {
        raw.data(&[(tsn, 0, u16::try_from(tsn).unwrap(), WHOLE, &[7; 1000])]);
    }
    assert!(raw.endpoint.held(id) <= 10_000);
    raw.data(&[(0, 0, 0, WHOLE, &[7; 1000])]);
    assert_eq!(raw.messages().len(), 10);
}

/// A message that never ends, longer than any may be, or older.
#[test]
fn a_message_without_an_end_ends_the_association() {
    let mut raw = Raw::dialed(Config { message_max: 40_000, ..Config::default() });
    raw.data(&[(0, 0, 0, BEGINS, &[7; 1000])]);
    for tsn in 1..39 {
        raw.data(&[(tsn, 0, 0, 0, &[7; 1000])]);
    }
    assert_eq!(raw.down(), None);
    raw.data(&[(39, 0, 0, 0, &[7; 1000])]);
    let out = raw.data(&[(40, 0, 0, 0, &[7; 1000])]);
    assert_eq!((out[0].kind, out[0].cause()), (kind::ABORT, Some(13)));
    assert_eq!(raw.down(), Some(DownReason::Violation));

    let mut raw = Raw::dialed(Config::default());
    for tsn in 0..7000 {
        raw.data(&[(tsn, 0, 0, if tsn == 0 { BEGINS } else { 0 }, b"x")]);
        if raw.down().is_some() {
            assert_eq!(tsn, 4096);
            return;
        }
    }
    panic!("fragments without end");
}

/// Numbers of messages that are left out or used twice.
#[test]
fn messages_out_of_order_in_their_stream_end_the_association() {
    for numbers in [[1_u16, 2], [0, 0], [0, 2]] {
        let mut raw = Raw::dialed(Config::default());
        for (tsn, number) in numbers.into_iter().enumerate() {
            raw.data(&[(u32::try_from(tsn).unwrap(), 0, number, WHOLE, b"x")]);
        }
        assert_eq!(raw.down(), Some(DownReason::Violation), "{numbers:?}");
    }
}

/// Who acknowledges what was never sent has not received it.
#[test]
fn optimistic_sacks_end_the_association() {
    for (upto, gaps) in [(5_u32, &[][..]), (0, &[(2, 9)])] {
        let mut raw = Raw::dialed(Config::default());
        raw.send(b"x");
        let out = raw.sack(upto, 100_000, gaps);
        assert_eq!((out[0].kind, out[0].cause()), (kind::ABORT, Some(13)));
        assert_eq!(raw.down(), Some(DownReason::Violation));
    }
}

/// Gap blocks that overlap, run backwards, or come in thousands: the SACK is ignored.
#[test]
fn senseless_sacks_are_ignored() {
    let mut raw = Raw::dialed(Config::default());
    raw.send(&[0; 4000]);
    for gaps in [&[(2, 2), (2, 2)][..], &[(2, 1)], &[(1, 1)], &[(2, 2), (3, 3)], &[(0, 0)]] {
        let out = raw.sack(u32::MAX, 100_000, gaps);
        assert!(out.is_empty(), "{out:?}");
    }
    let many = vec![(2_u16, 3_u16); 300];
    raw.sack(u32::MAX, 100_000, &many);
    assert_eq!(raw.endpoint.statistics().ignored, 6);
    // An old one.
    raw.sack(0, 100_000, &[]);
    raw.sack(u32::MAX, 100_000, &[]);
    assert_eq!(raw.endpoint.statistics().ignored, 7);
    assert_eq!(raw.down(), None);
}

/// Very many HEARTBEATs in a packet are answered by a few packets.
#[test]
fn answers_are_bounded() {
    let mut raw = Raw::dialed(Config::default());
    let heartbeat = (kind::HEARTBEAT, 0, vec![0, 1, 0, 8, 1, 2, 3, 4]);
    let out = raw.packet(&vec![heartbeat; 100]);
    assert_eq!(out.len(), 16);
    let unknown = (0xff, 0, vec![0; 20]);
    let out = raw.packet(&vec![unknown; 60]);
    assert!(out.iter().all(|out| out.kind == kind::ERROR) && out.len() <= 16);
}

/// Whatever has not the right tag touches no association.
#[test]
fn packets_with_a_wrong_tag_change_nothing() {
    let mut raw = Raw::dialed(Config::default());
    let wrong = raw.tags[1] ^ 1;
    for flags in [0, 1] {
        assert!(raw.with_tag(wrong, &[(kind::ABORT, flags, vec![])]).is_empty());
        assert!(raw.with_tag(wrong, &[(kind::SHUTDOWN_COMPLETE, flags, vec![])]).is_empty());
    }
    // The own tag may be reflected only where the T bit says so, and the other way round.
    assert!(raw.with_tag(raw.tags[1], &[(kind::ABORT, 1, vec![])]).is_empty());
    assert!(raw.with_tag(raw.tags[0], &[(kind::ABORT, 0, vec![])]).is_empty());
    for kind in [kind::SHUTDOWN, kind::DATA, kind::SACK, kind::COOKIE_ACK, kind::SHUTDOWN_ACK] {
        raw.with_tag(wrong, &[(kind, 0, sack_value(0, 0, &[]))]);
    }
    assert_eq!((raw.down(), raw.endpoint.len()), (None, 1));
    raw.with_tag(raw.tags[0], &[(kind::ABORT, 1, vec![])]);
    assert_eq!(raw.down(), Some(DownReason::Aborted(None)));
}

/// ICMP errors count where they quote the tag; those of somebody else do not.
#[test]
fn errors_of_the_network_have_to_quote_the_tag() {
    use rserpool_sctp::Input;
    let mut raw = Raw::dialed(Config::default());
    let mut quote = Vec::new();
    let tag = raw.tags[0];
    Header { source: PORTS[1], destination: PORTS[0], tag: tag ^ 1 }.write(&mut quote);
    let remote = raw.at;
    raw.endpoint.handle(raw.now, Input::Unreachable { remote, quote: &quote });
    raw.endpoint.handle(raw.now, Input::Unreachable { remote, quote: &quote[..7] });
    raw.drain();
    assert_eq!(raw.down(), None);
    quote[4..8].copy_from_slice(&tag.to_be_bytes());
    raw.endpoint.handle(raw.now, Input::Unreachable { remote, quote: &quote });
    raw.drain();
    assert_eq!(raw.down(), Some(DownReason::Unreachable));
}

/// A peer whose window is 0 is asked again and again, and not blamed as long as it answers.
#[test]
fn a_window_of_0_is_probed_and_not_blamed() {
    let mut raw = Raw::dialed(Config::default());
    raw.packet(&[(kind::SACK, 0, sack_value(raw.tsns[1].wrapping_sub(1), 0, &[]))]);
    let mut probes = 0;
    let out = raw.send(&[7; 3000]);
    probes += out.iter().filter(|out| out.kind == kind::DATA).count();
    assert_eq!(probes, 1, "one packet to find out");
    for _ in 0..40 {
        let out = raw.wait(ms(61_000));
        let data = out.iter().filter(|out| out.kind == kind::DATA).count();
        probes += data;
        for heartbeat in out.iter().filter(|out| out.kind == kind::HEARTBEAT) {
            raw.packet(&[(kind::HEARTBEAT_ACK, 0, heartbeat.value.clone())]);
        }
        // The probe does not fit; the SACK says so.
        raw.packet(&[(kind::SACK, 0, sack_value(raw.tsns[1].wrapping_sub(1), 0, &[]))]);
    }
    assert!((20..80).contains(&probes), "{probes}");
    assert_eq!(raw.down(), None);
    // It opens: what was dropped is sent again at once, not after a timeout.
    let out = raw.packet(&[(kind::SACK, 0, sack_value(raw.tsns[1].wrapping_sub(1), 9000, &[]))]);
    assert!(out.iter().any(|out| out.kind == kind::DATA), "{out:?}");
}

/// A user that takes nothing closes the window; nothing is lost, and nothing goes beyond it by much.
#[test]
fn a_user_that_pauses_closes_the_window() {
    let config = Config { message_max: 4000, receive_window: 20_000, ..Config::default() };
    let mut raw = Raw::dialed(config);
    raw.command(Command::Pause);
    let mut window = u32::MAX;
    let mut taken = 0;
    for tsn in 0..60 {
        let number = u16::try_from(tsn).unwrap();
        for out in raw.data(&[(tsn, 0, number, WHOLE | IMMEDIATE, &[7; 1000])]) {
            let word = |at: usize| u32::from_be_bytes(*out.value[at..].first_chunk().unwrap());
            window = word(4);
            taken = word(0).wrapping_sub(raw.tsns[0]) + 1;
        }
    }
    assert_eq!((window, taken), (0, 19));
    assert!(raw.messages().is_empty());
    let out = raw.command(Command::Resume);
    assert_eq!(raw.messages().len(), 19);
    assert_eq!(out[0].kind, kind::SACK, "the window opens");
    assert!(raw.events.iter().all(|event| !matches!(event, Event::Down(_))));
}

/// The same with messages of one octet, which take more memory than they have octets.
#[test]
fn small_messages_that_nobody_takes_are_bounded() {
    let config = Config { message_max: 4000, receive_window: 20_000, ..Config::default() };
    let mut raw = Raw::dialed(config);
    raw.command(Command::Pause);
    for tsn in 0..2000 {
        raw.data(&[(tsn, 0, u16::try_from(tsn).unwrap(), WHOLE, b"x")]);
    }
    raw.command(Command::Resume);
    assert_eq!(raw.messages().len(), 20_000_usize.div_ceil(65));
}

/// An association that has just ended is none: its peer's INIT begins another one.
#[test]
fn an_init_right_after_the_end_begins_another_association() {
    use rserpool_sctp::Input;
    let mut raw = Raw::dialed(Config::default());
    let id = raw.id.unwrap();
    let init = encode(0, &[(kind::INIT, 0, raw.init(&[]))]);
    raw.endpoint.handle(raw.now, Input::Command(id, Command::Abort));
    // Nothing has been asked for in between.
    let out = raw.octets(&init);
    let kinds: Vec<u8> = out.iter().map(|out| out.kind).collect();
    assert_eq!(kinds, [kind::INIT_ACK, kind::ABORT]);
    let out = raw.echo(&out[0]);
    assert_eq!(out[0].kind, kind::COOKIE_ACK);
    assert_eq!(raw.endpoint.len(), 1);
}

/// Clocks that jump ahead: all timers are late, once.
#[test]
fn a_clock_that_jumps_does_not_end_an_association() {
    let mut raw = Raw::dialed(Config::default());
    raw.send(b"x");
    raw.now += ms(3_600_000);
    raw.endpoint.handle(raw.now, rserpool_sctp::Input::Timeout);
    let out = raw.drain();
    assert!(out.iter().any(|out| out.kind == kind::DATA));
    raw.sack(0, 100_000, &[]);
    assert_eq!(raw.down(), None);
    // Backwards: nothing happens twice.
    raw.now = ms(0);
    raw.send(b"y");
    assert_eq!(raw.down(), None);
}

/// RFC 6951 §5.4: an address translator gives the peer another port.
#[test]
fn a_port_of_the_encapsulation_that_changes_is_followed() {
    let mut raw = Raw::dialed(Config::default());
    raw.at.set_port(40_000);
    raw.packet(&[(kind::HEARTBEAT, 0, vec![0, 1, 0, 8, 1, 2, 3, 4])]);
    let out = raw.send(b"x");
    assert_eq!(out.last().unwrap().to, raw.at);
    // Nobody else can turn it: the tag is wrong.
    let wrong = raw.tags[1] ^ 1;
    let at = raw.at;
    raw.at.set_port(666);
    raw.with_tag(wrong, &[(kind::HEARTBEAT, 0, vec![0, 1, 0, 8, 1, 2, 3, 4])]);
    assert!(raw.send(b"y").iter().all(|out| out.to == at));
}
