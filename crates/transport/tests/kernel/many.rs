//! Many associations, and many things at once.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rserpool_transport::{
    AssocId, Endpoint, Error, Event, KernelEndpoint, Options, Ppid, Remote, Rto, SendError,
};

use crate::lab::{bind, bind_with, idle, message, next, next_of, numbered, remote, say, skips, up};

/// One socket of a registrar serves as many elements and users as there are.
#[tokio::test]
async fn one_socket_carries_4000_associations() {
    const CLIENTS: u32 = 4000;
    if skips() {
        return;
    }
    let files = Some(u64::from(CLIENTS) + 256);
    let limit = rustix::process::Rlimit { current: files, maximum: files };
    if rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).is_err() {
        return say(&format!("SKIPPED, too few descriptors: ulimit -n {}", CLIENTS + 256));
    }
    // RFC 9260's values: heartbeats of all of them every second are more than the guest can do.
    let secs = Duration::from_secs;
    let patient = Options {
        rto: Rto { initial: secs(1), min: secs(1), max: secs(60) },
        heartbeat: secs(30),
        path_retransmits_max: 5,
        association_retransmits_max: 10,
        ..Options::default()
    };
    let mut server = bind_with("127.0.0.1", &patient);
    let to = remote(&server);
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = bind_with("127.0.0.1", &patient);
        let there = client.connect(&to).unwrap();
        let (here, _) = up(&mut server).await;
        assert_eq!(up(&mut client).await.0, there);
        clients.push((client, there, here, number));
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
