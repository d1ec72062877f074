//! What every transport must do with peers that take slowly, or nothing.

use std::time::Duration;

use rserpool_transport::{AssocId, DownReason, Event, Options, Ppid, SendError};

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

pub(crate) async fn who_found_a_queue_full_hears_when_it_is_drained<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let small = Options { send_queue_max: 8 * LONG, ..options() };
    let (server, client) = (lab.bind(rig, &small), lab.dialer(rig, &options()));
    let (near, far) = lab.associate(client, server).await;
    // All at once: nothing was written in between.
    let mut sent = 0;
    while lab.endpoint(server).send(far, Ppid::ASAP, &message(LONG, sent)) == Ok(()) {
        sent += 1;
        assert!(sent < MESSAGES_MAX, "the queue grows without end");
    }
    for number in 0..sent {
        assert_eq!(lab.message().await, (client, near, message(LONG, number)));
    }
    while lab.congestion.len() < 2 {
        assert_eq!(lab.poll_only(server).await, None);
        tokio::task::yield_now().await;
    }
    assert_eq!(lab.congestion[0], (server, Event::Congested { assoc: far }));
    assert_eq!(lab.congestion[1], (server, Event::Drained { assoc: far }));
    lab.finish().await;
}

/// Sends until the peer takes no more, while it is not served.
async fn congest(lab: &mut Lab, at: usize, assoc: AssocId) {
    lab.congestion.clear();
    for number in 0..MESSAGES_MAX {
        lab.send(at, assoc, &message(LONG, number));
        assert_eq!(lab.poll_only(at).await, None);
        tokio::task::yield_now().await;
        if !lab.congestion.is_empty() {
            return;
        }
    }
    panic!("nobody says that the peer takes nothing");
}

pub(crate) async fn ends_an_association_whose_peer_takes_nothing<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let hasty = Options { stall_timeout: Duration::from_millis(300), ..options() };
    let server = lab.bind(rig, &hasty);
    let (silent, client) = (lab.dialer(rig, &options()), lab.dialer(rig, &options()));
    let (_, idle) = lab.associate(client, server).await;
    let (near, far) = lab.associate(silent, server).await;
    congest(&mut lab, server, far).await;
    let down = Event::Down { assoc: far, reason: DownReason::Stalled };
    assert_eq!(lab.next_only(server).await, down);
    let counters = lab.endpoint(server).counters();
    assert_eq!((counters.stalled, counters.over_budget), (1, 0));
    assert_eq!(lab.endpoint(server).queued_octets(), 0);

    // Who has nothing to take is not meant.
    lab.send(server, idle, &message(8, 1));
    loop {
        match lab.next().await {
            (at, Event::Message { octets, .. }) if at == client => {
                assert_eq!(octets, message(8, 1));
                break;
            }
            (at, event) => assert_eq!((at, event.assoc()), (silent, near)),
        }
    }
    lab.finish().await;
}

pub(crate) async fn closes_though_the_peer_takes_nothing<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let hasty = Options { close_timeout: Duration::from_millis(300), ..options() };
    let (server, client) = (lab.bind(rig, &hasty), lab.dialer(rig, &options()));
    let (near, far) = lab.associate(client, server).await;
    congest(&mut lab, server, far).await;
    lab.endpoint(server).close(far);
    let down = Event::Down { assoc: far, reason: DownReason::Timeout };
    assert_eq!(lab.next_only(server).await, down);
    assert_eq!(lab.endpoint(server).queued_octets(), 0);
    loop {
        match lab.next().await {
            (at, Event::Message { assoc, .. }) => assert_eq!((at, assoc), (client, near)),
            (at, Event::Down { assoc, reason }) => {
                assert_eq!((at, assoc), (client, near));
                assert_ne!(reason, DownReason::Closed, "not all has arrived");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    lab.finish().await;
}

pub(crate) async fn ends_the_greatest_queue_when_too_much_waits_in_all<R: Rig>(rig: &R) {
    const BUDGET: usize = 2 << 20;
    let mut lab = Lab::default();
    let tight = Options { queue_budget: BUDGET, send_queue_max: 1 << 20, ..options() };
    let server = lab.bind(rig, &tight);
    let honest = lab.dialer(rig, &options());
    let (near, far) = lab.associate(honest, server).await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        let client = lab.dialer(rig, &options());
        silent.push(lab.associate(client, server).await.1);
    }
    let mut ended = 0;
    for number in 0..MESSAGES_MAX {
        for assoc in &silent {
            match lab.endpoint(server).send(*assoc, Ppid::ASAP, &message(LONG, number)) {
                Ok(()) | Err(SendError::Full | SendError::Gone) => {}
                Err(error) => panic!("{error}"),
            }
            assert!(lab.endpoint(server).queued_octets() <= BUDGET + LONG);
        }
        if let Some(event) = lab.poll_only(server).await {
            assert!(silent.contains(&event.assoc()), "{event:?}");
            assert!(matches!(event, Event::Down { reason: DownReason::Stalled, .. }));
            ended += 1;
        }
        if ended > 0 && lab.endpoint(server).counters().over_budget == ended {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(ended > 0 && lab.endpoint(server).queued_octets() <= BUDGET);
    lab.send(honest, near, &message(8, 1));
    lab.send(server, far, &message(8, 2));
    let mut left = vec![(server, far, message(8, 1)), (honest, near, message(8, 2))];
    while !left.is_empty() {
        if let (at, Event::Message { assoc, octets, .. }) = lab.next().await {
            left.retain(|expected| *expected != (at, assoc, octets.clone()));
        }
    }
    lab.finish().await;
}

pub(crate) async fn one_source_has_no_more_associations_than_it_may<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let strict = Options { associations_per_source_max: Some(1), ..options() };
    let server = lab.bind(rig, &strict);
    let (first, second) = (lab.dialer(rig, &options()), lab.dialer(rig, &options()));
    let (near, _) = lab.associate(first, server).await;
    let to = lab.remote(server);
    let surplus = lab.connect(second, &to);
    loop {
        match lab.next().await {
            (at, Event::Down { assoc, .. }) if (at, assoc) == (second, surplus) => break,
            (at, Event::Up { assoc, .. }) if (at, assoc) == (second, surplus) => {}
            other => panic!("{other:?}"),
        }
    }
    let counters = lab.endpoint(server).counters();
    assert!(counters.over_source_limit > 0 && counters.over_limit == 0);

    // Who leaves makes room.
    lab.endpoint(first).close(near);
    lab.down().await;
    lab.down().await;
    lab.associate(second, server).await;
    lab.finish().await;
}
