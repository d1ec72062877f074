//! A pool element where there is no tokio: the machine and the codec on one thread, over sockets of
//! the standard library. A model for programs that have an event loop of their own.
//!
//! `cargo run -p rserpool-proto --example embedded -- 127.0.0.1:3863 EchoPool 127.0.0.1:7`
//! says to the registrar there that a server of that pool is at the last address, and stays in it.

#![allow(clippy::disallowed_methods, reason = "whoever drives a machine has a clock, and waits")]

use std::hash::BuildHasher as _;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rserpool_proto::element::{Command, Config, Event, PoolElement};
use rserpool_proto::machine::{Carrier, Input, Link, Machine as _, Output, Peer, Target, read};
use rserpool_proto::time::Time;
use rserpool_wire::Protocol;
use rserpool_wire::param::{PoolHandle, Transport};

/// How long a registrar has to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// An element, the connection to its registrar and what came over it in part, and a clock.
pub(crate) struct Driver {
    machine: PoolElement,
    registrar: SocketAddr,
    connection: Option<(Peer, TcpStream)>,
    received: Vec<u8>,
    origin: Instant,
}

impl Driver {
    /// `seed` decides what is drawn: an identifier, pauses. No two elements may have the same.
    pub(crate) fn new(registrar: SocketAddr, config: Config, seed: u64) -> Self {
        let machine = PoolElement::new(config, seed);
        Self { machine, registrar, connection: None, received: Vec::new(), origin: Instant::now() }
    }

    /// Joins the pool and stays in it until `tell` says that this is enough.
    pub(crate) fn run(
        &mut self,
        mut tell: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.machine.handle(self.now(), Input::Command(Command::Register));
        loop {
            while let Some(output) = self.machine.poll() {
                match output {
                    Output::Event(event) if tell(&event).is_break() => return Ok(()),
                    Output::Connect(peer, target, _) => self.connect(peer, &target),
                    Output::Send(peer, message) => self.send(peer, &message.encode()),
                    Output::SendEncoded(peer, _, octets) => self.send(peer, &octets),
                    Output::Close(peer) | Output::Abort(peer) => {
                        self.connection.take_if(|(of, _)| *of == peer);
                    }
                    // An element sends to one registrar at a time.
                    Output::GroupCast(..) | Output::Announce(_) | Output::Event(_) => {}
                }
            }
            self.wait()?;
        }
    }

    /// The time as the machine has it: since this driver began.
    fn now(&self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }

    fn connect(&mut self, peer: Peer, target: &Target) {
        let connected = match target {
            Target::Configured(0) => TcpStream::connect_timeout(&self.registrar, CONNECT_TIMEOUT),
            // Only the registrar that was given is asked.
            _ => Err(ErrorKind::Unsupported.into()),
        };
        let local = |stream: TcpStream| stream.local_addr().map(|local| (stream, local.ip()));
        let input = match connected.and_then(local) {
            Ok((stream, local)) => {
                self.connection = Some((peer, stream));
                self.received.clear();
                let (remote, port) = (vec![self.registrar.ip()], self.registrar.port());
                let link = Link::new(Protocol::Asap, Carrier::Tcp, remote, port);
                Input::Up(peer, link.local(vec![local]))
            }
            Err(_) => Input::Down(peer),
        };
        self.machine.handle(self.now(), input);
    }

    /// Messages follow each other without more: each says how long it is (RFC 5354 §4).
    fn send(&mut self, peer: Peer, octets: &[u8]) {
        let Some((of, stream)) = &mut self.connection else { return };
        if *of == peer && stream.write_all(octets).is_err() {
            self.lost();
        }
    }

    fn lost(&mut self) {
        if let Some((peer, _)) = self.connection.take() {
            self.machine.handle(self.now(), Input::Down(peer));
        }
    }

    /// Until something comes, or the machine has waited long enough.
    fn wait(&mut self) -> io::Result<()> {
        let due = self.machine.next_timeout().map(|due| due - self.now());
        if let Some((_, stream)) = &mut self.connection {
            // Zero would mean for ever.
            stream.set_read_timeout(due.map(|due| due.max(Duration::from_millis(1))))?;
            let mut octets = [0; 4096];
            match stream.read(&mut octets).map_err(|error| error.kind()) {
                Err(ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
                Ok(0) | Err(_) => self.lost(),
                Ok(count) => self.arrived(&octets[..count]),
            }
        } else {
            std::thread::sleep(due.unwrap_or(CONNECT_TIMEOUT));
        }
        // Does nothing where it is too early.
        self.machine.handle(self.now(), Input::Timeout);
        Ok(())
    }

    fn arrived(&mut self, octets: &[u8]) {
        self.received.extend_from_slice(octets);
        while let (Some((peer, _)), Some(&[_, _, high, low])) =
            (&self.connection, self.received.first_chunk())
        {
            // With what pads it to a multiple of four.
            let length = usize::from(u16::from_be_bytes([high, low])).next_multiple_of(4);
            let Some(message) = self.received.get(..length) else { return };
            let (input, report) = read(*peer, Protocol::Asap, message);
            let now = self.now();
            [Some(input), report].into_iter().flatten().for_each(|it| self.machine.handle(now, it));
            self.received.drain(..length.max(4));
        }
    }
}

#[allow(dead_code, reason = "a test drives the same")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [registrar, handle, server] = &arguments[..] else {
        return Err("usage: embedded REGISTRAR POOL SERVER".into());
    };
    let handle = PoolHandle::new(handle.as_bytes()).ok_or("a handle has at least one octet")?;
    let config = Config::new(handle, Transport::tcp(server.parse()?));
    let seed = std::hash::RandomState::new().hash_one(0);
    Ok(Driver::new(registrar.parse()?, config, seed).run(|event| {
        println!("{event:?}");
        ControlFlow::Continue(())
    })?)
}
