//! What only SCTP of the kernel can do. Where the kernel has none, each test says so and ends:
//! `cargo xtask uml-test` runs them on a kernel that has it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::future::poll_fn;
use std::time::Duration;

use rserpool_transport::kernel::KernelEndpoint;
use rserpool_transport::probe::kernel_sctp_available;
use rserpool_transport::{
    Address, AssocId, DownReason, Endpoint, Event, Options, Ppid, Remote, Scheme,
};
use tokio::time::timeout;

/// Nothing here takes that long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_message_goes_there_and_back() {
    if skips() {
        return;
    }
    let mut server = bind("127.0.0.1");
    let mut client = bind("127.0.0.1");
    let (there, here) = associate(&mut client, &mut server).await;
    client.send(there, Ppid(0xfedc_ba98), b"ping").unwrap();
    assert_eq!(next(&mut server).await, message(here, Ppid(0xfedc_ba98), b"ping"));
    server.send(here, Ppid::ENRP, b"pong").unwrap();
    assert_eq!(next(&mut client).await, message(there, Ppid::ENRP, b"pong"));
    client.close(there);
    assert_eq!(next(&mut client).await, down(there, DownReason::Closed));
    assert_eq!(next(&mut server).await, down(here, DownReason::Closed));
}

fn bind(hosts: &str) -> KernelEndpoint {
    bind_with(hosts, &Options::default())
}

fn bind_with(hosts: &str, options: &Options) -> KernelEndpoint {
    let url: Address = format!("sctp+kernel://{hosts}:0").parse().unwrap();
    KernelEndpoint::bind(&url, options).unwrap()
}

/// Both names of a new association: the client's, and the server's.
async fn associate(client: &mut KernelEndpoint, server: &mut KernelEndpoint) -> (AssocId, AssocId) {
    let there = client.connect(&remote(server)).unwrap();
    let Event::Up { assoc, .. } = next(client).await else { panic!("not up") };
    assert_eq!(assoc, there);
    let Event::Up { assoc: here, .. } = next(server).await else { panic!("not up") };
    (there, here)
}

fn remote(endpoint: &KernelEndpoint) -> Remote {
    let local = endpoint.local();
    let (addresses, port) = (local.addresses, local.port);
    Remote { scheme: Scheme::KernelSctp, addresses, port, encapsulation: None }
}

async fn next(endpoint: &mut KernelEndpoint) -> Event {
    let event = poll_fn(|cx| endpoint.poll_event(cx));
    timeout(PATIENCE, event).await.expect("an event should have come")
}

fn message(assoc: AssocId, ppid: Ppid, octets: &[u8]) -> Event {
    Event::Message { assoc, ppid, octets: octets.into() }
}

fn down(assoc: AssocId, reason: DownReason) -> Event {
    Event::Down { assoc, reason }
}

/// True where the kernel has no SCTP; in the guest that is a failure.
fn skips() -> bool {
    let Err(why) = kernel_sctp_available() else { return false };
    assert!(std::env::var_os("UML_RUN").is_none(), "the guest has SCTP, but: {why}");
    eprintln!("SKIPPED, no kernel SCTP: {why}. Try: cargo xtask uml-test");
    true
}
