//! Peers that close first, as other stacks do.

use std::collections::HashSet;

use rserpool_sctp::chunk::kind as chunk;
use rserpool_sctp::packet::HEADER;

use super::super::fuzzing::{half, word};
use super::forger::Forger;
use super::*;

/// The DATA chunks of a packet: TSN and octets of the message.
fn data_of(packet: &[u8]) -> Vec<(u32, usize)> {
    let mut found = Vec::new();
    let mut at = HEADER;
    while at + 4 <= packet.len() {
        let length = usize::from(half(packet, at + 2));
        if packet[at] == chunk::DATA {
            found.push((word(packet, at + 4), length - 16));
        }
        at += length.next_multiple_of(4);
    }
    found
}

/// RFC 9260 §9.2: in SHUTDOWN-SENT a peer acknowledges DATA with SHUTDOWN, and need not send a SACK
/// beside it.
async fn close_first(queued: usize, wait: bool) {
    let mut endpoint = bind();
    let forger = Forger::new(&endpoint);
    let (assoc, tag) = forger.up(&mut endpoint, 5000).await;
    for _ in 0..queued {
        endpoint.send(assoc, Ppid::ASAP, &[7; 30_000]).unwrap();
    }
    if wait {
        settle(&mut endpoint).await;
    }
    let mut arrived = HashSet::new();
    let (mut octets, mut cumulative) = (0, None);
    let shutdown = |cumulative: u32| {
        let mut chunk = vec![chunk::SHUTDOWN, 0, 0, 8];
        chunk.extend_from_slice(&cumulative.to_be_bytes());
        chunk
    };
    // Before the first: nothing has arrived yet.
    forger.send(5000, tag, &shutdown(forger.first_tsn.get().wrapping_sub(1)));
    let end = loop {
        let event = poll_fn(|cx| Poll::Ready(endpoint.poll_event(cx))).await;
        match event {
            Poll::Ready(event) if is_congestion(&event) => continue,
            Poll::Ready(event) => break event,
            Poll::Pending => {}
        }
        let Some(packet) = forger.receive() else {
            tokio::time::advance(std::time::Duration::from_millis(10)).await;
            continue;
        };
        for (tsn, length) in data_of(&packet) {
            assert!(arrived.insert(tsn), "{tsn} came twice");
            octets += length;
            cumulative = Some(tsn);
            forger.send(5000, tag, &shutdown(tsn));
        }
        if packet[HEADER] == chunk::SHUTDOWN_ACK {
            assert_eq!(octets, queued * 30_000, "SHUTDOWN ACK before all is delivered");
            forger.send(5000, tag, &[chunk::SHUTDOWN_COMPLETE, 0, 0, 4]);
        }
    };
    assert_eq!(end, down(assoc, DownReason::Closed), "{queued} {cumulative:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_arrives_once_though_the_peer_acknowledges_with_shutdown_alone() {
    for queued in [0, 1, 2, 10] {
        close_first(queued, false).await;
        close_first(queued, true).await;
    }
}
