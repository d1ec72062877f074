use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::calculation::{Calculation, Outgoing};
use super::packet::{Kind, Packet};
use super::processor::Processor;
use crate::packet::hex;

/// One element: a processor, and sessions that share it.
struct Lab {
    start: Instant,
    processor: Processor,
    sessions: Vec<Calculation>,
}

impl Lab {
    /// A million calculations a second, at most `jobs_max` jobs.
    fn new(jobs_max: usize, sessions: usize) -> Self {
        let start = Instant::now();
        let processor = Processor::new(start, 1e6, jobs_max);
        let sessions = (0..sessions).map(|_| Calculation::default()).collect();
        Self { start, processor, sessions }
    }

    fn request(&mut self, ms: u64, session: usize, size: u64) -> Option<Outgoing> {
        self.send(ms, session, Packet { size, ..Packet::about(Kind::Request, 1) })
    }

    fn send(&mut self, ms: u64, session: usize, packet: Packet) -> Option<Outgoing> {
        let now = self.start + Duration::from_millis(ms);
        self.sessions[session].receive(now, &packet.encode(), &mut self.processor)
    }

    /// When a session wants its turn, in milliseconds.
    fn due(&self, ms: u64, session: usize) -> Option<u128> {
        let now = self.start + Duration::from_millis(ms);
        let due = self.sessions[session].next_timeout(now, &self.processor)?;
        Some((due - self.start).as_millis())
    }

    fn timeout(&mut self, ms: u64, session: usize) -> Option<Outgoing> {
        let now = self.start + Duration::from_millis(ms);
        self.sessions[session].timeout(now, &mut self.processor)
    }
}

fn message(kind: Kind) -> Option<Outgoing> {
    Some(Outgoing::Message(Packet::about(kind, 1)))
}

fn complete(size: u64) -> Option<Outgoing> {
    let packet = Packet { kind: Kind::Complete, job: 1, size, completed: size };
    Some(Outgoing::Message(packet))
}

fn state(size: u64, completed: u64) -> Packet {
    Packet { kind: Kind::Request, job: 1, size, completed }
}

#[test]
fn speaks_as_rsplib_does() {
    let seen = [
        ("01000018 00000001 00000000002c5763 0000000000000000", Kind::Request, 2_905_955, 0),
        ("02000018 00000001 0000000000000000 0000000000000000", Kind::Accept, 0, 0),
        ("03000018 00000001 0000000000000000 0000000000000000", Kind::Reject, 0, 0),
        (
            "05000018 00000001 00000000002c5763 00000000002c5763",
            Kind::Complete,
            2_905_955,
            2_905_955,
        ),
        ("06000018 00000001 0000000000000000 0000000000000000", Kind::KeepAlive, 0, 0),
        ("07000018 00000001 0000000000000000 0000000000000000", Kind::KeepAliveAck, 0, 0),
    ];
    for (octets, kind, size, completed) in seen {
        let packet = Packet { kind, job: 1, size, completed };
        assert_eq!(packet.encode(), hex(octets));
        assert_eq!(Packet::decode(&hex(octets)), Ok(packet));
    }
    let cookie = hex("00000001 00000000001aad94 000000000004954e");
    let seen = state(1_748_372, 300_366);
    assert_eq!(seen.cookie(), cookie);
    assert_eq!(Packet::from_cookie(&cookie), Some(seen));
}

#[test]
fn jobs_share_the_processor() {
    let mut lab = Lab::new(10, 2);
    assert_eq!(lab.request(0, 0, 1_000_000), message(Kind::Accept));
    assert_eq!(lab.due(0, 0), Some(1000));
    // Half of the first is done when the second one comes: each now has half of the processor.
    assert_eq!(lab.request(500, 1, 250_000), message(Kind::Accept));
    assert_eq!((lab.due(500, 0), lab.due(500, 1)), (Some(1500), Some(1000)));
    assert_eq!(lab.timeout(999, 1), None);
    assert_eq!(lab.timeout(1000, 1), complete(250_000));
    assert_eq!(lab.due(1000, 0), Some(1250));
    assert_eq!(lab.timeout(1250, 0), complete(1_000_000));
    assert_eq!(lab.due(1250, 0), None);
}

#[test]
fn an_element_that_has_enough_to_do_says_so() {
    let mut lab = Lab::new(2, 3);
    assert_eq!(lab.request(0, 0, 1000), message(Kind::Accept));
    assert_eq!(lab.request(0, 0, 1000), message(Kind::Reject), "one job a session");
    assert_eq!(lab.request(0, 1, 1000), message(Kind::Accept));
    assert!((lab.processor.load() - 1.0).abs() < 1e-9);
    assert_eq!(lab.request(0, 2, 1000), message(Kind::Reject));
    lab.send(0, 0, Packet::about(Kind::Abort, 1));
    assert!((lab.processor.load() - 0.5).abs() < 1e-9);
    assert_eq!(lab.request(0, 2, 1000), message(Kind::Accept));
}

#[test]
fn the_next_server_does_only_the_rest() {
    let mut lab = Lab::new(10, 2);
    lab.request(0, 0, 20_000_000);
    let ack = Packet::about(Kind::KeepAliveAck, 1);
    assert_eq!(lab.due(0, 0), Some(2500));
    assert_eq!(lab.timeout(2500, 0), message(Kind::KeepAlive));
    lab.send(2500, 0, ack);
    assert_eq!(lab.due(2500, 0), Some(5000));
    // Five million calculations, and five seconds.
    assert_eq!(lab.timeout(5000, 0), Some(Outgoing::Cookie(state(20_000_000, 5_000_000))));

    let mut next = Lab::new(10, 1);
    let cookie = state(20_000_000, 5_000_000).cookie();
    let answer = next.sessions[0].resume(next.start, &cookie, &mut next.processor);
    assert_eq!(answer, message(Kind::Accept));
    let done = next.start + Duration::from_secs(15);
    let mut now = next.start;
    let mut outgoing = None;
    while let Some(due) = next.sessions[0].next_timeout(now, &next.processor) {
        now = due;
        outgoing = next.sessions[0].timeout(now, &mut next.processor);
        next.sessions[0].receive(now, &ack.encode(), &mut next.processor);
    }
    assert_eq!((outgoing, now), (complete(20_000_000), done));
}

#[test]
fn a_client_that_does_not_answer_has_no_job_any_more() {
    let mut lab = Lab::new(1, 1);
    lab.request(0, 0, 20_000_000);
    assert_eq!(lab.timeout(2500, 0), message(Kind::KeepAlive));
    assert_eq!(lab.timeout(2500, 0), None);
    lab.timeout(5000, 0);
    assert_eq!(lab.timeout(5000, 0), message(Kind::Abort));
    assert!(lab.processor.load().abs() < 1e-9);
}

#[test]
fn a_client_may_ask_whether_its_job_is_still_there() {
    let mut lab = Lab::new(1, 1);
    assert_eq!(lab.send(0, 0, Packet::about(Kind::KeepAlive, 1)), None);
    lab.request(0, 0, 1000);
    assert_eq!(lab.send(0, 0, Packet::about(Kind::KeepAlive, 1)), message(Kind::KeepAliveAck));
    assert_eq!(lab.send(0, 0, Packet::about(Kind::KeepAlive, 2)), None);
}

#[test]
fn cookies_of_something_else_begin_nothing() {
    let good = state(10, 5).cookie();
    let more = state(10, 11).cookie();
    let long = [&good[..], &[0]].concat();
    for cookie in [&[][..], &good[..19], &more, &long] {
        let mut lab = Lab::new(1, 1);
        assert_eq!(lab.sessions[0].resume(lab.start, cookie, &mut lab.processor), None);
        assert_eq!(lab.due(0, 0), None);
    }
}

#[test]
fn the_largest_job_has_an_end_in_sight() {
    let mut lab = Lab::new(1, 1);
    lab.request(0, 0, u64::MAX);
    assert_eq!(lab.due(0, 0), Some(2500));
    lab.request(0, 0, 0);
    let mut lab = Lab::new(1, 1);
    lab.request(0, 0, 0);
    assert_eq!(lab.timeout(0, 0), complete(0));
}

proptest! {
    #[test]
    fn any_octets_are_survived(octets in proptest::collection::vec(any::<u8>(), 0..30), kind in 0_u8..9) {
        let mut octets = octets;
        if let [first, _, high, low, ..] = &mut octets[..] {
            (*first, *high, *low) = (kind, 0, 24);
        }
        let mut lab = Lab::new(2, 1);
        let now = lab.start;
        lab.sessions[0].receive(now, &octets, &mut lab.processor);
        lab.sessions[0].resume(now, &octets, &mut lab.processor);
        lab.sessions[0].next_timeout(now, &lab.processor);
        lab.sessions[0].timeout(now + Duration::from_secs(9), &mut lab.processor);
    }
}
