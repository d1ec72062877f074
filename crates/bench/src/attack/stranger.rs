//! Someone who dials over TCP and says what they like.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rserpool::wire::{Message, Protocol};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::Sent;

/// Where somebody dials from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Host {
    /// 127.0.0.1.
    Honest,
    /// 127.0.0.2.
    Hostile,
}

impl Host {
    pub(super) fn address(self) -> IpAddr {
        match self {
            Self::Honest => Ipv4Addr::LOCALHOST.into(),
            Self::Hostile => Ipv4Addr::new(127, 0, 0, 2).into(),
        }
    }
}

/// A connection.
pub(super) struct Stranger {
    stream: TcpStream,
}

/// How long honest ones wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long a stranger waits before it dials anew.
const REDIAL: Duration = Duration::from_millis(5);
/// How much is written at once.
const CHUNK: usize = 256 << 10;

impl Stranger {
    pub(super) async fn dial(from: Host, to: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from.address(), 0).into())?;
        let stream = timeout(ANSWER_MAX, socket.connect(to)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Says one thing.
    pub(super) async fn say(&mut self, message: impl Into<Message>) -> io::Result<()> {
        self.stream.write_all(&message.into().encode()).await
    }

    pub(super) async fn say_octets(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets).await
    }

    /// Says what fits into the way now, and does not wait.
    pub(super) fn try_say(&self, octets: &[u8]) -> io::Result<usize> {
        self.stream.try_write(octets)
    }

    /// The next message of ASAP.
    pub(super) async fn hear(&mut self) -> anyhow::Result<Message> {
        let hear = async {
            let mut header = [0; 4];
            self.stream.read_exact(&mut header).await?;
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            if length < header.len() {
                bail!("a message of {length} octets");
            }
            let mut octets = header.to_vec();
            octets.resize(length.next_multiple_of(4), 0);
            self.stream.read_exact(&mut octets[4..]).await?;
            octets.truncate(length);
            Ok(Message::decode(Protocol::Asap, &octets)?.message)
        };
        timeout(ANSWER_MAX, hear).await.context("no answer")?
    }

    /// Reads on and looks at nothing, until the other end has enough.
    async fn ignore(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
        let mut buffer = vec![0; CHUNK];
        while let Ok(1..) = stream.read(&mut buffer).await {}
    }

    /// Says the same kind of thing again and again, after a greeting, and reads what comes; dials
    /// anew when the other end has enough. `octets` is told how many were made before.
    pub(super) async fn flood(
        from: Host,
        to: SocketAddr,
        greeting: &[u8],
        sent: &Sent,
        mut octets: impl FnMut(u64) -> Vec<u8>,
    ) -> anyhow::Result<()> {
        let mut made = 0;
        loop {
            if let Ok(mut stranger) = Self::dial(from, to).await {
                let (mut read, mut write) = stranger.stream.split();
                let speak = async {
                    write.write_all(greeting).await?;
                    loop {
                        let (mut chunk, first) = (Vec::new(), made);
                        while chunk.len() < CHUNK {
                            chunk.extend(octets(made));
                            made += 1;
                        }
                        write.write_all(&chunk).await?;
                        sent.add(made - first);
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    // The other end has enough: that is what it is for.
                    _ended = async { let ended: io::Result<()> = speak.await; ended } => {}
                    () = Self::ignore(&mut read) => {}
                }
            }
            sleep(REDIAL).await;
        }
    }

    /// As many connections as these, each of which says this and is kept, whatever comes.
    pub(super) async fn crowd(
        from: Host,
        to: SocketAddr,
        count: usize,
        sent: &Sent,
        octets: impl Fn(usize) -> Vec<u8>,
    ) -> Vec<Self> {
        let mut crowd = Vec::new();
        for number in 0..count {
            if let Ok(stranger) = Self::dial(from, to).await {
                // What does not fit need not go.
                let _ = stranger.try_say(&octets(number));
                crowd.push(stranger);
                sent.add(1);
            }
        }
        crowd
    }
}
