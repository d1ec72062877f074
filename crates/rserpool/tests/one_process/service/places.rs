//! How many sessions there may be, and who has to make room.

use super::*;

#[tokio::test]
async fn there_are_only_so_many_sessions_and_the_load_tells_how_many() {
    let registrar = registrar();
    let mut config = config(&registrar, Scheme::Tcp, "least-used");
    config.sessions_max = 2;
    let server = start(config).await;
    let load = async |expected: f64| {
        until(async || {
            let pools = registrar.pools().await.unwrap();
            let policy = &pools[0].elements[0].policy;
            *policy == Policy::least_used(Load::from_fraction(expected))
        })
        .await;
    };
    let one = connect(&registrar).await;
    load(0.5).await;
    let two = connect(&registrar).await;
    load(1.0).await;
    let hasty = Config::new().failover_timeout(Duration::from_millis(200));
    let third = Session::connect(user(&[&registrar]), pool(), hasty).await.unwrap();
    // Who is refused is let in first.
    let refused = third.next().await.unwrap();
    let (from, reason) = (server.id(), FailureReason::Closed);
    assert_eq!(refused, Event::FailoverNeeded { from, reason });
    assert!(server.stats().sessions_refused > 0);
    drop((one, two));
    load(0.0).await;
}

#[tokio::test]
async fn a_server_that_is_full_is_not_reported() {
    for scheme in SCHEMES {
        let registrar = registrar();
        let mut full = config(&registrar, scheme, "priority:2");
        full.sessions_max = 1;
        let full = start(full).await;
        let one = connect(&registrar).await;
        let second = start(config(&registrar, scheme, "priority:1")).await;
        assert_eq!(count(&one).await, 1);
        for _ in 0..3 {
            let other = connect(&registrar).await;
            let moved = (second.id(), FailureReason::Closed, false);
            assert_eq!(fails_over(&other).await, moved);
            assert_eq!(count(&other).await, 1);
        }
        assert_eq!(full.stats().sessions_refused, 3);
        assert_eq!(registrar.stats().await.unwrap().reports, 0);
        assert_eq!(count(&one).await, 2);
    }
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let registrar = registrar();
    let mut limited = config(&registrar, Scheme::Tcp, "round-robin");
    limited.sessions_max = 8;
    let server = start(limited).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Rude::dial(server.url()).await);
    }
    // It may be sent away in the first second, and comes back.
    let session = connect(&registrar).await;
    let said = loop {
        let _ = session.send(b"count").await;
        match soon(session.next()).await.unwrap() {
            Event::Received(octets) => break octets,
            Event::FailoverNeeded { .. } | Event::FailedOver { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(said, 1_u32.to_be_bytes());
    // Who speaks keeps its place, whoever comes.
    for _ in 0..20 {
        silent.push(Rude::dial(server.url()).await);
    }
    assert_eq!(count(&session).await, 2);
    let stats = server.stats();
    assert!(stats.sessions <= 8 && stats.silent >= 1 && stats.sessions_refused >= 12, "{stats:?}");
}

#[tokio::test]
async fn who_says_nothing_in_time_is_let_go() {
    let registrar = registrar();
    let mut config = config(&registrar, Scheme::Tcp, "round-robin");
    config.first_message_timeout = Some(Duration::from_millis(700));
    let server = start(config).await;
    let mut silent = Rude::dial(server.url()).await;
    // It says that it is there.
    let session = connect(&registrar).await;
    let event = soon(silent.endpoints.next()).await;
    let closed = rserpool::transport::DownReason::Closed;
    assert!(
        matches!(event, rserpool::transport::Event::Down { reason, .. } if reason == closed),
        "{event:?}"
    );
    assert_eq!(count(&session).await, 1);
    assert_eq!((server.stats().silent, session.stats().failovers), (1, 0));
}
