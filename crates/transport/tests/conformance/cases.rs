//! What every transport must do.

use std::collections::HashMap;
use std::time::Duration;

use rserpool_transport::{AssocId, DownReason, Error, Event, Options, Ppid, Scheme, SendError};

use crate::lab::{Lab, loopback, message, remote};
use crate::{Rig, skipped};

pub(crate) async fn up_and_down_on_both_sides<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    let to = lab.remote(server);
    let near = lab.connect(client, &to);

    let (mut at_server, mut at_client) = (None, None);
    for _ in 0..2 {
        let (at, assoc, info) = lab.up().await;
        if at == server {
            at_server = Some((assoc, info));
        } else {
            at_client = Some((assoc, info));
        }
    }
    let (far, far_info) = at_server.unwrap();
    let (assoc, near_info) = at_client.unwrap();
    assert_eq!(assoc, near);
    assert_eq!((near_info.dialed, far_info.dialed), (true, false));
    assert_eq!(near_info.backend, far_info.backend);
    assert_eq!((&near_info.remote, near_info.remote_port), (&to.addresses, to.port));
    assert_eq!(far_info.local_port, to.port);
    assert_eq!(far_info.remote_port, near_info.local_port);
    // A multihomed dialer may have others too.
    assert!(far_info.remote.iter().any(std::net::IpAddr::is_loopback));

    lab.endpoint(client).close(near);
    let mut downs = [lab.down().await, lab.down().await];
    downs.sort_by_key(|(at, ..)| *at);
    assert_eq!(downs, [(server, far, DownReason::Closed), (client, near, DownReason::Closed)]);
    lab.finish().await;
}

pub(crate) async fn names_real_ports<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let (one, two) = (lab.bind(rig, &options()), lab.bind(rig, &options()));
    let (one, two) = (lab.local(one), lab.local(two));
    assert_ne!(one.port, 0);
    assert_ne!(one.port, two.port);
    assert_eq!(one.url.port, one.port);
    assert_eq!(one.url.to_string(), loopback::<R>(one.port).to_string());
    assert_eq!(one.addresses, [std::net::IpAddr::from([127, 0, 0, 1])]);
    lab.finish().await;
}

pub(crate) async fn says_that_a_port_is_in_use<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let first = lab.bind(rig, &options());
    let url = lab.local(first).url;
    match rig.bind(&url, &options()) {
        Err(error @ Error::Bind { .. }) => {
            assert_eq!(error.to_string(), format!("cannot listen on {url}: the port is in use"));
        }
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("bound twice"),
    }
    // The one that has it is not disturbed.
    let client = lab.dialer(rig, &options());
    lab.associate(client, first).await;
    lab.finish().await;
}

// Checklist 37.
pub(crate) async fn keeps_message_boundaries<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    let (near, far) = lab.associate(client, server).await;

    let small = (4..300).chain([4; 200]).chain([21; 500]);
    let sizes = small.chain([1399, 1400, 1401, 4096, 16_383, 16_384, 16_385, 65_531, 65_532, 4]);
    let sizes: Vec<usize> = sizes.collect();
    let mut sent = 0;
    for (number, size) in sizes.iter().enumerate() {
        // As many as the queue takes; the rest while the first arrive.
        while sent < sizes.len() {
            let octets = message(sizes[sent], u32::try_from(sent).unwrap());
            match lab.endpoint(client).send(near, Ppid::ASAP, &octets) {
                Ok(()) => sent += 1,
                Err(error) => {
                    assert_eq!(error, SendError::Full);
                    break;
                }
            }
        }
        let (at, assoc, octets) = lab.message().await;
        assert_eq!((at, assoc), (server, far));
        assert!(
            octets == message(*size, u32::try_from(number).unwrap()),
            "message {number} of {size} octets came as {}",
            octets.len()
        );
    }
    lab.finish().await;
}

pub(crate) async fn keeps_the_order_in_both_directions<R: Rig>(rig: &R) {
    const MESSAGES: u32 = 500;
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    let (near, far) = lab.associate(client, server).await;
    for number in 0..MESSAGES {
        lab.send(client, near, &message(40, number));
        lab.send(server, far, &message(60, number));
    }
    let mut arrived = [0; 2];
    for _ in 0..2 * MESSAGES {
        let (at, assoc, octets) = lab.message().await;
        let (expected, size) = if at == server { (far, 40) } else { (near, 60) };
        assert_eq!(assoc, expected);
        assert_eq!(octets, message(size, arrived[at]));
        arrived[at] += 1;
    }
    assert_eq!(arrived, [MESSAGES; 2]);
    lab.finish().await;
}

pub(crate) async fn serves_several_peers<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let server = lab.bind(rig, &options());
    let mut peers = HashMap::new();
    for number in 0..5 {
        let client = lab.dialer(rig, &options());
        let (near, far) = lab.associate(client, server).await;
        peers.insert(far, (client, near, number));
    }
    for (client, near, number) in peers.values() {
        lab.send(*client, *near, &message(100, *number));
    }
    // Each gets its own message back; requests and answers come mixed.
    for _ in 0..2 * peers.len() {
        let (at, assoc, octets) = lab.message().await;
        if at == server {
            assert_eq!(octets, message(100, peers[&assoc].2), "that is another peer's");
            lab.send(server, assoc, &octets);
        } else {
            let peer = peers.values().find(|(client, ..)| *client == at).unwrap();
            assert_eq!((assoc, octets), (peer.1, message(100, peer.2)));
        }
    }
    lab.finish().await;
}

// Checklist 38.
pub(crate) async fn keeps_ppids<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    let (near, _far) = lab.associate(client, server).await;
    for ppid in [Ppid::ASAP, Ppid::ENRP, Ppid(0), Ppid(0x2909_7602), Ppid(u32::MAX)] {
        lab.endpoint(client).send(near, ppid, &message(8, 1)).unwrap();
        let (_, Event::Message { ppid: arrived, .. }) = lab.next().await else {
            panic!("not a message");
        };
        assert_eq!(arrived, if R::KEEPS_PPIDS { ppid } else { Ppid::ASAP });
    }
    lab.finish().await;
}

pub(crate) async fn delivers_everything_before_a_close<R: Rig>(rig: &R) {
    const MESSAGES: u32 = 200;
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    let (near, far) = lab.associate(client, server).await;
    for number in 0..MESSAGES {
        lab.send(client, near, &message(5000, number));
    }
    lab.endpoint(client).close(near);
    assert_eq!(lab.endpoint(client).send(near, Ppid::ASAP, &message(8, 0)), Err(SendError::Gone));

    let mut arrived = 0;
    let mut downs = Vec::new();
    while downs.len() < 2 {
        match lab.next().await {
            (at, Event::Message { assoc, octets, .. }) => {
                assert_eq!((at, assoc), (server, far));
                assert_eq!(octets, message(5000, arrived));
                arrived += 1;
            }
            (at, Event::Down { reason, .. }) => {
                assert_eq!((at, reason, arrived), (at, DownReason::Closed, MESSAGES));
                downs.push(at);
            }
            other => panic!("{other:?}"),
        }
    }
    lab.finish().await;
}

pub(crate) async fn both_sides_close_at_once<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    let (near, far) = lab.associate(client, server).await;
    lab.endpoint(client).close(near);
    lab.endpoint(server).close(far);
    // Closing twice is closing once.
    lab.endpoint(client).close(near);
    for _ in 0..2 {
        assert_eq!(lab.down().await.2, DownReason::Closed);
    }
    lab.finish().await;
}

pub(crate) async fn reports_an_abort_as_reset<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    let (near, far) = lab.associate(client, server).await;
    lab.abort(client, near);
    assert_eq!(lab.down().await, (server, far, DownReason::Reset));
    assert_eq!(lab.endpoint(client).send(near, Ppid::ASAP, &message(8, 0)), Err(SendError::Gone));
    assert_eq!(lab.endpoint(server).send(far, Ppid::ASAP, &message(8, 0)), Err(SendError::Gone));

    // Both ends go on.
    let (near, far) = lab.associate(client, server).await;
    lab.abort(server, far);
    assert_eq!(lab.down().await, (client, near, DownReason::Reset));
    lab.finish().await;
}

pub(crate) async fn reports_a_dropped_endpoint<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    let (near, _far) = lab.associate(client, server).await;
    let url = lab.local(server).url;
    lab.drop_endpoint(server);
    let (at, assoc, reason) = lab.down().await;
    assert_eq!((at, assoc), (client, near));
    assert!(matches!(reason, DownReason::Closed | DownReason::Reset), "{reason:?}");

    // A restarted server has its port back.
    let server = rig.bind(&url, &options()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(server.local().url, url);
    lab.finish().await;
}

pub(crate) async fn reports_a_refused_dial<R: Rig>(rig: &R) {
    if !R::SAYS_REFUSED {
        return skipped::<R>("reports_a_refused_dial", "a closed port says nothing");
    }
    let mut lab = Lab::default();
    let closed = rig.bind(&loopback::<R>(0), &options()).map(|endpoint| remote(&endpoint.local()));
    let closed = closed.unwrap_or_else(|error| panic!("{error}"));
    let client = lab.dialer(rig, &options());
    let assoc = lab.connect(client, &closed);
    assert_eq!(lab.endpoint(client).send(assoc, Ppid::ASAP, &message(8, 0)), Err(SendError::Gone));
    assert_eq!(lab.down().await, (client, assoc, DownReason::Refused));
    lab.finish().await;
}

pub(crate) async fn gives_up_on_a_peer_that_never_answers<R: Rig>(rig: &R) {
    let Some((nowhere, _guard)) = rig.black_hole() else {
        return skipped::<R>("gives_up_on_a_peer_that_never_answers", "there is no such place");
    };
    let mut lab = Lab::default();
    let hasty = Options { connect_timeout: Duration::from_secs(1), ..options() };
    let (server, client) = (lab.bind(rig, &hasty), lab.dialer(rig, &hasty));
    let lost = lab.connect(client, &nowhere);
    // Others are not held up.
    let (near, _far) = lab.associate(client, server).await;
    assert_eq!(lab.down().await, (client, lost, DownReason::Timeout));
    lab.send(client, near, &message(8, 1));
    assert_eq!(lab.message().await.2, message(8, 1));
    lab.finish().await;
}

pub(crate) async fn ends_a_dial_that_is_closed<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    let to = lab.remote(server);
    let assoc = lab.connect(client, &to);
    lab.endpoint(client).close(assoc);
    loop {
        // The server may see it come and go.
        if let (at, Event::Down { assoc: down, reason }) = lab.next().await
            && at == client
        {
            assert_eq!((down, reason), (assoc, DownReason::Closed));
            break;
        }
    }
    lab.finish().await;
}

pub(crate) async fn forgets_a_dial_that_is_aborted<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    let to = lab.remote(server);
    let assoc = lab.connect(client, &to);
    lab.abort(client, assoc);
    // The watch panics if anything is heard of it; the next one works.
    let next = lab.connect(client, &to);
    loop {
        if let (at, Event::Up { assoc: up, .. }) = lab.next().await
            && at == client
        {
            assert_eq!(up, next);
            break;
        }
    }
    lab.finish().await;
}

pub(crate) async fn refuses_to_send_to_unknown_associations<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    for assoc in [AssocId(0), AssocId(1), AssocId(77), AssocId(u64::MAX)] {
        let sent = lab.endpoint(client).send(assoc, Ppid::ASAP, &message(8, 0));
        assert_eq!(sent, Err(SendError::Gone));
        lab.endpoint(client).close(assoc);
        lab.endpoint(client).abort(assoc);
    }
    let (near, far) = lab.associate(client, server).await;
    lab.endpoint(server).close(far);
    lab.down().await;
    lab.down().await;
    for (at, assoc) in [(server, far), (client, near)] {
        let sent = lab.endpoint(at).send(assoc, Ppid::ASAP, &message(8, 0));
        assert_eq!(sent, Err(SendError::Gone));
    }
    lab.finish().await;
}

pub(crate) async fn refuses_messages_that_are_too_long<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let short = Options { message_max: 1000, ..options() };
    let (server, client) = (lab.bind(rig, &short), lab.dialer(rig, &short));
    let (near, _far) = lab.associate(client, server).await;
    let sent = lab.endpoint(client).send(near, Ppid::ASAP, &message(1001, 0));
    assert_eq!(sent, Err(SendError::TooLong));
    // The longest that is allowed arrives, and nothing of the other.
    lab.send(client, near, &message(1000, 1));
    assert_eq!(lab.message().await.2, message(1000, 1));
    lab.finish().await;
}

pub(crate) async fn refuses_empty_messages<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    let (near, _far) = lab.associate(client, server).await;
    assert_eq!(lab.endpoint(client).send(near, Ppid::ASAP, &[]), Err(SendError::Malformed));
    lab.send(client, near, &message(4, 1));
    assert_eq!(lab.message().await.2, message(4, 1));
    lab.finish().await;
}

pub(crate) async fn slows_a_sender_down<R: Rig>(rig: &R) {
    const SIZE: usize = 4000;
    /// More than any system keeps for one connection: 64 MB.
    const MESSAGES_MAX: u32 = 16_000;
    let mut lab = Lab::default();
    let small = Options { send_queue_max: 64 << 10, ..options() };
    let (server, client) = (lab.bind(rig, &small), lab.dialer(rig, &small));
    let (near, far) = lab.associate(client, server).await;

    let mut sent = 0;
    let mut full = 0;
    // The server is not served. Full many times in a row, while the client writes all it can,
    // is full for good.
    while full < 100 {
        match lab.endpoint(client).send(near, Ppid::ASAP, &message(SIZE, sent)) {
            Ok(()) => (sent, full) = (sent + 1, 0),
            Err(error) => {
                assert_eq!(error, SendError::Full);
                full += 1;
                assert_eq!(lab.poll_only(client).await, None);
                tokio::task::yield_now().await;
            }
        }
        assert!(sent < MESSAGES_MAX, "the queue grows without end");
    }
    assert!(lab.endpoint(client).counters().full >= 100);

    for number in 0..sent {
        assert_eq!(lab.message().await, (server, far, message(SIZE, number)));
    }
    lab.send(client, near, &message(8, 7));
    assert_eq!(lab.message().await, (server, far, message(8, 7)));
    lab.finish().await;
}

pub(crate) async fn carries_100_associations<R: Rig>(rig: &R) {
    const CLIENTS: usize = 100;
    let mut lab = Lab::default();
    let server = lab.bind(rig, &options());
    let to = lab.remote(server);
    let mut nears = HashMap::new();
    for _ in 0..CLIENTS {
        let client = lab.dialer(rig, &options());
        nears.insert(client, lab.connect(client, &to));
    }
    let mut fars = Vec::new();
    for _ in 0..2 * CLIENTS {
        let (at, assoc, _) = lab.up().await;
        if at == server {
            fars.push(assoc);
        } else {
            assert_eq!(nears[&at], assoc);
        }
    }
    for far in &fars {
        for number in 0..3 {
            lab.send(server, *far, &message(500, number));
        }
    }
    let mut arrived: HashMap<usize, u32> = HashMap::new();
    for _ in 0..3 * CLIENTS {
        let (at, assoc, octets) = lab.message().await;
        assert_eq!(nears[&at], assoc);
        let number = arrived.entry(at).or_default();
        assert_eq!(octets, message(500, *number));
        *number += 1;
    }
    lab.finish().await;
}

pub(crate) async fn dials_from_its_own_port<R: Rig>(rig: &R) {
    if !R::DIALS_FROM_ITS_PORT {
        return skipped::<R>("dials_from_its_own_port", "this transport does not");
    }
    let mut lab = Lab::default();
    let (one, two) = (lab.bind(rig, &options()), lab.bind(rig, &options()));
    let (from, to) = (lab.local(one), lab.remote(two));
    lab.connect(one, &to);
    for _ in 0..2 {
        let (at, _, info) = lab.up().await;
        let port = if at == one { info.local_port } else { info.remote_port };
        assert_eq!(port, from.port);
    }
    lab.finish().await;
}

pub(crate) async fn survives_simultaneous_dials<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let ends = [lab.bind(rig, &options()), lab.bind(rig, &options())];
    let [to_one, to_two] = ends.map(|end| lab.remote(end));
    let dialed = [lab.connect(ends[0], &to_two), lab.connect(ends[1], &to_one)];

    // Two associations, or one that both dialed (RFC 9260 §5.2.1).
    let mut up = [false; 2];
    while up != [true; 2] {
        let (at, assoc, _) = lab.up().await;
        up[at] |= dialed[at] == assoc;
    }
    for at in ends {
        lab.send(at, dialed[at], &message(16, u32::try_from(at).unwrap()));
    }
    let mut arrived = [false; 2];
    while arrived != [true; 2] {
        match lab.next().await {
            (at, Event::Message { octets, .. }) => {
                assert_eq!(octets, message(16, u32::try_from(1 - at).unwrap()));
                arrived[at] = true;
            }
            (_, Event::Up { info, .. }) if !info.dialed => {}
            other => panic!("{other:?}"),
        }
    }
    lab.finish().await;
}

pub(crate) async fn dials_the_same_peer_twice<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.bind(rig, &options()));
    let (near, _far) = lab.associate(client, server).await;
    let to = lab.remote(server);
    match lab.endpoint(client).connect(&to) {
        Err(Error::Connected(assoc)) => assert_eq!(assoc, near),
        Err(error) => panic!("{error}"),
        Ok(second) => {
            // Transports that can have two: this one is another.
            assert_ne!(second, near);
            lab.abort(client, second);
        }
    }
    lab.send(client, near, &message(8, 3));
    loop {
        if let (at, Event::Message { octets, .. }) = lab.next().await {
            assert_eq!((at, octets), (server, message(8, 3)));
            break;
        }
    }
    lab.finish().await;
}

pub(crate) async fn refuses_addresses_of_other_transports<R: Rig>(rig: &R) {
    if !R::KNOWS_ITS_SCHEMES {
        return skipped::<R>("refuses_addresses_of_other_transports", "it takes any");
    }
    let mut lab = Lab::default();
    let (server, client) = (lab.bind(rig, &options()), lab.dialer(rig, &options()));
    let mut to = lab.remote(server);
    to.scheme = if R::SCHEME == Scheme::Tcp { Scheme::Sctp } else { Scheme::Tcp };
    for at in [server, client] {
        let refused = lab.endpoint(at).connect(&to);
        assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
    }
    lab.finish().await;
}

pub(crate) async fn keeps_to_its_limit_of_associations<R: Rig>(rig: &R) {
    let mut lab = Lab::default();
    let one = Options { associations_max: 1, ..options() };
    let (server, other) = (lab.bind(rig, &one), lab.bind(rig, &options()));
    let (first, second) = (lab.dialer(rig, &one), lab.dialer(rig, &options()));
    let (near, _far) = lab.associate(first, server).await;

    let to = lab.remote(other);
    assert!(matches!(lab.endpoint(first).connect(&to), Err(Error::Limit(1))));

    let to = lab.remote(server);
    let surplus = lab.connect(second, &to);
    loop {
        match lab.next().await {
            (at, Event::Down { assoc, .. }) if (at, assoc) == (second, surplus) => break,
            (at, Event::Up { assoc, .. }) if (at, assoc) == (second, surplus) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(lab.endpoint(server).counters().over_limit > 0);

    lab.send(first, near, &message(8, 1));
    assert_eq!(lab.message().await.2, message(8, 1));
    lab.finish().await;
}

/// On a machine that is busy, a peer may be slow; no test here is about giving one up by itself.
pub(crate) fn options() -> Options {
    Options {
        association_retransmits_max: 50,
        path_retransmits_max: 50,
        // Two ways at once are two associations at the peer for a moment.
        head_start: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(30),
        ..Options::default()
    }
}
