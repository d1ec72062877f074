//! Messages there and back over UDP (RFC 6951), with several addresses on each side: cut a network and
//! see how long it takes.
//!
//! ```sh
//! cargo run --example paths -- server 127.0.0.1,127.0.1.1
//! cargo run --example paths -- client 127.0.0.2,127.0.1.2 127.0.0.1,127.0.1.1 8000
//! cargo run --example paths -- client 127.0.0.2 127.0.0.1 8000 add 127.0.1.2 2000
//! ```
//!
//! The client sends 500 octets each 20 ms for so many milliseconds, and says how long the longest
//! pause between two answers was, in milliseconds. It adds or deletes an own address after so many milliseconds. The
//! SCTP port is 7 and the UDP port 9899 on both sides. One thread reads each socket; the main one
//! drives the machine.

#![expect(clippy::disallowed_methods, reason = "this is where the clock is")]

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rserpool_sctp::{AssociationId, Command, Config, Endpoint, Event, Input, Message, Output, Way};

/// The SCTP port, and that of the encapsulation.
const PORTS: [u16; 2] = [7, 9899];
/// How often a message is sent, and its octets.
const EVERY: Duration = Duration::from_millis(20);
const OCTETS: usize = 500;

struct Driver {
    endpoint: Endpoint,
    sockets: HashMap<IpAddr, UdpSocket>,
    arrivals: Receiver<(Way, Vec<u8>)>,
    readers: Sender<(Way, Vec<u8>)>,
    begin: Instant,
    echoes: bool,
    id: Option<AssociationId>,
    is_over: bool,
    answers: u32,
    last: Option<Duration>,
    longest: (Duration, Duration),
}

impl Driver {
    fn new(own: &[IpAddr], echoes: bool) -> Result<Self, Box<dyn Error>> {
        let config = Config {
            rto_initial: Duration::from_millis(250),
            rto_min: Duration::from_millis(100),
            rto_max: Duration::from_secs(1),
            heartbeat_interval: Duration::from_millis(500),
            path_retransmits_max: 2,
            ..Config::default()
        };
        let mut seed = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut seed)?;
        let mut endpoint = Endpoint::new(config, PORTS[0], own.to_vec(), seed);
        endpoint.listen(echoes);
        let (readers, arrivals) = channel();
        let mut driver = Self {
            endpoint,
            sockets: HashMap::new(),
            arrivals,
            readers,
            begin: Instant::now(),
            echoes,
            id: None,
            is_over: false,
            answers: 0,
            last: None,
            longest: (Duration::ZERO, Duration::ZERO),
        };
        own.iter().try_for_each(|ip| driver.open(*ip))?;
        Ok(driver)
    }

    /// Opens a socket at an own address, and reads it.
    fn open(&mut self, ip: IpAddr) -> Result<(), Box<dyn Error>> {
        let socket = UdpSocket::bind((ip, PORTS[1]))?;
        let reader = socket.try_clone()?;
        let arrivals = self.readers.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                // What ICMP says of a packet before is no reason to stop.
                let Ok((length, remote)) = reader.recv_from(&mut buffer) else { continue };
                let octets = buffer.get(..length).unwrap_or_default().to_vec();
                if arrivals.send((Way { local: Some(ip), remote }, octets)).is_err() {
                    return;
                }
            }
        });
        self.sockets.insert(ip, socket);
        Ok(())
    }

    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Reads and writes until then.
    fn run(&mut self, until: Duration) {
        self.drain();
        while self.now() < until && !self.is_over {
            let next = self.endpoint.next_timeout().map_or(until, |next| next.min(until));
            let wait = next.saturating_sub(self.now());
            if let Ok((way, octets)) = self.arrivals.recv_timeout(wait) {
                self.endpoint.handle(self.now(), Input::Packet { way, octets: &octets });
            }
            if self.endpoint.next_timeout().is_some_and(|next| next <= self.now()) {
                self.endpoint.handle(self.now(), Input::Timeout);
            }
            self.drain();
        }
    }

    fn drain(&mut self) {
        let mut packet = Vec::new();
        while let Some(output) = self.endpoint.poll(&mut packet) {
            match output {
                Output::Packet(way) => {
                    let socket = way.local.and_then(|local| self.sockets.get(&local));
                    if let Some(socket) = socket.or_else(|| self.sockets.values().next()) {
                        // What cannot leave is lost, as in any network.
                        let _ = socket.send_to(&packet, way.remote);
                    }
                }
                Output::Event(id, event) => self.on_event(id, event),
            }
        }
    }

    fn on_event(&mut self, id: AssociationId, event: Event) {
        let now = self.now();
        match event {
            Event::Message(message) if self.echoes => {
                if let Err(error) = self.endpoint.send(now, id, message) {
                    println!("{:9.1} ms: {error}", now.as_secs_f64() * 1e3);
                }
            }
            Event::Message(_) => {
                self.answers += 1;
                let pause = self.last.map_or(Duration::ZERO, |last| now - last);
                self.last = Some(now);
                self.longest = self.longest.max((pause, now));
            }
            other => {
                match other {
                    Event::Up(_) => self.id = Some(id),
                    Event::Down(_) => self.is_over = !self.echoes,
                    _ => {}
                }
                println!("{:9.1} ms: {other:?}", now.as_secs_f64() * 1e3);
            }
        }
    }

    fn command(&mut self, id: AssociationId, command: Command) {
        self.endpoint.handle(self.now(), Input::Command(id, command));
    }
}

fn addresses(list: Option<&String>) -> Result<Vec<IpAddr>, Box<dyn Error>> {
    let list = list.ok_or("addresses, with commas between them")?;
    Ok(list.split(',').map(str::parse).collect::<Result<_, _>>()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let own = addresses(arguments.get(1))?;
    let is_server = arguments.first().is_some_and(|first| first == "server");
    let mut driver = Driver::new(&own, is_server)?;
    if is_server {
        let time = arguments.get(2).map_or(Ok(u64::MAX / 2), |time| time.parse())?;
        driver.run(Duration::from_millis(time));
        return Ok(());
    }
    let remotes: Vec<SocketAddr> =
        addresses(arguments.get(2))?.into_iter().map(|ip| (ip, PORTS[1]).into()).collect();
    let time = Duration::from_millis(arguments.get(3).map_or(Ok(8000), |time| time.parse())?);
    driver.endpoint.connect(driver.now(), &remotes, PORTS[0])?;
    while driver.id.is_none() && !driver.is_over {
        driver.run(driver.now() + EVERY);
    }
    let Some(id) = driver.id else { return Err("not up".into()) };
    let change = match arguments.get(4..7) {
        Some([what, ip, at]) => Some((what == "add", ip.parse()?, at.parse()?)),
        _ => None,
    };
    client(&mut driver, id, time, change)
}

/// Sends, changes an address when its time has come, and says what became of it.
fn client(
    driver: &mut Driver,
    id: AssociationId,
    time: Duration,
    mut change: Option<(bool, IpAddr, u64)>,
) -> Result<(), Box<dyn Error>> {
    let begin = driver.now();
    let mut sent = 0;
    while driver.now() < begin + time && !driver.is_over {
        let octets = vec![7; OCTETS].into();
        let message = Message { stream: 0, ppid: 0, unordered: false, octets };
        driver.endpoint.send(driver.now(), id, message)?;
        sent += 1;
        driver.run(begin + EVERY * sent);
        let due = |at: u64| begin + Duration::from_millis(at) <= driver.now();
        if let Some((adds, ip, _)) = change.take_if(|(_, _, at)| due(*at)) {
            if adds {
                driver.open(ip)?;
            }
            let command = if adds { Command::AddAddress(ip) } else { Command::DeleteAddress(ip) };
            driver.command(id, command);
        }
    }
    let patience = driver.now() + Duration::from_secs(10);
    while driver.answers < sent && driver.now() < patience && !driver.is_over {
        driver.run(driver.now() + EVERY);
    }
    driver.command(id, Command::Shutdown);
    driver.run(driver.now() + Duration::from_secs(1));
    let (pause, at) = driver.longest;
    println!("{:?}", driver.endpoint.statistics());
    println!("the longest pause ended at {at:?}");
    let pause = pause.as_secs_f64() * 1e3;
    println!("sent {sent} answered {} longest {pause:.1}", driver.answers);
    Ok(())
}
