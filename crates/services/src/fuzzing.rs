//! What must hold for whatever a client sends to a service, or a server to a client, as a function
//! that panics where it does not: the body of the fuzz target, and of a test that runs its corpus.

use crate::{calcapp, download, exec, fractal, pingpong};

/// Octets are read as a packet of every service, on both sides; what was read is written as it was.
///
/// # Panics
///
/// Where it is not.
pub fn service_packets(octets: &[u8]) {
    if let Ok(packet) = pingpong::packet::Packet::decode(octets) {
        let again = pingpong::packet::Packet::decode(&packet.encode());
        assert_eq!(again.as_ref(), Ok(&packet));
    }
    if let Ok(packet) = download::packet::Packet::decode(octets) {
        let again = download::packet::Packet::decode(&packet.encode());
        assert_eq!(again.as_ref(), Ok(&packet));
    }
    if let Ok(packet) = exec::packet::Packet::decode(octets) {
        let again = exec::packet::Packet::decode(&packet.encode());
        assert_eq!(again.as_ref(), Ok(&packet));
    }
    let _ = calcapp::packet::Packet::decode(octets);
    let _ = fractal::packet::Parameter::decode(octets);
    let _ = fractal::packet::Data::decode(octets);
    let _ = pingpong::packet::next_reply(octets);
    download::receiver::Receiver::new("f".into()).receive(octets);
    let mut server = exec::job::Server::new(1000);
    server.receive(octets);
    let (mut client, _) = exec::job::Client::new(1, "job", b"input", 1000);
    client.receive(octets);
    while client.poll().is_some() {}
}
