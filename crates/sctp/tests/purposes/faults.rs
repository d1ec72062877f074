//! Faults: 5/1/1 to 5/3/4; errors: 6/1 to 6/6; unknown chunks: 10/1 to 10/4; what may stand in one
//! packet: 7/1 to 7/8.

use rserpool_sctp::chunk::{BEGINS, Data, ENDS, kind};
use rserpool_sctp::parameter::Parameters;
use rserpool_sctp::{Command, Config, DownReason, Event, PathChange};

use crate::network::quick;
use crate::raw::{Out, Raw, cookie_of, cookie_parameter, ms, sack_value};

const WHOLE: u8 = BEGINS | ENDS;

fn kinds(out: &[Out]) -> Vec<u8> {
    out.iter().map(|out| out.kind).collect()
}

/// The value of a DATA chunk.
fn data(raw: &Raw, tsn: u32, stream: u16) -> (u8, u8, Vec<u8>) {
    let tsn = raw.tsns[0].wrapping_add(tsn);
    let data = Data { flags: WHOLE, tsn, stream, number: 0, ppid: 0, payload: b"payload!" };
    let mut octets = Vec::new();
    data.write(&mut octets);
    (kind::DATA, WHOLE, octets[4..].to_vec())
}

#[test]
fn fh_5_1_1_a_peer_that_acknowledges_nothing_is_given_up() {
    let mut raw = Raw::accepted(Config { association_retransmits_max: 4, ..quick() });
    raw.send(b"x");
    let out = raw.wait(ms(60_000));
    assert_eq!(out.iter().filter(|out| out.kind == kind::DATA).count(), 4);
    assert_eq!(raw.down(), Some(DownReason::Timeout));
    let peer = raw.at.ip();
    assert!(raw.events.contains(&Event::Path(peer, PathChange::PotentiallyFailed)));
}

#[test]
fn fh_5_1_2_a_peer_that_answers_no_heartbeats_is_given_up() {
    let config = Config { association_retransmits_max: 4, path_retransmits_max: 3, ..quick() };
    let mut raw = Raw::accepted(config);
    let out = raw.wait(ms(60_000));
    assert_eq!(out.iter().filter(|out| out.kind == kind::HEARTBEAT).count(), 5);
    assert_eq!(raw.down(), Some(DownReason::Timeout));
    let peer = raw.at.ip();
    assert!(raw.events.contains(&Event::Path(peer, PathChange::Unreachable)));
}

#[test]
fn fh_5_2_a_heartbeat_is_answered_with_what_it_says() {
    let mut raw = Raw::accepted(Config::default());
    let info = vec![0, 1, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8];
    let out = raw.packet(&[(kind::HEARTBEAT, 0, info.clone())]);
    assert_eq!((kinds(&out), &out[0].value), (vec![kind::HEARTBEAT_ACK], &info));
}

#[test]
fn fh_5_3_1_a_shutdown_ack_out_of_the_blue() {
    let mut raw = Raw::new(Config::default());
    let out = raw.with_tag(5, &[(kind::SHUTDOWN_ACK, 0, vec![])]);
    assert_eq!((kinds(&out), out[0].flags, out[0].tag), (vec![kind::SHUTDOWN_COMPLETE], 1, 5));
}

#[test]
fn fh_5_3_2_and_4_aborts_and_ends_out_of_the_blue_are_not_answered() {
    let mut raw = Raw::new(Config::default());
    assert!(raw.with_tag(5, &[(kind::ABORT, 0, vec![])]).is_empty());
    assert!(raw.with_tag(5, &[(kind::SHUTDOWN_COMPLETE, 0, vec![])]).is_empty());
    assert!(raw.with_tag(5, &[(kind::COOKIE_ACK, 0, vec![])]).is_empty());
    // Not even behind something else.
    let packet = [(kind::SACK, 0, sack_value(1, 1, &[])), (kind::ABORT, 0, vec![])];
    assert!(raw.with_tag(5, &packet).is_empty());
}

#[test]
fn fh_5_3_3_anything_else_out_of_the_blue_gets_an_abort() {
    let mut raw = Raw::new(Config::default());
    for kind in [kind::SACK, kind::DATA, kind::HEARTBEAT, kind::SHUTDOWN, kind::INIT_ACK] {
        let out = raw.with_tag(5, &[(kind, 0, vec![0; 24])]);
        assert_eq!((kinds(&out), out[0].flags, out[0].tag), (vec![kind::ABORT], 1, 5), "{kind}");
    }
}

const STALE: [u8; 8] = [0, 3, 0, 8, 0, 0, 0, 9];

#[test]
fn e_6_1_a_stale_cookie_is_fetched_anew() {
    let mut raw = Raw::new(Config::default());
    let init = raw.connect();
    raw.answer_init(&init[0], &cookie_parameter(b"one"));
    let out = raw.packet(&[(kind::ERROR, 0, STALE.to_vec())]);
    assert_eq!((kinds(&out), out[0].tag), (vec![kind::INIT], 0));
    let out = raw.answer_init(&out[0], &cookie_parameter(b"two"));
    assert_eq!((kinds(&out), &out[0].value[..]), (vec![kind::COOKIE_ECHO], &b"two"[..]));
    raw.packet(&[(kind::COOKIE_ACK, 0, vec![])]);
    assert!(matches!(raw.events[..], [Event::Up(_)]));
}

#[test]
fn e_6_2_a_stale_cookie_in_other_states_is_ignored() {
    let mut raw = Raw::accepted(Config::default());
    assert!(raw.packet(&[(kind::ERROR, 0, STALE.to_vec())]).is_empty());
    assert_eq!(kinds(&raw.send(b"x")), [kind::DATA]);
}

#[test]
fn e_6_3_data_on_a_stream_that_there_is_not_is_acknowledged_and_reported() {
    let mut raw = Raw::accepted(Config::default());
    let packet = data(&raw, 0, 10);
    let mut out = raw.packet(&[packet]);
    assert_eq!((kinds(&out), out[0].cause()), (vec![kind::ERROR], Some(1)));
    assert_eq!(out[0].value[4..8], [0, 10, 0, 0]);
    out = raw.wait(ms(201));
    assert_eq!(out[0].value[..4], raw.tsns[0].to_be_bytes());
    assert!(raw.messages().is_empty());
}

#[test]
fn e_6_4_an_init_ack_without_a_cookie_ends_it() {
    let mut raw = Raw::new(Config::default());
    let init = raw.connect();
    let out = raw.answer_init(&init[0], &[]);
    assert_eq!((kinds(&out), out[0].cause()), (vec![kind::ABORT], Some(2)));
    assert_eq!(out[0].value[4..10], [0, 0, 0, 1, 0, 7]);
}

#[test]
fn e_6_5_an_unknown_parameter_of_an_init_ack_is_reported_with_the_cookie() {
    let mut raw = Raw::new(Config::default());
    let init = raw.connect();
    let unknown = [0xc0, 0x33, 0, 8, 1, 2, 3, 4];
    let parameters = [&unknown[..], &cookie_parameter(b"c")].concat();
    let out = raw.answer_init(&init[0], &parameters);
    assert_eq!(kinds(&out), [kind::COOKIE_ECHO, kind::ERROR]);
    let cause = Parameters::new(&out[1].value).next().unwrap();
    assert_eq!((cause.kind, cause.value), (8, &unknown[..]));
}

#[test]
fn e_6_6_an_error_with_a_cookie_is_no_obstacle() {
    let mut raw = Raw::new(Config::default());
    let ack = raw.send_init(&[])[0].clone();
    raw.tags[1] = u32::from_be_bytes(*ack.value.first_chunk().unwrap());
    let error = (kind::ERROR, 0, vec![0, 8, 0, 12, 0xc0, 0x33, 0, 8, 1, 2, 3, 4]);
    let out = raw.packet(&[(kind::COOKIE_ECHO, 0, cookie_of(&ack)), error]);
    assert_eq!(kinds(&out), [kind::COOKIE_ACK]);
}

#[test]
fn bdc_7_1_to_3_some_chunks_stand_alone() {
    let mut raw = Raw::new(Config::default());
    let init = (kind::INIT, 0, raw.init(&[]));
    let with = data(&raw, 0, 0);
    assert!(raw.with_tag(0, &[init, with.clone()]).is_empty());

    let init = raw.connect();
    raw.tags[1] = u32::from_be_bytes(*init[0].value.first_chunk().unwrap());
    let ack = (kind::INIT_ACK, 0, raw.init(&cookie_parameter(b"c")));
    assert!(raw.packet(&[ack, with.clone()]).is_empty());
    assert_eq!(kinds(&raw.answer_init(&init[0], &cookie_parameter(b"c"))), [kind::COOKIE_ECHO]);
    raw.packet(&[(kind::COOKIE_ACK, 0, vec![])]);

    let value = raw.tsns[1].wrapping_sub(1).to_be_bytes().to_vec();
    raw.packet(&[(kind::SHUTDOWN, 0, value)]);
    assert!(raw.packet(&[(kind::SHUTDOWN_COMPLETE, 0, vec![]), with]).is_empty());
    assert_eq!(raw.down(), None);
}

#[test]
fn bdc_7_4_data_with_a_cookie_is_taken() {
    let mut raw = Raw::new(Config::default());
    let ack = raw.send_init(&[])[0].clone();
    raw.tags[1] = u32::from_be_bytes(*ack.value.first_chunk().unwrap());
    let with = data(&raw, 0, 0);
    let out = raw.packet(&[(kind::COOKIE_ECHO, 0, cookie_of(&ack)), with]);
    assert_eq!(out[0].kind, kind::COOKIE_ACK);
    assert_eq!(raw.messages(), [b"payload!"]);
    assert!(matches!(raw.events[..], [Event::Up(_), Event::Message(_)]));
}

#[test]
fn bdc_7_5_data_with_a_cookie_ack_is_taken() {
    let mut raw = Raw::new(Config::default());
    let init = raw.connect();
    raw.answer_init(&init[0], &cookie_parameter(b"c"));
    let with = data(&raw, 0, 0);
    raw.packet(&[(kind::COOKIE_ACK, 0, vec![]), with]);
    assert_eq!(raw.messages(), [b"payload!"]);
}

#[test]
fn bdc_7_6_a_shutdown_behind_a_sack_is_taken() {
    let mut raw = Raw::accepted(Config::default());
    raw.send(b"x");
    let sack = (kind::SACK, 0, sack_value(raw.tsns[1], 1000, &[]));
    let shutdown = (kind::SHUTDOWN, 0, raw.tsns[1].to_be_bytes().to_vec());
    assert_eq!(kinds(&raw.packet(&[sack, shutdown])), [kind::SHUTDOWN_ACK]);
}

#[test]
fn bdc_7_7_data_behind_a_sack_is_taken() {
    let mut raw = Raw::accepted(Config::default());
    let sack = (kind::SACK, 0, sack_value(raw.tsns[1].wrapping_sub(1), 1000, &[]));
    let with = data(&raw, 0, 0);
    raw.packet(&[sack, with]);
    assert_eq!(raw.messages(), [b"payload!"]);
}

#[test]
fn bdc_7_8_data_behind_a_shutdown_ack_is_ignored() {
    let mut raw = Raw::accepted(Config::default());
    raw.command(Command::Shutdown);
    let with = data(&raw, 0, 0);
    let out = raw.packet(&[(kind::SHUTDOWN_ACK, 0, vec![]), with]);
    assert_eq!(kinds(&out), [kind::SHUTDOWN_COMPLETE]);
    assert!(raw.messages().is_empty());
}

/// What becomes of DATA behind a chunk of this type, and what is reported.
fn unknown(unknown: u8) -> (usize, Vec<u8>) {
    let mut raw = Raw::accepted(Config::default());
    let with = data(&raw, 0, 0);
    let out = raw.packet(&[(unknown, 0, vec![1, 2, 3, 4]), with]);
    let reported = out.iter().filter(|out| out.cause() == Some(6));
    (raw.messages().len(), reported.flat_map(|out| out.value[4..].to_vec()).collect())
}

#[test]
fn m_10_1_an_unknown_chunk_11_is_reported_and_passed_over() {
    assert_eq!(unknown(0xfe), (1, vec![0xfe, 0, 0, 8, 1, 2, 3, 4]));
}

#[test]
fn m_10_2_an_unknown_chunk_00_ends_the_packet() {
    assert_eq!(unknown(0x3e), (0, vec![]));
}

#[test]
fn m_10_3_an_unknown_chunk_01_ends_the_packet_and_is_reported() {
    assert_eq!(unknown(0x7e), (0, vec![0x7e, 0, 0, 8, 1, 2, 3, 4]));
}

#[test]
fn m_10_4_an_unknown_chunk_10_is_passed_over() {
    assert_eq!(unknown(0xbe), (1, vec![]));
}
