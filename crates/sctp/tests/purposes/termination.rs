//! Association termination: 2/2 to 2/14.

use rserpool_sctp::chunk::{BEGINS, ENDS, kind};
use rserpool_sctp::{Command, Config, DownReason, Message, SendError};

use crate::raw::{Out, Raw, ms};

const WHOLE: u8 = BEGINS | ENDS;

fn kinds(out: &[Out]) -> Vec<u8> {
    out.iter().map(|out| out.kind).collect()
}

/// What is sent to an association that is gone is out of the blue.
fn assert_gone(raw: &mut Raw) {
    let heartbeat = (kind::HEARTBEAT, 0, vec![0, 1, 0, 8, 1, 2, 3, 4]);
    let out = raw.packet(&[heartbeat]);
    assert_eq!((kinds(&out), out[0].flags, out[0].tag), (vec![kind::ABORT], 1, raw.tags[1]));
    assert!(raw.endpoint.is_empty());
}

fn try_send(raw: &mut Raw) -> Result<(), SendError> {
    let message = Message { stream: 0, ppid: 0, unordered: false, octets: "x".into() };
    raw.endpoint.send(raw.now, raw.id.unwrap(), message)
}

fn shutdown_value(raw: &Raw, upto: u32) -> Vec<u8> {
    raw.tsns[1].wrapping_add(upto).to_be_bytes().to_vec()
}

const NOTHING: u32 = u32::MAX;

#[test]
fn at_2_2_an_abort_ends_it() {
    let mut raw = Raw::accepted(Config::default());
    assert!(raw.packet(&[(kind::ABORT, 0, vec![])]).is_empty());
    assert_eq!(raw.down(), Some(DownReason::Aborted(None)));
    assert_gone(&mut raw);
}

#[test]
fn at_2_3_a_shutdown_waits_for_what_was_sent() {
    let mut raw = Raw::accepted(Config::default());
    raw.send(&[7; 1000]);
    assert_eq!(kinds(&raw.command(Command::Shutdown)), []);
    let out = raw.sack(0, 100_000, &[]);
    assert_eq!(kinds(&out), [kind::SHUTDOWN]);
    assert_eq!(out[0].value, raw.tsns[0].wrapping_sub(1).to_be_bytes());
    assert_eq!(kinds(&raw.packet(&[(kind::SHUTDOWN_ACK, 0, vec![])])), [kind::SHUTDOWN_COMPLETE]);
    assert_eq!(raw.down(), Some(DownReason::Closed));
}

#[test]
fn at_2_4_a_shutdown_without_an_answer_is_repeated() {
    let mut raw = Raw::accepted(Config::default());
    assert_eq!(kinds(&raw.command(Command::Shutdown)), [kind::SHUTDOWN]);
    assert_eq!(kinds(&raw.wait(ms(1001))), [kind::SHUTDOWN]);
}

#[test]
fn at_2_5_so_many_shutdowns_and_no_more() {
    let config = Config { association_retransmits_max: 5, ..Config::default() };
    let mut raw = Raw::accepted(config);
    let mut out = raw.command(Command::Shutdown);
    out.extend(raw.wait(ms(600_000)));
    let shutdowns = out.iter().filter(|out| out.kind == kind::SHUTDOWN).count();
    assert!((5..=6).contains(&shutdowns), "{shutdowns}");
    assert_eq!(out.last().unwrap().kind, kind::ABORT);
    assert_eq!(raw.down(), Some(DownReason::Timeout));
    assert_gone(&mut raw);
}

#[test]
fn at_2_6_a_shutdown_ack_ends_it() {
    let mut raw = Raw::accepted(Config::default());
    raw.command(Command::Shutdown);
    assert_eq!(kinds(&raw.packet(&[(kind::SHUTDOWN_ACK, 0, vec![])])), [kind::SHUTDOWN_COMPLETE]);
    assert_gone(&mut raw);
}

#[test]
fn at_2_7_1_nothing_is_sent_after_a_shutdown() {
    let mut raw = Raw::accepted(Config::default());
    raw.command(Command::Shutdown);
    assert_eq!(try_send(&mut raw), Err(SendError::NotUp));
}

#[test]
fn at_2_7_2_nothing_new_is_sent_after_the_peers_shutdown() {
    let mut raw = Raw::accepted(Config::default());
    raw.send(&[7; 1000]);
    let value = shutdown_value(&raw, NOTHING);
    assert!(raw.packet(&[(kind::SHUTDOWN, 0, value)]).is_empty());
    assert_eq!(try_send(&mut raw), Err(SendError::NotUp));
    let value = shutdown_value(&raw, 0);
    assert_eq!(kinds(&raw.packet(&[(kind::SHUTDOWN, 0, value)])), [kind::SHUTDOWN_ACK]);
    raw.packet(&[(kind::SHUTDOWN_COMPLETE, 0, vec![])]);
    assert_eq!(raw.down(), Some(DownReason::Closed));
}

#[test]
fn at_2_7_3_nothing_is_sent_while_a_shutdown_waits() {
    let mut raw = Raw::accepted(Config::default());
    raw.send(&[7; 1000]);
    raw.command(Command::Shutdown);
    assert_eq!(try_send(&mut raw), Err(SendError::NotUp));
    assert_eq!(kinds(&raw.sack(0, 100_000, &[])), [kind::SHUTDOWN]);
}

#[test]
fn at_2_7_4_nothing_is_sent_after_a_shutdown_ack() {
    let mut raw = Raw::accepted(Config::default());
    let value = shutdown_value(&raw, NOTHING);
    assert_eq!(kinds(&raw.packet(&[(kind::SHUTDOWN, 0, value)])), [kind::SHUTDOWN_ACK]);
    assert_eq!(try_send(&mut raw), Err(SendError::NotUp));
}

#[test]
fn at_2_8_data_after_a_shutdown_is_taken_and_the_shutdown_repeated() {
    let mut raw = Raw::accepted(Config::default());
    raw.command(Command::Shutdown);
    for tsn in 0..2 {
        let number = u16::try_from(tsn).unwrap();
        let out = raw.data(&[(tsn, 0, number, WHOLE, b"x")]);
        assert_eq!(kinds(&out), [kind::SACK, kind::SHUTDOWN]);
        assert_eq!(out[1].value, raw.tsns[0].wrapping_add(tsn).to_be_bytes());
    }
    assert_eq!(raw.messages().len(), 2);
    assert_eq!(kinds(&raw.packet(&[(kind::SHUTDOWN_ACK, 0, vec![])])), [kind::SHUTDOWN_COMPLETE]);
}

#[test]
fn at_2_9_data_after_the_peers_shutdown_is_ignored() {
    let mut raw = Raw::accepted(Config::default());
    raw.send(&[7; 1000]);
    let value = shutdown_value(&raw, NOTHING);
    raw.packet(&[(kind::SHUTDOWN, 0, value)]);
    assert!(raw.data(&[(0, 0, 0, WHOLE, b"x")]).is_empty());
    assert!(raw.messages().is_empty());
    assert_eq!(kinds(&raw.sack(0, 100_000, &[])), [kind::SHUTDOWN_ACK]);
}

#[test]
fn at_2_10_what_was_sent_before_the_peers_shutdown_is_repeated() {
    let mut raw = Raw::accepted(Config::default());
    raw.send(&[7; 1000]);
    let value = shutdown_value(&raw, NOTHING);
    raw.packet(&[(kind::SHUTDOWN, 0, value)]);
    let out = raw.wait(ms(1001));
    assert!(kinds(&out).contains(&kind::DATA), "{out:?}");
    assert_eq!(kinds(&raw.sack(0, 100_000, &[])), [kind::SHUTDOWN_ACK]);
    raw.packet(&[(kind::SHUTDOWN_COMPLETE, 0, vec![])]);
    assert_eq!(raw.down(), Some(DownReason::Closed));
}

#[test]
fn at_2_11_a_shutdown_ack_without_an_answer_is_repeated() {
    let mut raw = Raw::accepted(Config::default());
    let value = shutdown_value(&raw, NOTHING);
    raw.packet(&[(kind::SHUTDOWN, 0, value)]);
    assert_eq!(kinds(&raw.wait(ms(1001))), [kind::SHUTDOWN_ACK]);
}

#[test]
fn at_2_12_so_many_shutdown_acks_and_no_more() {
    let mut raw = Raw::accepted(Config::default());
    let value = shutdown_value(&raw, NOTHING);
    let mut out = raw.packet(&[(kind::SHUTDOWN, 0, value)]);
    out.extend(raw.wait(ms(3_600_000)));
    let acks = out.iter().filter(|out| out.kind == kind::SHUTDOWN_ACK).count();
    assert!((10..=11).contains(&acks), "{acks}");
    assert_eq!(raw.down(), Some(DownReason::Timeout));
    assert_gone(&mut raw);
}

#[test]
fn at_2_13_a_shutdown_complete_ends_it() {
    let mut raw = Raw::accepted(Config::default());
    let value = shutdown_value(&raw, NOTHING);
    raw.packet(&[(kind::SHUTDOWN, 0, value)]);
    raw.packet(&[(kind::SHUTDOWN_COMPLETE, 0, vec![])]);
    assert_eq!(raw.down(), Some(DownReason::Closed));
    assert_gone(&mut raw);
}

#[test]
fn at_2_14_a_shutdown_acknowledges_data() {
    let mut raw = Raw::accepted(Config::default());
    raw.send(&[7; 1000]);
    let value = shutdown_value(&raw, 0);
    assert_eq!(kinds(&raw.packet(&[(kind::SHUTDOWN, 0, value)])), [kind::SHUTDOWN_ACK]);
}
