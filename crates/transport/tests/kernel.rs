//! What only SCTP of the kernel can do. Where the kernel has none, each test says so and ends:
//! `cargo xtask uml-test` runs them on a kernel that has it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::task::Poll;
use std::time::Duration;

use rserpool_transport::userland::UserlandEndpoint;
use rserpool_transport::{
    Address, AssocId, AssocInfo, DownReason, Endpoint, Error, Event, KernelEndpoint, Options, Ppid,
    Remote, Rto, Scheme, SendError, kernel_sctp_available,
};
use tokio::time::timeout;

/// Nothing here takes that long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

// Checklist 38.
#[tokio::test]
async fn odd_ppids_are_kept() {
    if skips() {
        return;
    }
    let (mut server, mut client) = (bind("127.0.0.1"), bind("127.0.0.1"));
    let (there, here) = associate(&mut client, &mut server).await;
    for ppid in [0, 11, 0x0b00_0000, 0xfedc_ba98, u32::MAX].map(Ppid) {
        client.send(there, ppid, b"ping").unwrap();
        assert_eq!(next(&mut server).await, message(here, ppid, b"ping"));
    }
}

// Checklist 42.
#[tokio::test]
async fn an_association_has_all_addresses_of_both_sides() {
    if skips() {
        return;
    }
    let mut server = bind("127.0.0.1,[::1],127.0.0.2");
    let mut client = bind("127.0.0.3,[::1]");
    let there = client.connect(&remote(&server)).unwrap();
    let (assoc, near) = up(&mut client).await;
    assert_eq!((assoc, near.dialed, near.local_port), (there, true, client.local().port));
    let (_, far) = up(&mut server).await;
    assert_eq!((far.dialed, far.local_port), (false, server.local().port));
    for (info, own, peer) in [(&near, &client, &server), (&far, &server, &client)] {
        assert_eq!(set(&info.local), set(&own.local().addresses));
        assert_eq!(set(&info.remote), set(&peer.local().addresses));
        assert_eq!(info.remote_port, peer.local().port);
    }
}

#[tokio::test]
async fn reaches_a_peer_whose_first_address_is_dead() {
    if skips() || elsewhere() {
        return;
    }
    let (mut server, mut client) = (bind("127.0.0.1,127.0.0.2"), bind("127.0.0.3"));
    // Nobody is there, and nobody says so.
    let _hole = Hole::at("127.9.0.1");
    let mut to = remote(&server);
    to.addresses.insert(0, "127.9.0.1".parse().unwrap());
    let there = client.connect(&to).unwrap();
    let (assoc, info) = up(&mut client).await;
    assert_eq!((assoc, set(&info.remote)), (there, set(&server.local().addresses)));
    up(&mut server).await;
}

#[tokio::test]
async fn a_dead_path_is_told_and_nothing_is_lost() {
    if skips() || elsewhere() {
        return;
    }
    let (mut server, mut client) = (impatient("127.9.1.1,127.9.1.2"), impatient("127.9.1.3"));
    let (there, here) = associate(&mut client, &mut server).await;
    let dead: IpAddr = "127.9.1.1".parse().unwrap();
    let path = |reachable| Event::Path { assoc: there, address: dead, reachable };

    let hole = Hole::at("127.9.1.1");
    client.send(there, Ppid::ASAP, b"over the other path").unwrap();
    assert_eq!(next(&mut server).await, message(here, Ppid::ASAP, b"over the other path"));
    assert_eq!(next(&mut client).await, path(false));
    drop(hole);
    assert_eq!(next(&mut client).await, path(true));
}

#[tokio::test]
async fn a_silent_peer_is_given_up() {
    if skips() || elsewhere() {
        return;
    }
    let (mut server, mut client) = (impatient("127.9.2.1"), impatient("127.9.2.2"));
    let (there, here) = associate(&mut client, &mut server).await;
    let _holes = [Hole::at("127.9.2.1"), Hole::at("127.9.2.2")];
    assert_eq!(next(&mut client).await, down(there, DownReason::Timeout));
    assert_eq!(next(&mut server).await, down(here, DownReason::Timeout));
}

#[tokio::test]
async fn a_restart_of_the_peer_is_an_end_and_a_beginning() {
    if skips() || elsewhere() {
        return;
    }
    let (mut server, mut client) = (bind("127.9.3.1"), bind("127.9.3.2"));
    let (there, here) = associate(&mut client, &mut server).await;
    {
        // The server does not hear of it.
        let _hole = Hole::at("127.9.3.1");
        client.abort(there);
    }
    let again = client.connect(&remote(&server)).unwrap();
    assert_eq!(up(&mut client).await.0, again);
    assert_eq!(next(&mut server).await, down(here, DownReason::Restarted));
    let (assoc, info) = up(&mut server).await;
    assert_ne!(assoc, here);
    assert!(!info.dialed);
    assert_eq!(server.send(here, Ppid::ASAP, b"to the old"), Err(SendError::Gone));
    server.send(assoc, Ppid::ASAP, b"to the new").unwrap();
    assert_eq!(next(&mut client).await, message(again, Ppid::ASAP, b"to the new"));
}

/// The process that [`a_killed_process_is_noticed`] kills; alone it does nothing.
#[tokio::test]
async fn victim() {
    let Ok(server) = std::env::var("VICTIM_OF") else { return };
    let server: Address = server.parse().unwrap();
    let mut client = bind("127.0.0.1");
    let there = client.connect(&server.resolve().await.unwrap()).unwrap();
    assert_eq!(up(&mut client).await.0, there);
    client.send(there, Ppid::ASAP, b"alive").unwrap();
    next(&mut client).await;
}

#[tokio::test]
async fn a_killed_process_is_noticed() {
    if skips() {
        return;
    }
    let mut server = bind("127.0.0.1");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim"])
        .env("VICTIM_OF", server.local().url.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (here, _) = up(&mut server).await;
    assert_eq!(next(&mut server).await, message(here, Ppid::ASAP, b"alive"));
    victim.kill().unwrap();
    // Its kernel closes for it, long before any heartbeat.
    assert_eq!(next(&mut server).await, down(here, DownReason::Closed));
    victim.wait().unwrap();
}

#[tokio::test]
async fn addresses_come_and_go() {
    if skips() {
        return;
    }
    let addip = std::fs::read_to_string("/proc/sys/net/sctp/addip_enable").unwrap();
    if addip.trim() == "0" {
        return say("SKIPPED, addresses cannot change: sysctl -w net.sctp.addip_enable=1");
    }
    let (mut server, mut client) = (bind("127.0.0.1"), bind("127.0.0.1"));
    let (there, here) = associate(&mut client, &mut server).await;
    let (one, two): (IpAddr, IpAddr) = ("127.0.0.1".parse().unwrap(), "127.0.0.4".parse().unwrap());

    server.add_address(two).unwrap();
    assert_eq!(server.local().addresses, [one, two]);
    let Event::Addresses { assoc, remote, local } = next(&mut client).await else {
        panic!("not told")
    };
    assert_eq!(local, [one]);
    assert_eq!((assoc, set(&remote)), (there, set(&[one, two])));

    server.remove_address(one).unwrap();
    assert_eq!(server.local().addresses, [two]);
    let told = Event::Addresses { assoc: there, remote: vec![two], local: vec![one] };
    assert_eq!(next(&mut client).await, told);

    client.send(there, Ppid::ASAP, b"to the new address").unwrap();
    assert_eq!(next(&mut server).await, message(here, Ppid::ASAP, b"to the new address"));
    assert!(matches!(server.remove_address(two), Err(Error::System { .. })), "it is the last");
    assert!(matches!(server.add_address("192.0.2.1".parse().unwrap()), Err(Error::System { .. })));
    assert_eq!(server.local().addresses, [two]);
}

#[tokio::test]
async fn one_socket_carries_1000_associations() {
    const CLIENTS: usize = 1000;
    if skips() {
        return;
    }
    let limit = rustix::process::Rlimit { current: Some(4096), maximum: Some(4096) };
    if rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).is_err() {
        return say("SKIPPED, too few descriptors: ulimit -n 4096");
    }
    let mut server = bind("127.0.0.1");
    let to = remote(&server);
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = bind("127.0.0.1");
        let there = client.connect(&to).unwrap();
        let (here, _) = up(&mut server).await;
        assert_eq!(up(&mut client).await.0, there);
        clients.push((client, there, here, u32::try_from(number).unwrap()));
    }
    for (_, _, here, number) in &clients {
        server.send(*here, Ppid(*number), &number.to_be_bytes()).unwrap();
    }
    for (client, there, _, number) in &mut clients {
        let expected = message(*there, Ppid(*number), &number.to_be_bytes());
        assert_eq!(next(client).await, expected);
        client.send(*there, Ppid(*number), b"and back").unwrap();
    }
    let mut left: HashSet<(AssocId, Ppid)> =
        clients.iter().map(|(_, _, here, number)| (*here, Ppid(*number))).collect();
    while !left.is_empty() {
        let Event::Message { assoc, ppid, .. } = next(&mut server).await else { panic!("lost") };
        assert!(left.remove(&(assoc, ppid)));
    }
}

#[tokio::test]
async fn long_messages_come_whole_or_not_at_all() {
    if skips() {
        return;
    }
    let long = Options { message_max: 1 << 20, ..Options::default() };
    let (mut server, mut client) = (bind("127.0.0.1"), bind_with("127.0.0.1", &long));
    let (there, here) = associate(&mut client, &mut server).await;
    assert_eq!(server.send(here, Ppid::ASAP, &vec![0; 65_537]), Err(SendError::TooLong));
    // The client may send what the server does not take; the next message arrives.
    for len in [65_536, 65_537, 100_000, 300_000, 65_536] {
        client.send(there, Ppid::ASAP, &numbered(len)).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(
            next_of(&mut [&mut server, &mut client]).await,
            (0, message(here, Ppid::ASAP, &numbered(65_536)))
        );
    }
    assert_eq!(server.counters().malformed, 3);

    let mut server = bind_with("127.0.0.1", &long);
    let (there, here) = associate(&mut client, &mut server).await;
    for len in [400_000, 300_000, 16 << 10, (16 << 10) + 1, 1] {
        client.send(there, Ppid::ENRP, &numbered(len)).unwrap();
        let arrived = next_of(&mut [&mut server, &mut client]).await;
        assert_eq!(arrived, (0, message(here, Ppid::ENRP, &numbered(len))));
    }
}

#[tokio::test]
async fn pieces_of_two_long_messages_do_not_mix() {
    const ROUNDS: usize = 20;
    if skips() {
        return;
    }
    let long = Options { message_max: 1 << 20, ..Options::default() };
    let [mut server, mut one, mut two] = [(); 3].map(|()| bind_with("127.0.0.1", &long));
    let (there_one, here_one) = associate(&mut one, &mut server).await;
    let (there_two, here_two) = associate(&mut two, &mut server).await;
    for round in 0..ROUNDS {
        one.send(there_one, Ppid(1), &vec![1; 200_000 + round]).unwrap();
        two.send(there_two, Ppid(2), &vec![2; 200_000 + round]).unwrap();
    }
    let mut arrived = [0; 2];
    while arrived != [ROUNDS; 2] {
        let event = next_of(&mut [&mut server, &mut one, &mut two]).await;
        let (0, Event::Message { assoc, ppid, octets }) = event else { panic!("{event:?}") };
        let (who, fill) = if assoc == here_one { (0, 1) } else { (1, 2) };
        assert!(assoc == here_one || assoc == here_two);
        assert_eq!(ppid, Ppid(fill.into()));
        assert_eq!(octets.len(), 200_000 + arrived[who]);
        assert!(octets.iter().all(|octet| *octet == fill));
        arrived[who] += 1;
    }
}

#[tokio::test]
async fn a_slow_peer_does_not_hold_up_another() {
    if skips() {
        return;
    }
    let small = Options { send_queue_max: 1 << 20, ..Options::default() };
    let mut server = bind_with("127.0.0.1", &small);
    let (mut slow, mut quick) = (bind("127.0.0.1"), bind("127.0.0.1"));
    let (there_slow, here_slow) = associate(&mut slow, &mut server).await;
    let (there_quick, here_quick) = associate(&mut quick, &mut server).await;
    // The slow one reads nothing.
    let mut sent = 0;
    let mut full = 0;
    while full < 100 {
        match server.send(here_slow, Ppid::ASAP, &numbered(10_000)) {
            Ok(()) => (sent, full) = (sent + 1, 0),
            Err(error) => {
                assert_eq!(error, SendError::Full);
                full += 1;
                assert_eq!(idle(&mut server).await, None);
            }
        }
    }
    for _ in 0..100 {
        server.send(here_quick, Ppid::ASAP, &numbered(10_000)).unwrap();
        let (at, event) = next_of(&mut [&mut quick, &mut server]).await;
        assert_eq!((at, event), (0, message(there_quick, Ppid::ASAP, &numbered(10_000))));
    }
    for _ in 0..sent {
        let (at, event) = next_of(&mut [&mut slow, &mut server]).await;
        assert_eq!((at, event), (0, message(there_slow, Ppid::ASAP, &numbered(10_000))));
    }
}

#[tokio::test]
async fn what_a_short_association_said_is_heard_after_its_end() {
    if skips() {
        return;
    }
    let (mut server, mut client) = (bind("127.0.0.1"), bind("127.0.0.1"));
    let there = client.connect(&remote(&server)).unwrap();
    assert_eq!(up(&mut client).await.0, there);
    client.send(there, Ppid::ASAP, b"in short").unwrap();
    client.close(there);
    assert_eq!(next(&mut client).await, down(there, DownReason::Closed));

    let (here, info) = up(&mut server).await;
    assert_eq!((&info.remote, info.remote_port), (&client.local().addresses, client.local().port));
    assert_eq!(next(&mut server).await, message(here, Ppid::ASAP, b"in short"));
    assert_eq!(next(&mut server).await, down(here, DownReason::Closed));
}

#[tokio::test]
async fn a_dial_that_crosses_the_peers_becomes_the_same_association() {
    if skips() {
        return;
    }
    let (mut one, mut two) = (bind("127.0.0.1"), bind("127.0.0.1"));
    let there = one.connect(&remote(&two)).unwrap();
    assert_eq!(up(&mut one).await.0, there);
    // The other has not read that it is up.
    let here = two.connect(&remote(&one)).unwrap();
    let (assoc, info) = up(&mut two).await;
    assert_eq!((assoc, info.dialed), (here, true));
    assert!(matches!(two.connect(&remote(&one)), Err(Error::Connected(assoc)) if assoc == here));
    one.send(there, Ppid::ASAP, b"one association").unwrap();
    assert_eq!(next(&mut two).await, message(here, Ppid::ASAP, b"one association"));
    assert_eq!(idle(&mut one).await, None);
}

#[tokio::test]
async fn a_dial_waits_for_the_end_of_the_old_association() {
    if skips() {
        return;
    }
    let (mut server, mut client) = (bind("127.0.0.1"), bind("127.0.0.1"));
    for ends in ["closed", "aborted"] {
        let (there, _) = associate(&mut client, &mut server).await;
        if ends == "closed" {
            client.close(there);
        } else {
            client.abort(there);
        }
        let again = client.connect(&remote(&server)).unwrap();
        if ends == "closed" {
            assert_eq!(next(&mut client).await, down(there, DownReason::Closed));
        }
        assert_eq!(up(&mut client).await.0, again);
        client.abort(again);
        for expected in ["down", "up", "down"] {
            let came = match next(&mut server).await {
                Event::Up { .. } => "up",
                Event::Down { .. } => "down",
                other => panic!("{other:?}"),
            };
            assert_eq!(came, expected);
        }
    }
}

/// Four endpoints that do anything at any time: the contract holds for every association.
#[tokio::test]
async fn whatever_is_called_every_association_ends_once() {
    const STEPS: u32 = 3000;
    if skips() {
        return;
    }
    for seed in 1..=5_u64 {
        let mut ends =
            [(); 4].map(|()| End { endpoint: bind("127.0.0.1"), live: HashMap::new(), ups: 0 });
        let mut dice = Dice(seed);
        for _ in 0..STEPS {
            let (from, to) = (dice.below(4), dice.below(4));
            let to = remote(&ends[to].endpoint);
            let end = &mut ends[from];
            let mut names: Vec<AssocId> = end.live.keys().copied().collect();
            names.sort_unstable();
            let any = names.get(dice.below(names.len().max(1))).copied();
            match (dice.below(10), any) {
                (0, _) if to.port != end.endpoint.local().port => end.dial(&to),
                (1, Some(assoc)) => end.endpoint.close(assoc),
                (2, Some(assoc)) => {
                    end.endpoint.abort(assoc);
                    end.live.remove(&assoc);
                }
                (3..6, Some(assoc)) => {
                    let result = end.endpoint.send(assoc, Ppid::ASAP, &numbered(5000));
                    assert!(matches!(result, Ok(()) | Err(SendError::Gone)), "{result:?}");
                }
                _ => {
                    while let Some(event) = idle(&mut end.endpoint).await {
                        end.watch(&event);
                    }
                }
            }
        }
        for end in &mut ends {
            end.live.keys().for_each(|assoc| end.endpoint.close(*assoc));
        }
        while ends.iter().any(|end| !end.live.is_empty()) {
            let [a, b, c, d] = &mut ends;
            let all = [a, b, c, d].map(|end| &mut end.endpoint as &mut dyn Endpoint);
            let (at, event) = next_of(&mut { all }).await;
            let end = &mut ends[at];
            end.watch(&event);
            if let Event::Up { assoc, .. } = event {
                end.endpoint.close(assoc);
            }
        }
        let ups: usize = ends.iter().map(|end| end.ups).sum();
        assert!(ups > 100, "{ups} associations are too few to prove anything");
    }
}

/// An endpoint, and its associations: true for those that are up.
struct End {
    endpoint: KernelEndpoint,
    live: HashMap<AssocId, bool>,
    ups: usize,
}

impl End {
    fn dial(&mut self, to: &Remote) {
        match self.endpoint.connect(to) {
            Ok(assoc) => assert_eq!(self.live.insert(assoc, false), None),
            Err(Error::Connected(assoc)) => assert!(self.live.contains_key(&assoc)),
            Err(error) => panic!("{error}"),
        }
    }

    fn watch(&mut self, event: &Event) {
        let assoc = event.assoc();
        match event {
            Event::Up { info, .. } => {
                let before = self.live.insert(assoc, true);
                assert_eq!(before, info.dialed.then_some(false), "{event:?}");
                self.ups += 1;
            }
            Event::Down { .. } => assert!(self.live.remove(&assoc).is_some(), "{event:?}"),
            _ => assert_eq!(self.live.get(&assoc), Some(&true), "{event:?}"),
        }
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 40).unwrap() % sides
    }
}

#[tokio::test]
async fn kernel_and_userland_understand_each_other_in_udp() {
    const UDP: u16 = 9899;
    if skips() || elsewhere() {
        return;
    }
    std::fs::write("/proc/sys/net/sctp/udp_port", UDP.to_string()).unwrap();
    let mut kernel = bind("127.0.0.1");
    let url: Address = "sctp+udp://127.0.0.1:0".parse().unwrap();
    let mut userland = UserlandEndpoint::bind(&url, &Options::default()).unwrap();

    let to_kernel =
        Remote { scheme: Scheme::UserlandSctp, encapsulation: Some(UDP), ..remote(&kernel) };
    let local = userland.local();
    let to_userland = Remote {
        scheme: Scheme::KernelSctp,
        addresses: local.addresses,
        port: local.port,
        encapsulation: Some(local.port),
    };
    for dialer in ["userland", "kernel"] {
        let dialed = match dialer {
            "userland" => userland.connect(&to_kernel).unwrap(),
            _ => kernel.connect(&to_userland).unwrap(),
        };
        let (mut near, mut far) = (None, None);
        while near.is_none() || far.is_none() {
            let (at, event) = next_of(&mut [&mut kernel, &mut userland]).await;
            let Event::Up { assoc, info } = event else { panic!("{dialer}: {event:?}") };
            assert!(!info.dialed || assoc == dialed);
            if at == 0 { near = Some(assoc) } else { far = Some(assoc) }
        }
        let (near, far) = (near.unwrap(), far.unwrap());
        let octets = numbered(60_000);
        kernel.send(near, Ppid::ASAP, &octets).unwrap();
        let ends: &mut [&mut dyn Endpoint] = &mut [&mut kernel, &mut userland];
        assert_eq!(next_of(ends).await, (1, message(far, Ppid::ASAP, &octets)));
        userland.send(far, Ppid(77), &octets).unwrap();
        let ends: &mut [&mut dyn Endpoint] = &mut [&mut kernel, &mut userland];
        assert_eq!(next_of(ends).await, (0, message(near, Ppid(77), &octets)));
        userland.close(far);
        let mut closed = [false; 2];
        while closed != [true; 2] {
            let (at, event) = next_of(&mut [&mut kernel, &mut userland]).await;
            assert_eq!(event, down([near, far][at], DownReason::Closed));
            closed[at] = true;
        }
    }
}

fn bind(hosts: &str) -> KernelEndpoint {
    bind_with(hosts, &Options::default())
}

fn bind_with(hosts: &str, options: &Options) -> KernelEndpoint {
    let url: Address = format!("sctp+kernel://{hosts}:0").parse().unwrap();
    KernelEndpoint::bind(&url, options).unwrap()
}

/// An endpoint that gives up soon.
fn impatient(hosts: &str) -> KernelEndpoint {
    let ms = Duration::from_millis;
    let options = Options {
        rto: Rto { initial: ms(50), min: ms(50), max: ms(100) },
        heartbeat: ms(100),
        path_retransmits_max: 1,
        association_retransmits_max: 3,
        ..Options::default()
    };
    bind_with(hosts, &options)
}

/// Both names of a new association: the client's, and the server's.
async fn associate(client: &mut KernelEndpoint, server: &mut KernelEndpoint) -> (AssocId, AssocId) {
    let there = client.connect(&remote(server)).unwrap();
    assert_eq!(up(client).await.0, there);
    (there, up(server).await.0)
}

fn remote(endpoint: &KernelEndpoint) -> Remote {
    let local = endpoint.local();
    let (addresses, port) = (local.addresses, local.port);
    Remote { scheme: Scheme::KernelSctp, addresses, port, encapsulation: None }
}

/// The next event, which is the beginning of an association.
async fn up(endpoint: &mut KernelEndpoint) -> (AssocId, AssocInfo) {
    match next(endpoint).await {
        Event::Up { assoc, info } => (assoc, info),
        other => panic!("not up: {other:?}"),
    }
}

async fn next(endpoint: &mut KernelEndpoint) -> Event {
    next_of(&mut [endpoint]).await.1
}

/// The next event of some endpoints, and which one's it is.
async fn next_of(endpoints: &mut [&mut dyn Endpoint]) -> (usize, Event) {
    let event = poll_fn(|cx| {
        for (at, endpoint) in endpoints.iter_mut().enumerate() {
            if let Poll::Ready(event) = endpoint.poll_event(cx) {
                return Poll::Ready((at, event));
            }
        }
        Poll::Pending
    });
    timeout(PATIENCE, event).await.expect("an event should have come")
}

/// What an endpoint has to say at the moment.
async fn idle(endpoint: &mut KernelEndpoint) -> Option<Event> {
    tokio::task::yield_now().await;
    poll_fn(|cx| match endpoint.poll_event(cx) {
        Poll::Ready(event) => Poll::Ready(Some(event)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn message(assoc: AssocId, ppid: Ppid, octets: &[u8]) -> Event {
    Event::Message { assoc, ppid, octets: octets.into() }
}

fn down(assoc: AssocId, reason: DownReason) -> Event {
    Event::Down { assoc, reason }
}

fn set(addresses: &[IpAddr]) -> HashSet<IpAddr> {
    addresses.iter().copied().collect()
}

/// Octets of which each place shows where it belongs.
fn numbered(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// As long as this lives, nothing reaches an address of loopback, and nobody says so.
struct Hole(&'static str);

impl Hole {
    fn at(address: &'static str) -> Self {
        static ROOM: Once = Once::new();
        ROOM.call_once(|| {
            // The table of local addresses, which has all of 127.0.0.0/8, comes first otherwise.
            ip("rule add pref 9 lookup local");
            ip("rule del pref 0");
        });
        ip(&format!("rule add pref 1 to {address} blackhole"));
        Self(address)
    }
}

impl Drop for Hole {
    fn drop(&mut self) {
        ip(&format!("rule del pref 1 to {} blackhole", self.0));
    }
}

fn ip(args: &str) {
    let status = Command::new("ip").args(args.split(' ')).status();
    assert!(status.is_ok_and(|status| status.success()), "ip {args}");
}

/// True where the kernel has no SCTP; in the guest that is a failure.
fn skips() -> bool {
    let Err(why) = kernel_sctp_available() else { return false };
    assert!(std::env::var_os("UML_RUN").is_none(), "the guest has SCTP, but: {why}");
    say(&format!("SKIPPED, no kernel SCTP: {why}"));
    true
}

/// True where a test may not change the network: anywhere but in the guest.
fn elsewhere() -> bool {
    let elsewhere = std::env::var_os("UML_RUN").is_none();
    if elsewhere {
        say("SKIPPED, changes the network: cargo xtask uml-test");
    }
    elsewhere
}

/// Writes past the capture of the test harness.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
