//! SCTP of the kernel, in UDP (RFC 6951), against SCTP in userland. It switches the encapsulation of
//! the whole kernel on, so it runs in the guest of `interop/uml-run` only; elsewhere it says so.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::future::poll_fn;
use std::task::Poll;

use rserpool_transport::kernel::KernelEndpoint;
use rserpool_transport::userland::UserlandEndpoint;
use rserpool_transport::{
    AssocId, Backend, DownReason, Endpoint, Event, Options, Ppid, Remote, Scheme,
};

/// The UDP port of the guest's kernel.
const KERNEL_UDP: u16 = 9899;

struct Lab {
    ends: [Box<dyn Endpoint>; 2],
}

impl Lab {
    /// `None` says why there is nothing to test here.
    fn new() -> Option<Self> {
        if std::env::var_os("UML_RUN").is_none() {
            eprintln!("SKIPPED: changes the kernel's settings; use interop/uml-run");
            return None;
        }
        for setting in ["udp_port", "encap_port"] {
            let path = format!("/proc/sys/net/sctp/{setting}");
            std::fs::write(path, KERNEL_UDP.to_string()).unwrap();
        }
        let url = "sctp://127.0.0.1:0".parse().unwrap();
        let kernel = KernelEndpoint::bind(&url, &Options::default()).unwrap();
        let userland = UserlandEndpoint::bind(&url, &Options::default()).unwrap();
        Some(Self { ends: [Box::new(kernel), Box::new(userland)] })
    }

    fn remote(&self, at: usize) -> Remote {
        let local = self.ends[at].local();
        let (addresses, port) = (local.addresses, local.port);
        let encapsulation = Some(if at == 0 { KERNEL_UDP } else { port });
        Remote {
            scheme: Scheme::Sctp,
            addresses,
            port,
            encapsulation,
            zone: 0,
            expected: Default::default(),
        }
    }

    async fn next(&mut self) -> (usize, Event) {
        poll_fn(|cx| {
            for (at, end) in self.ends.iter_mut().enumerate() {
                if let Poll::Ready(event) = end.poll_event(cx) {
                    return Poll::Ready((at, event));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Dials and returns the association's name at the kernel and in userland.
    async fn associate(&mut self, from: usize) -> [AssocId; 2] {
        let to = self.remote(1 - from);
        let dialed = self.ends[from].connect(&to).unwrap();
        let mut names = [None; 2];
        while names.contains(&None) {
            match self.next().await {
                (at, Event::Up { assoc, info }) => {
                    assert_eq!(info.dialed, at == from);
                    assert_eq!(info.backend, [Backend::KernelSctp, Backend::UserlandSctp][at]);
                    names[at] = Some(assoc);
                }
                // The kernel tells of a new path when it has confirmed it.
                (0, Event::Path { reachable: true, .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(names[from], Some(dialed));
        names.map(Option::unwrap)
    }

    async fn message(&mut self) -> (usize, Ppid, Vec<u8>) {
        loop {
            match self.next().await {
                (at, Event::Message { ppid, octets, .. }) => return (at, ppid, octets),
                (0, Event::Path { reachable: true, .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next ends of associations, in the order of the endpoints.
    async fn downs(&mut self, count: usize) -> Vec<(usize, AssocId, DownReason)> {
        let mut downs = Vec::new();
        while downs.len() < count {
            match self.next().await {
                (at, Event::Down { assoc, reason }) => downs.push((at, assoc, reason)),
                (0, Event::Path { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        downs.sort_by_key(|(at, ..)| *at);
        downs
    }
}

// Checklist 46.
#[tokio::test]
async fn they_understand_each_other() {
    let Some(mut lab) = Lab::new() else { return };
    for from in [0, 1] {
        let names = lab.associate(from).await;
        for length in [4, 100, 1452, 1500, 30_000, 65_532] {
            let sent: Vec<u8> = (0..=250).cycle().take(length).collect();
            for at in [0, 1] {
                lab.ends[at].send(names[at], Ppid(0x0102_0304), &sent).unwrap();
                let (to, ppid, octets) = lab.message().await;
                assert_eq!((to, ppid), (1 - at, Ppid(0x0102_0304)));
                assert!(octets == sent, "{length} octets came as {}", octets.len());
            }
        }
        lab.ends[from].close(names[from]);
        let closed = [0, 1].map(|at| (at, names[at], DownReason::Closed));
        assert_eq!(lab.downs(2).await, closed);

        let names = lab.associate(from).await;
        lab.ends[from].abort(names[from]);
        let other = 1 - from;
        assert_eq!(lab.downs(1).await, [(other, names[other], DownReason::Reset)]);
    }
}
