//! How large packets are.

use std::net::UdpSocket;

use super::super::encapsulation::Route;
use super::*;

/// What is before SCTP in a packet of 1500 octets: IPv4, and UDP (RFC 6951 §5.6).
const HEADERS: usize = 20 + 8;

// Checklist 49.
#[tokio::test]
async fn encapsulated_packets_leave_room_for_the_udp_header() {
    let mut sender = bind();
    let tap = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let mut receiver = bind();
    let port = tap.local_addr().unwrap().port();
    tap.set_nonblocking(true).unwrap();
    let to = Remote { encapsulation: Some(port), ..loopback(&receiver) };
    let assoc = sender.connect(&to).unwrap();
    let (mut largest, mut arrived, mut octets) = (0, 0, [0; 65_536]);
    while arrived < 20_000 {
        for event in [&mut sender, &mut receiver].map(poll) {
            match event {
                Some(Event::Up { info, .. }) if info.dialed => {
                    sender.send(assoc, Ppid::ASAP, &[7; 20_000]).unwrap();
                }
                Some(Event::Message { octets, .. }) => arrived += octets.len(),
                _ => {}
            }
        }
        while let Ok((length, from)) = tap.recv_from(&mut octets) {
            largest = largest.max(length);
            // What comes from either side goes to the other, as from the middle.
            let route = |remote| Route { socket: 0, local: None, remote };
            let from_sender = from.port() == sender.local().port;
            let end = if from_sender { &mut receiver } else { &mut sender };
            end.on_datagram(route((Ipv4Addr::LOCALHOST, port).into()), &octets[..length]);
        }
        tokio::task::yield_now().await;
    }
    assert!(largest <= 1500 - HEADERS && largest > 1400, "{largest}");
}

/// What has happened by now.
fn poll(endpoint: &mut UserlandEndpoint) -> Option<Event> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match endpoint.poll_event(&mut context) {
        Poll::Ready(event) => Some(event),
        Poll::Pending => None,
    }
}
