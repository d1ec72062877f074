//! Packets that were valid once: nothing in them may make the machine panic or the endpoint loop.

use std::net::UdpSocket;

use proptest::prelude::*;
use rserpool_sctp::crc::seal;
use rserpool_sctp::packet::HEADER;

use super::super::encapsulation::Route;
use super::*;

/// What becomes of a packet on its way.
#[derive(Clone, Debug)]
enum Change {
    /// As it is, perhaps for the second time.
    Repeat,
    /// Octets are overwritten.
    Overwrite(Vec<(prop::sample::Index, u8)>),
    /// The end is missing.
    Cut(prop::sample::Index),
    /// The chunks of another packet follow.
    Append(prop::sample::Index),
    /// A chunk of any kind follows.
    Invent(u8, u8, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        1 => Just(Change::Repeat),
        4 => prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..6)
            .prop_map(Change::Overwrite),
        1 => any::<prop::sample::Index>().prop_map(Change::Cut),
        2 => any::<prop::sample::Index>().prop_map(Change::Append),
        2 => (prop_oneof![0_u8..16, any::<u8>()], any::<u8>(), prop::collection::vec(any::<u8>(), 0..64))
            .prop_map(|(kind, flags, value)| Change::Invent(kind, flags, value)),
    ]
}

/// Applies a change behind the common header, so that the packet still reaches its association.
fn apply(packet: &[u8], change: &Change, others: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = packet.to_vec();
    match change {
        Change::Repeat => {}
        Change::Overwrite(places) => {
            for (at, value) in places {
                let at = HEADER + at.index(octets.len() - HEADER);
                octets[at] = *value;
            }
        }
        Change::Cut(at) => octets.truncate(HEADER + at.index(octets.len() - HEADER)),
        Change::Append(which) => octets.extend_from_slice(&which.get(others)[HEADER..]),
        Change::Invent(kind, flags, value) => {
            let length = u16::try_from(value.len() + 4).unwrap().to_be_bytes();
            octets.extend_from_slice(&[*kind, *flags, length[0], length[1]]);
            octets.extend_from_slice(value);
            octets.resize(octets.len().next_multiple_of(4), 0);
        }
    }
    seal(&mut octets);
    octets
}

/// Reads what the endpoint under test wrote, and forwards it to its peer.
fn forward(tap: &UdpSocket, peer: &mut UserlandEndpoint, from: u16) -> bool {
    let mut octets = [0; 2000];
    let mut any = false;
    while let Ok(length) = tap.recv(&mut octets) {
        let remote = (Ipv4Addr::LOCALHOST, from).into();
        peer.on_datagram(Route { socket: 0, local: None, remote }, &octets[..length]);
        any = true;
    }
    any
}

/// A conversation through the hands of a man in the middle, who changes what `victim` gets. Returns
/// how many messages came to each side.
async fn conversation(changes: &[(prop::sample::Index, Change)]) -> [usize; 2] {
    let (mut victim, mut peer) = (bind(), bind());
    let middle = [(); 2].map(|()| UdpSocket::bind(("127.0.0.1", 0)).unwrap());
    for tap in &middle {
        tap.set_nonblocking(true).unwrap();
    }
    let ports = [&middle[0], &middle[1]].map(|tap| tap.local_addr().unwrap().port());
    // Packets to either side appear to come from the middle, and answers go there.
    let to = Remote { encapsulation: Some(ports[0]), ..loopback(&victim) };
    let assoc = peer.connect(&to).unwrap();
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let mut changes = changes.iter().cycle();
    let mut octets = [0; 2000];
    let mut messages = [0; 2];
    for round in 0..24_u8 {
        let _ = peer.send(assoc, Ppid::ASAP, &[round; 3000]);
        for event in drain(&mut peer).await {
            messages[0] += usize::from(matches!(event, Event::Message { .. }));
        }
        for event in drain(&mut victim).await {
            if let Event::Message { assoc, .. } = event {
                messages[1] += 1;
                let _ = victim.send(assoc, Ppid::ENRP, &[round; 2500]);
            }
        }
        if round == 20 {
            peer.close(assoc);
        }
        let route = |port: u16| Route {
            socket: 0,
            local: None,
            remote: (Ipv4Addr::LOCALHOST, port).into(),
        };
        while let Ok(length) = middle[0].recv(&mut octets) {
            let packet = octets[..length].to_vec();
            seen.push(packet.clone());
            // The genuine packet comes last, so that the conversation goes on if it still can.
            for (which, change) in changes.by_ref().take(2) {
                let changed = apply(&seen[which.index(seen.len())], change, &seen);
                victim.on_datagram(route(ports[1]), &changed);
            }
            victim.on_datagram(route(ports[1]), &packet);
        }
        forward(&middle[1], &mut peer, ports[0]);
    }
    assert!(victim.engine.is_consistent(), "sums and bounds");
    // Whatever became of it, the endpoint serves others.
    let mut other = bind();
    victim.flush();
    victim.events.clear();
    connected(&mut other, &mut victim).await;
    messages
}

/// Everything that happens now.
async fn drain(endpoint: &mut UserlandEndpoint) -> Vec<Event> {
    let mut events = Vec::new();
    while let Poll::Ready(event) = poll_fn(|cx| Poll::Ready(endpoint.poll_event(cx))).await {
        events.push(event);
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn no_changed_packet_breaks_the_endpoint(
        changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(conversation(&changes));
    }
}

#[tokio::test(start_paused = true)]
async fn without_changes_the_conversation_is_whole() {
    let messages = conversation(&[]).await;
    assert!(messages.iter().all(|count| *count > 15), "{messages:?}");
}
