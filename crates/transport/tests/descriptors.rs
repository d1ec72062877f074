//! A process without file descriptors. Alone in its file: the limit is the whole process's.

use std::fs::File;
use std::future::poll_fn;
use std::net::{Ipv4Addr, TcpStream};
use std::task::Poll;
use std::time::Duration;

use rserpool_transport::{Endpoint, Event, Framing, Options, Ppid, TcpEndpoint};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[tokio::test(start_paused = true)]
async fn a_listener_rests_while_there_are_no_descriptors_and_goes_on_after() {
    let framing = Framing::Message(Ppid::ASAP);
    let url = "tcp://127.0.0.1:0".parse().unwrap();
    let mut server = TcpEndpoint::bind(&url, framing, &Options::default()).unwrap();
    let peer = TcpStream::connect((Ipv4Addr::LOCALHOST, server.local().port)).unwrap();

    let limit = Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }

    // The clock of this test only moves while everything sleeps: each failed attempt is followed
    // by a rest, or this would count without end.
    let rounds = tokio::time::timeout(Duration::from_secs(1), async {
        poll_fn(|cx| server.poll_event(cx)).await
    });
    assert!(rounds.await.is_err(), "accepted without a descriptor");
    let failed = server.counters().accept_failed;
    assert!((2..=25).contains(&failed), "{failed} attempts in one second");

    drop(taken);
    let event = poll_fn(|cx| server.poll_event(cx)).await;
    let Event::Up { assoc, info } = event else { panic!("{event:?}") };
    assert_eq!(info.remote_port, peer.local_addr().unwrap().port());
    server.abort(assoc);
    let idle = poll_fn(|cx| Poll::Ready(server.poll_event(cx).is_pending()));
    assert!(idle.await);
}
