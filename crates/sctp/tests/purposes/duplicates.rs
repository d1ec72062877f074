//! Duplicate and unexpected messages: 4/1 to 4/10; invalid ones: 3/1 to 3/10.

use rserpool_sctp::chunk::{BEGINS, ENDS, kind};
use rserpool_sctp::{Command, Config, DownReason, crc};

use crate::raw::{Out, Raw, cookie_of, cookie_parameter, encode, ms};

fn kinds(out: &[Out]) -> Vec<u8> {
    out.iter().map(|out| out.kind).collect()
}

fn up_to_now(raw: &Raw) -> Vec<u8> {
    raw.tsns[1].wrapping_sub(1).to_be_bytes().to_vec()
}

/// An endpoint that has sent an INIT, and its tag.
fn waiting() -> (Raw, Out) {
    let mut raw = Raw::new(Config::default());
    let init = raw.connect().remove(0);
    raw.tags[1] = u32::from_be_bytes(*init.value.first_chunk().unwrap());
    (raw, init)
}

#[test]
fn imh_3_1_an_init_that_is_too_short_is_ignored() {
    let mut raw = Raw::new(Config::default());
    let mut init = raw.init(&[]);
    init.truncate(12);
    assert!(raw.with_tag(0, &[(kind::INIT, 0, init)]).is_empty());
}

#[test]
fn imh_3_2_an_init_ack_that_is_too_short_is_ignored() {
    let (mut raw, init) = waiting();
    assert!(raw.packet(&[(kind::INIT_ACK, 0, vec![0; 8])]).is_empty());
    assert_eq!(kinds(&raw.answer_init(&init, &cookie_parameter(b"c"))), [kind::COOKIE_ECHO]);
}

#[test]
fn imh_3_3_a_cookie_with_a_wrong_tag_is_ignored() {
    let mut raw = Raw::new(Config::default());
    let ack = raw.send_init(&[])[0].clone();
    let tag = u32::from_be_bytes(*ack.value.first_chunk().unwrap());
    assert!(raw.with_tag(tag ^ 4, &[(kind::COOKIE_ECHO, 0, cookie_of(&ack))]).is_empty());
    assert!(raw.endpoint.is_empty());
}

#[test]
fn imh_3_4_a_wrong_checksum_is_ignored() {
    let mut raw = Raw::new(Config::default());
    let mut octets = encode(0, &[(kind::INIT, 0, raw.init(&[]))]);
    octets[9] ^= 1;
    assert!(raw.octets(&octets).is_empty());
    assert_eq!(raw.endpoint.statistics().checksum_errors, 1);
    octets[9] ^= 1;
    assert!(crc::is_right(&octets));
    assert_eq!(kinds(&raw.octets(&octets)), [kind::INIT_ACK]);
}

#[test]
fn imh_3_5_a_cookie_with_a_wrong_mac_is_ignored() {
    let mut raw = Raw::new(Config::default());
    let ack = raw.send_init(&[])[0].clone();
    let tag = u32::from_be_bytes(*ack.value.first_chunk().unwrap());
    let mut cookie = cookie_of(&ack);
    *cookie.last_mut().unwrap() ^= 1;
    assert!(raw.with_tag(tag, &[(kind::COOKIE_ECHO, 0, cookie)]).is_empty());
}

#[test]
fn imh_3_6_a_stale_cookie_is_reported() {
    let mut raw = Raw::new(Config::default());
    let ack = raw.send_init(&[])[0].clone();
    let tag = u32::from_be_bytes(*ack.value.first_chunk().unwrap());
    raw.now += ms(61_000);
    let out = raw.with_tag(tag, &[(kind::COOKIE_ECHO, 0, cookie_of(&ack))]);
    assert_eq!(
        (kinds(&out), out[0].cause(), out[0].tag),
        (vec![kind::ERROR], Some(3), raw.tags[0])
    );
    assert_eq!(out[0].value[4..8], 1_000_000_u32.to_be_bytes(), "microseconds too old");
}

#[test]
fn imh_3_7_packets_with_a_wrong_tag_are_ignored() {
    let mut raw = Raw::accepted(Config::default());
    let wrong = raw.tags[1] ^ 1;
    let out = raw.with_tag(wrong, &[(kind::HEARTBEAT, 0, vec![0, 1, 0, 8, 1, 2, 3, 4])]);
    assert!(out.iter().all(|out| out.kind == kind::ABORT && out.flags == 1 && out.tag == wrong));
    assert_eq!(raw.down(), None);
}

#[test]
fn imh_3_8_an_abort_with_a_wrong_tag_is_ignored() {
    let mut raw = Raw::accepted(Config::default());
    let wrong = raw.tags[1] ^ 1;
    assert!(raw.with_tag(wrong, &[(kind::ABORT, 0, vec![])]).is_empty());
    assert_eq!(raw.down(), None);
}

#[test]
fn imh_3_9_a_shutdown_ack_with_a_wrong_tag_is_out_of_the_blue() {
    let mut raw = Raw::accepted(Config::default());
    raw.command(Command::Shutdown);
    let wrong = raw.tags[1] ^ 1;
    let out = raw.with_tag(wrong, &[(kind::SHUTDOWN_ACK, 0, vec![])]);
    assert_eq!((kinds(&out), out[0].flags), (vec![kind::SHUTDOWN_COMPLETE], 1));
    assert_eq!(raw.down(), None);
}

#[test]
fn imh_3_10_a_shutdown_complete_with_a_wrong_tag_is_ignored() {
    let mut raw = Raw::accepted(Config::default());
    let value = up_to_now(&raw);
    raw.packet(&[(kind::SHUTDOWN, 0, value)]);
    for (tag, flags) in [(raw.tags[1] ^ 1, 0), (raw.tags[0], 0), (raw.tags[1], 1)] {
        assert!(raw.with_tag(tag, &[(kind::SHUTDOWN_COMPLETE, flags, vec![])]).is_empty());
        assert_eq!(raw.down(), None);
    }
    raw.with_tag(raw.tags[0], &[(kind::SHUTDOWN_COMPLETE, 1, vec![])]);
    assert_eq!(raw.down(), Some(DownReason::Closed));
}

#[test]
fn dm_4_1_an_init_in_cookie_wait_is_answered_with_the_same_tag() {
    let (mut raw, init) = waiting();
    let out = raw.send_init(&[]);
    assert_eq!(kinds(&out), [kind::INIT_ACK]);
    assert_eq!(out[0].value[..4], init.value[..4]);
    assert_eq!(out[0].value[12..16], init.value[12..16], "and the same TSN");
    raw.echo(&out[0]);
    assert_eq!(raw.endpoint.len(), 1);
}

#[test]
fn dm_4_2_1_an_init_in_established_changes_nothing() {
    let mut raw = Raw::accepted(Config::default());
    assert_eq!(kinds(&raw.send_init(&[])), [kind::INIT_ACK]);
    let out = raw.packet(&[(kind::HEARTBEAT, 0, vec![0, 1, 0, 8, 1, 2, 3, 4])]);
    assert_eq!((kinds(&out), &out[0].value[4..]), (vec![kind::HEARTBEAT_ACK], &[1, 2, 3, 4][..]));
}

#[test]
fn dm_4_2_2_an_init_in_shutdown_ack_sent_is_answered_with_another_shutdown_ack() {
    let mut raw = Raw::accepted(Config::default());
    let value = up_to_now(&raw);
    raw.packet(&[(kind::SHUTDOWN, 0, value)]);
    assert_eq!(kinds(&raw.send_init(&[])), [kind::SHUTDOWN_ACK]);
}

#[test]
fn dm_4_3_an_init_ack_in_other_states_is_ignored() {
    let (mut raw, init) = waiting();
    raw.answer_init(&init, &cookie_parameter(b"c"));
    assert!(raw.answer_init(&init, &cookie_parameter(b"d")).is_empty());
    raw.packet(&[(kind::COOKIE_ACK, 0, vec![])]);
    assert!(raw.answer_init(&init, &cookie_parameter(b"d")).is_empty());
    assert_eq!(raw.down(), None);
}

#[test]
fn dm_4_4_a_cookie_ack_in_established_is_ignored() {
    let mut raw = Raw::accepted(Config::default());
    assert!(raw.packet(&[(kind::COOKIE_ACK, 0, vec![])]).is_empty());
    assert_eq!((kinds(&raw.send(b"x")), raw.events.len()), (vec![kind::DATA], 1));
}

#[test]
fn dm_4_5_a_shutdown_in_shutdown_sent_is_answered() {
    let mut raw = Raw::accepted(Config::default());
    raw.command(Command::Shutdown);
    let value = up_to_now(&raw);
    assert_eq!(kinds(&raw.packet(&[(kind::SHUTDOWN, 0, value)])), [kind::SHUTDOWN_ACK]);
    raw.packet(&[(kind::SHUTDOWN_COMPLETE, 0, vec![])]);
    assert_eq!(raw.down(), Some(DownReason::Closed));
}

#[test]
fn dm_4_6_1_a_shutdown_in_cookie_wait_is_ignored() {
    let (mut raw, init) = waiting();
    assert!(raw.packet(&[(kind::SHUTDOWN, 0, vec![0; 4])]).is_empty());
    assert_eq!(kinds(&raw.answer_init(&init, &cookie_parameter(b"c"))), [kind::COOKIE_ECHO]);
}

#[test]
fn dm_4_6_2_a_shutdown_without_association_is_out_of_the_blue() {
    let mut raw = Raw::new(Config::default());
    let out = raw.with_tag(77, &[(kind::SHUTDOWN, 0, vec![0; 4])]);
    assert_eq!((kinds(&out), out[0].flags, out[0].tag), (vec![kind::ABORT], 1, 77));
}

#[test]
fn dm_4_6_3_after_both_shutdowns_the_timer_begins_anew() {
    let mut raw = Raw::accepted(Config::default());
    raw.command(Command::Shutdown);
    raw.wait(ms(900));
    let value = up_to_now(&raw);
    raw.packet(&[(kind::SHUTDOWN, 0, value)]);
    assert!(raw.wait(ms(900)).is_empty());
    assert_eq!(kinds(&raw.wait(ms(101))), [kind::SHUTDOWN_ACK]);
}

#[test]
fn dm_4_7_1_a_shutdown_ack_in_cookie_wait_is_out_of_the_blue() {
    let (mut raw, init) = waiting();
    let out = raw.packet(&[(kind::SHUTDOWN_ACK, 0, vec![])]);
    assert_eq!((kinds(&out), out[0].flags), (vec![kind::SHUTDOWN_COMPLETE], 1));
    assert_eq!(out[0].tag, raw.tags[1]);
    assert_eq!(kinds(&raw.answer_init(&init, &cookie_parameter(b"c"))), [kind::COOKIE_ECHO]);
}

#[test]
fn dm_4_7_2_a_shutdown_ack_in_established_is_ignored() {
    let mut raw = Raw::accepted(Config::default());
    assert!(raw.packet(&[(kind::SHUTDOWN_ACK, 0, vec![])]).is_empty());
    assert_eq!((kinds(&raw.send(b"x")), raw.down()), (vec![kind::DATA], None));
}

#[test]
fn dm_4_7_3_a_shutdown_ack_in_shutdown_ack_sent_ends_it() {
    let mut raw = Raw::accepted(Config::default());
    let value = up_to_now(&raw);
    raw.packet(&[(kind::SHUTDOWN, 0, value)]);
    assert_eq!(kinds(&raw.packet(&[(kind::SHUTDOWN_ACK, 0, vec![])])), [kind::SHUTDOWN_COMPLETE]);
    assert_eq!(raw.down(), Some(DownReason::Closed));
}

#[test]
fn dm_4_8_a_forged_cookie_in_established_is_ignored() {
    let mut raw = Raw::accepted(Config::default());
    assert!(raw.packet(&[(kind::COOKIE_ECHO, 0, vec![7; 120])]).is_empty());
    assert_eq!((kinds(&raw.send(b"x")), raw.down()), (vec![kind::DATA], None));
}

#[test]
fn dm_4_9_a_shutdown_complete_in_other_states_is_ignored() {
    let (mut raw, init) = waiting();
    assert!(raw.packet(&[(kind::SHUTDOWN_COMPLETE, 0, vec![])]).is_empty());
    assert_eq!(kinds(&raw.answer_init(&init, &cookie_parameter(b"c"))), [kind::COOKIE_ECHO]);
    let mut raw = Raw::accepted(Config::default());
    raw.packet(&[(kind::SHUTDOWN_COMPLETE, 0, vec![])]);
    assert_eq!(raw.down(), None);
}

#[test]
fn dm_4_10_data_in_shutdown_ack_sent_is_ignored() {
    let mut raw = Raw::accepted(Config::default());
    let value = up_to_now(&raw);
    raw.packet(&[(kind::SHUTDOWN, 0, value)]);
    assert!(raw.data(&[(0, 0, 0, BEGINS | ENDS, b"x")]).is_empty());
    assert_eq!(kinds(&raw.wait(ms(1001))), [kind::SHUTDOWN_ACK]);
}
