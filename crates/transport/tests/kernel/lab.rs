//! Endpoints, what happens at them, and paths that are cut.

use std::collections::HashSet;
use std::future::poll_fn;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::Command;
use std::sync::Once;
use std::task::Poll;
use std::time::Duration;

use rserpool_transport::{
    Address, AssocId, AssocInfo, DownReason, Endpoint, Event, KernelEndpoint, Options, Ppid,
    Remote, Rto, Scheme, kernel_sctp_available,
};
use tokio::time::timeout;

/// Nothing here takes that long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn bind(hosts: &str) -> KernelEndpoint {
    bind_with(hosts, &Options::default())
}

pub(crate) fn bind_with(hosts: &str, options: &Options) -> KernelEndpoint {
    let url: Address = format!("sctp+kernel://{hosts}:0").parse().unwrap();
    KernelEndpoint::bind(&url, options).unwrap()
}

/// An endpoint that gives up soon.
pub(crate) fn impatient(hosts: &str) -> KernelEndpoint {
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
pub(crate) async fn associate(
    client: &mut KernelEndpoint,
    server: &mut KernelEndpoint,
) -> (AssocId, AssocId) {
    let there = client.connect(&remote(server)).unwrap();
    assert_eq!(up(client).await.0, there);
    (there, up(server).await.0)
}

pub(crate) fn remote(endpoint: &KernelEndpoint) -> Remote {
    let local = endpoint.local();
    let (addresses, port) = (local.addresses, local.port);
    Remote {
        scheme: Scheme::KernelSctp,
        addresses,
        port,
        encapsulation: None,
        zone: 0,
        expected: Default::default(),
    }
}

/// The next event, which is the beginning of an association.
pub(crate) async fn up(endpoint: &mut KernelEndpoint) -> (AssocId, AssocInfo) {
    match next(endpoint).await {
        Event::Up { assoc, info } => (assoc, info),
        other => panic!("not up: {other:?}"),
    }
}

pub(crate) async fn next(endpoint: &mut KernelEndpoint) -> Event {
    next_of(&mut [endpoint]).await.1
}

/// The next event of some endpoints but for congestion, and which one's it is.
pub(crate) async fn next_of(endpoints: &mut [&mut dyn Endpoint]) -> (usize, Event) {
    let event = poll_fn(|cx| {
        for (at, endpoint) in endpoints.iter_mut().enumerate() {
            while let Poll::Ready(event) = endpoint.poll_event(cx) {
                if !is_congestion(&event) {
                    return Poll::Ready((at, event));
                }
            }
        }
        Poll::Pending
    });
    timeout(PATIENCE, event).await.expect("an event should have come")
}

fn is_congestion(event: &Event) -> bool {
    matches!(event, Event::Congested { .. } | Event::Drained { .. })
}

/// What an endpoint has to say at the moment, but for congestion.
pub(crate) async fn idle(endpoint: &mut KernelEndpoint) -> Option<Event> {
    tokio::task::yield_now().await;
    poll_fn(|cx| {
        loop {
            match endpoint.poll_event(cx) {
                Poll::Ready(event) if is_congestion(&event) => {}
                Poll::Ready(event) => return Poll::Ready(Some(event)),
                Poll::Pending => return Poll::Ready(None),
            }
        }
    })
    .await
}

pub(crate) fn message(assoc: AssocId, ppid: Ppid, octets: &[u8]) -> Event {
    Event::Message { assoc, ppid, octets: octets.into() }
}

pub(crate) fn down(assoc: AssocId, reason: DownReason) -> Event {
    Event::Down { assoc, reason }
}

pub(crate) fn set(addresses: &[IpAddr]) -> HashSet<IpAddr> {
    addresses.iter().copied().collect()
}

/// Octets of which each place shows where it belongs.
pub(crate) fn numbered(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// As long as this lives, nothing reaches an address of loopback, and nobody says so.
pub(crate) struct Hole(&'static str);

impl Hole {
    pub(crate) fn at(address: &'static str) -> Self {
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
pub(crate) fn skips() -> bool {
    let Err(why) = kernel_sctp_available() else { return false };
    assert!(std::env::var_os("UML_RUN").is_none(), "the guest has SCTP, but: {why}");
    say(&format!("SKIPPED, no kernel SCTP: {why}"));
    true
}

/// True where a test may not change the network: anywhere but in the guest.
pub(crate) fn elsewhere() -> bool {
    let elsewhere = std::env::var_os("UML_RUN").is_none();
    if elsewhere {
        say("SKIPPED, changes the network: cargo xtask uml-test");
    }
    elsewhere
}

/// Writes past the capture of the test harness.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
