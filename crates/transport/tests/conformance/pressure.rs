//! What every transport must do with peers that take slowly, or nothing.

use rserpool_transport::{Event, Options, Ppid, SendError};

use crate::Rig;
use crate::cases::options;
use crate::lab::{Lab, message};

/// The longest message.
const LONG: usize = 60_000;
/// More than any system keeps for one connection: 60 MB.
const MESSAGES_MAX: u32 = 1000;

pub(crate) async fn says_when_a_peer_is_congested_and_when_it_is_drained<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    let (near, far) = lab.associate(client, server).await;

    // The client is not served.
    let mut sent = 0;
    while lab.congestion.is_empty() {
        assert!(sent < MESSAGES_MAX, "nobody says that the peer takes nothing");
        lab.send(server, far, &message(LONG, sent));
        sent += 1;
        assert_eq!(lab.poll_only(server).await, None);
        tokio::task::yield_now().await;
    }
    // More is still taken, and said once. What the system took meanwhile may drain it in between.
    lab.send(server, far, &message(LONG, sent));
    assert_eq!(lab.poll_only(server).await, None);
    for number in 0..=sent {
        assert_eq!(lab.message().await, (client, near, message(LONG, number)));
    }
    while lab.endpoint(server).queued_octets() > 0 {
        assert_eq!(lab.poll_only(server).await, None);
        tokio::task::yield_now().await;
    }
    assert_eq!(lab.poll_only(server).await, None);
    for (number, (at, event)) in lab.congestion.iter().enumerate() {
        let expected = match number % 2 {
            0 => Event::Congested { assoc: far },
            _ => Event::Drained { assoc: far },
        };
        assert_eq!((*at, event), (server, &expected));
    }
    assert_eq!(lab.congestion.len() % 2, 0, "{:?}", lab.congestion);
    lab.finish().await;
}

pub(crate) async fn holds_requests_back_until_their_answers_are_taken<R: Rig>(rig: &R) {
    /// Their answers are 24 MB, where 4 MiB may wait.
    const REQUESTS: u32 = 400;
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    let (near, far) = lab.associate(client, server).await;
    for number in 0..REQUESTS {
        lab.send(client, near, &message(8, number));
    }
    let (mut asked, mut answered) = (0, 0);
    while answered < REQUESTS {
        match lab.next().await {
            (at, Event::Message { octets, .. }) if at == server => {
                assert_eq!(octets, message(8, asked));
                lab.send(server, far, &message(LONG, asked));
                asked += 1;
            }
            (_, Event::Message { octets, .. }) => {
                assert_eq!(octets, message(LONG, answered));
                answered += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(lab.endpoint(server).counters().full, 0);
    assert_eq!(lab.endpoint(server).queued_octets(), 0);
    lab.finish().await;
}

pub(crate) async fn two_that_send_each_other_much_both_go_on<R: Rig>(rig: &R) {
    const MESSAGES: u32 = 400;
    let mut lab = Lab::default();
    let patient = Options { send_queue_max: 64 << 20, ..options() };
    let (server, client) = (lab.bind(rig, &patient), lab.dialer(rig, &patient));
    let (near, far) = lab.associate(client, server).await;
    for number in 0..MESSAGES {
        for (at, assoc) in [(client, near), (server, far)] {
            let octets = message(LONG, number);
            assert_ne!(lab.endpoint(at).send(assoc, Ppid::ASAP, &octets), Err(SendError::Full));
        }
    }
    let mut arrived = [0; 2];
    while arrived != [MESSAGES; 2] {
        if let (at, Event::Message { octets, .. }) = lab.next().await {
            assert_eq!(octets, message(LONG, arrived[at]));
            arrived[at] += 1;
        }
    }
    lab.finish().await;
}
