//! Peers that send messages in pieces and never the whole, or in an order that costs much.

use std::time::Duration;

use rserpool_sctp::chunk::kind as chunk;
use rserpool_sctp::packet::HEADER;

use super::super::fuzzing::word;
use super::forger::{Forger, data};
use super::*;

/// What the protocol allows: TSNs ahead of a gap, fragments of a message, its time, answers at once.
const AHEAD_MAX: u32 = 4096;
const FRAGMENTS_MAX: u32 = 4096;
const AGE_MAX: Duration = Duration::from_secs(60);
const REPLIES_MAX: usize = 16;

/// What happens at the endpoint now.
async fn events(endpoint: &mut UserlandEndpoint) -> Vec<Event> {
    let mut events = Vec::new();
    let mut idle = 0;
    while idle < 8 {
        match poll_fn(|cx| Poll::Ready(endpoint.poll_event(cx))).await {
            Poll::Ready(event) => events.push(event),
            Poll::Pending => idle += 1,
        }
        tokio::task::yield_now().await;
    }
    events
}

/// The last TSN that the endpoint acknowledged, of what the forger has got.
fn acknowledged(forger: &Forger) -> Option<u32> {
    let mut last = None;
    while let Some(answer) = forger.receive() {
        if answer[HEADER] == chunk::SACK {
            last = Some(word(&answer, HEADER + 4));
        }
    }
    last
}

/// The message in `count` pieces of one octet, from TSN `first` on.
fn pieces(first: u32, number: u16, count: u32) -> Vec<Vec<u8>> {
    let flags = |at| u8::from(at == 0) * 2 + u8::from(at + 1 == count);
    (0..count).map(|at| data(flags(at), first + at, number, &[7])).collect()
}

#[tokio::test(start_paused = true)]
async fn a_message_arrives_in_whatever_order_its_fragments_come() {
    let mut endpoint = bind();
    let forger = Forger::new(&endpoint);
    let (assoc, tag) = forger.up(&mut endpoint, 5000).await;
    let message = |octets| Event::Message { assoc, ppid: Ppid::ASAP, octets };
    let mut chunks = pieces(1, 0, 50);
    chunks.extend(pieces(51, 1, 1));
    chunks.extend(pieces(52, 2, 49));
    // Every other one from the end, then the rest from the begin, some of them twice.
    let order = (0..100).rev().step_by(2).chain((0..100).step_by(2)).chain([4, 5, 99]);
    for at in order {
        forger.send(5000, tag, &chunks[at]);
    }
    let messages = [message(vec![7; 50]), message(vec![7]), message(vec![7; 49])];
    assert_eq!(events(&mut endpoint).await, messages);
    assert_eq!(acknowledged(&forger), Some(100));
    assert_eq!(endpoint.table.get_mut(assoc).unwrap().charged, 0);
    let statistics = endpoint.statistics();
    assert_eq!((statistics.data_far_ahead, statistics.malformed), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn data_far_ahead_of_a_gap_is_as_good_as_lost() {
    let mut endpoint = bind();
    let forger = Forger::new(&endpoint);
    let (assoc, tag) = forger.up(&mut endpoint, 5000).await;
    // In descending order, each with a gap before it: what costs a list most.
    let last = 3 * AHEAD_MAX;
    let all: Vec<u32> = (2..=last).rev().step_by(2).collect();
    for tsns in all.chunks(60) {
        let chunks: Vec<u8> = tsns.iter().flat_map(|tsn| data(4, *tsn, 0, &[1])).collect();
        forger.send(5000, tag, &chunks);
    }
    assert_eq!(events(&mut endpoint).await, []);
    let far = all.iter().filter(|tsn| **tsn > AHEAD_MAX).count();
    let seen = endpoint.statistics();
    assert_eq!(seen.data_far_ahead, far as u64);
    // The window ends a little before that.
    assert!(seen.fragments_dropped < 20, "{}", seen.fragments_dropped);
    assert_eq!(endpoint.counters().refused_data, far as u64 + seen.fragments_dropped);
    // What comes in order is served meanwhile, and the rest once it is near enough.
    let mut other = bind();
    connected(&mut other, &mut endpoint).await;
    assert!(endpoint.table.get_mut(assoc).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_gap_and_a_message_have_a_minute() {
    for (begin, refill) in [(2, false), (2, true), (1, false), (1, true)] {
        let mut endpoint = bind();
        let forger = Forger::new(&endpoint);
        let (assoc, tag) = forger.up(&mut endpoint, 5000).await;
        let end = tokio::time::Instant::now() + AGE_MAX;
        forger.send(5000, tag, &data(2, begin, 0, &[1]));
        let mut next_tsn = begin + 1;
        let mut over = Vec::new();
        while over.is_empty() {
            // The peer is there, and repeats everything but what is missing.
            tokio::time::advance(Duration::from_millis(500)).await;
            answer_heartbeats(&forger, tag);
            if refill {
                forger.send(5000, tag, &data(0, next_tsn, 0, &[1]));
                next_tsn += 1;
            }
            over = events(&mut endpoint).await;
        }
        assert_eq!(over, [down(assoc, DownReason::Timeout)]);
        let late = tokio::time::Instant::now() - end;
        assert!(late < Duration::from_secs(1), "{begin} {refill}: {late:?}");
        assert_eq!(endpoint.statistics().fragments_too_old, 1);
        assert_eq!(endpoint.fragments.room(network()), 16 << 20);
    }
}

fn network() -> super::super::limits::Network {
    super::super::limits::Network::of(Ipv4Addr::LOCALHOST.into())
}

/// Answers what the endpoint asked, as a live peer does.
fn answer_heartbeats(forger: &Forger, tag: u32) {
    while let Some(mut octets) = forger.receive() {
        if octets[HEADER] == 4 {
            octets[HEADER] = 5;
            forger.send(5000, tag, &octets[HEADER..]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_breaks_the_rules_of_fragments_loses_its_association() {
    let whole = |tsn, number| data(3, tsn, number, &[1]);
    let long: Vec<Vec<u8>> = std::iter::once(data(2, 1, 0, &[1; 1400]))
        .chain((2..50).map(|tsn| data(0, tsn, 0, &[1; 1400])))
        .collect();
    let many = (1..=FRAGMENTS_MAX + 1)
        .map(|tsn| data(if tsn == 1 { 2 } else { 0 }, tsn, 0, &[1]))
        .collect();
    let cases: [(&str, Vec<Vec<u8>>); 7] = [
        ("a message without its begin", vec![data(0, 1, 0, &[1])]),
        ("a message within another", vec![data(2, 1, 0, &[1]), whole(2, 0)]),
        ("one that goes on as another", vec![data(2, 1, 0, &[1]), data(0, 2, 1, &[1])]),
        ("one that goes on unordered", vec![data(2, 1, 0, &[1]), data(4, 2, 0, &[1])]),
        ("a number left out, behind a gap", vec![whole(2, 5), whole(1, 0)]),
        ("longer than messages are", long),
        ("in more pieces than there may be", many),
    ];
    for (what, chunks) in cases {
        let mut endpoint = bind();
        let forger = Forger::new(&endpoint);
        let (assoc, tag) = forger.up(&mut endpoint, 5000).await;
        let mut over = Vec::new();
        for chunks in chunks.chunks(40) {
            forger.send(5000, tag, &chunks.concat());
            over.extend(events(&mut endpoint).await);
        }
        // What was whole before is handed out.
        over.retain(|event| !matches!(event, Event::Message { .. }));
        assert_eq!(over, [down(assoc, DownReason::Framing)], "{what}");
        assert_eq!(endpoint.statistics().malformed, 1, "{what}");
        assert_eq!(endpoint.fragments.room(network()), 16 << 20);
    }
}

#[tokio::test(start_paused = true)]
async fn fragments_of_one_network_have_a_bound_together() {
    let mut endpoint = bind();
    let forger = Forger::new(&endpoint);
    let mut source = 5000;
    while endpoint.statistics().fragments_dropped == 0 {
        source += 1;
        let (_, tag) = forger.up(&mut endpoint, source).await;
        for tsn in (2..100).step_by(2) {
            forger.send(source, tag, &data(2, tsn, 0, &[1; 1400]));
        }
        assert_eq!(events(&mut endpoint).await, []);
        assert!(source < 5500, "there is a bound");
        forger.receive();
        while forger.receive().is_some() {}
    }
    assert!(source > 5100, "{source}");
    // Whoever sends its messages in order, whole, is served all the same.
    let mut other = bind();
    let (near, far) = connected(&mut other, &mut endpoint).await;
    other.send(near, Ppid::ASAP, &[7; 1000]).unwrap();
    let message = Event::Message { assoc: far, ppid: Ppid::ASAP, octets: vec![7; 1000] };
    assert_eq!(next(&mut [&mut other, &mut endpoint]).await, (1, message));
    drop(other);
    // And their end gives everything back.
    for id in endpoint.table.ids() {
        endpoint.abort(id);
    }
    assert_eq!(endpoint.fragments.room(network()), 16 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_packet_full_of_questions_gets_few_answers() {
    let mut endpoint = bind();
    let forger = Forger::new(&endpoint);
    let (_, tag) = forger.up(&mut endpoint, 5000).await;
    let heartbeat = [4, 0, 0, 8, 0, 1, 0, 4];
    forger.send(5000, tag, &heartbeat.repeat(10 * REPLIES_MAX));
    assert_eq!(events(&mut endpoint).await, []);
    let answers: usize = std::iter::from_fn(|| forger.receive())
        .map(|packet| (packet.len() - HEADER) / heartbeat.len())
        .sum();
    assert_eq!(answers, REPLIES_MAX);
}
