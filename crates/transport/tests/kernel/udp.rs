//! SCTP in UDP (RFC 6951) of the kernel and in userland.

use std::future::poll_fn;
use std::task::Poll;

use rserpool_transport::userland::UserlandEndpoint;
use rserpool_transport::{Address, DownReason, Endpoint, Event, Options, Ppid, Remote, Scheme};

use crate::lab::{bind, down, elsewhere, message, next_of, numbered, remote, skips};

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
        zone: 0,
        expected: Default::default(),
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
        if dialer == "userland" {
            userland.close(far);
        } else {
            // The kernel closes first: while it waits for the rest it acknowledges with SHUTDOWN.
            for _ in 0..20 {
                userland.send(far, Ppid(77), &octets).unwrap();
            }
            let _ = poll_fn(|cx| Poll::Ready(userland.poll_event(cx))).await;
            kernel.close(near);
            for _ in 0..20 {
                let event = loop {
                    match next_of(&mut [&mut kernel, &mut userland]).await {
                        (1, Event::Congested { .. } | Event::Drained { .. }) => {}
                        other => break other,
                    }
                };
                assert_eq!(event, (0, message(near, Ppid(77), &octets)));
            }
        }
        let mut closed = [false; 2];
        while closed != [true; 2] {
            let (at, event) = next_of(&mut [&mut kernel, &mut userland]).await;
            assert_eq!(event, down([near, far][at], DownReason::Closed));
            closed[at] = true;
        }
    }
}
