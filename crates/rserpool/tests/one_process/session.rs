//! A client's connection to a pool.

use rserpool::session::{Config, Event, FailureReason, SendError, Session};
use rserpool::{PoolUser, ResolveError, SessionError};

use crate::servers::{Echo, listed, pool, registrar, soon, user};

async fn connect(user: &PoolUser) -> Session {
    soon(Session::connect(user.clone(), pool(), Config::default())).await.unwrap()
}

/// Says it and hears it.
async fn echoes(session: &Session, text: &str) {
    session.send(text.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < text.len() {
        match soon(session.next()).await.unwrap() {
            Event::Received(octets) => heard.extend(octets),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, text.as_bytes());
}

/// Waits for the failover.
async fn fails_over(session: &Session) -> (rserpool::wire::param::PeId, FailureReason) {
    loop {
        match soon(session.next()).await.unwrap() {
            Event::FailedOver { to, reason, .. } => return (to, reason),
            Event::FailoverNeeded { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

// Checklist 208.
#[tokio::test]
async fn a_session_moves_to_another_server_when_its_own_crashes() {
    let registrar = registrar();
    let mut servers = Vec::new();
    for priority in [3, 2, 1] {
        servers.push(Echo::start(&[&registrar], &format!("priority:{priority}")).await);
    }
    let ids: Vec<_> = servers.iter().map(|server| server.element.id()).collect();
    let session = connect(&user(&[&registrar])).await;
    for (number, server) in servers.drain(..2).enumerate() {
        assert_eq!(session.server().unwrap().id, ids[number]);
        echoes(&session, "before").await;
        server.crash().await;
        let (to, _) = fails_over(&session).await;
        assert_eq!(to, ids[number + 1]);
        echoes(&session, "after").await;
    }
    soon(session.close()).await;
}

#[tokio::test]
async fn a_session_moves_when_its_application_says_so() {
    let registrar = registrar();
    let first = Echo::start(&[&registrar], "priority:2").await;
    let second = Echo::start(&[&registrar], "priority:1").await;
    let session = connect(&user(&[&registrar])).await;
    assert_eq!(session.server().unwrap().id, first.element.id());
    session.force_failover();
    // What is said while there is no server is for nobody, and that is told.
    assert_eq!(session.send(b"lost").await, Err(SendError::ServerLost));
    let moved = (second.element.id(), FailureReason::Reported);
    assert_eq!(fails_over(&session).await, moved);
    echoes(&session, "after").await;
    // It was reported, and asked at once, and lives.
    assert_eq!(registrar.stats().await.unwrap().reports, 1);
}

#[tokio::test]
async fn a_server_that_ends_a_session_in_good_order_is_not_reported() {
    let registrar = registrar();
    let mut servers = vec![Echo::start(&[&registrar], "priority:2").await];
    servers.push(Echo::start(&[&registrar], "priority:1").await);
    let user = user(&[&registrar]);
    let session = connect(&user).await;
    echoes(&session, "before").await;
    let from = session.server().unwrap().id;
    servers.remove(0).crash().await;
    // Over TCP the end of a process looks like that.
    let needed = Event::FailoverNeeded { from, reason: FailureReason::Closed };
    assert_eq!(soon(session.next()).await.unwrap(), needed);
    fails_over(&session).await;
    assert_eq!(registrar.stats().await.unwrap().reports, 0);
}

// RFC 5352 §3.2; checklist 66.
#[tokio::test]
async fn a_server_that_has_left_its_pool_goes_on_serving() {
    let registrar = registrar();
    let server = Echo::start(&[&registrar], "round-robin").await;
    let user = user(&[&registrar]);
    let session = connect(&user).await;
    echoes(&session, "before").await;
    soon(server.element.deregister()).await.unwrap();
    assert!(listed(&user).await.is_empty());
    echoes(&session, "after").await;
    soon(session.close()).await;
}

#[tokio::test]
async fn a_session_waits_for_a_server_to_come() {
    let registrar = registrar();
    let first = Echo::start(&[&registrar], "round-robin").await;
    let session = connect(&user(&[&registrar])).await;
    first.crash().await;
    let second = async { Echo::start(&[&registrar], "round-robin").await };
    let (moved, second) = tokio::join!(fails_over(&session), second);
    assert_eq!(moved.0, second.element.id());
    echoes(&session, "after").await;
}

#[tokio::test]
async fn cancelling_loses_nothing() {
    let registrar = registrar();
    let first = Echo::start(&[&registrar], "priority:2").await;
    let second = Echo::start(&[&registrar], "priority:1").await;
    let session = connect(&user(&[&registrar])).await;
    echoes(&session, "before").await;
    first.crash().await;
    // Every other poll is the last one of its call.
    let to = loop {
        let event = tokio::select! {
            biased;
            event = session.next() => event.unwrap(),
            () = tokio::task::yield_now() => continue,
        };
        match event {
            Event::FailedOver { to, .. } => break to,
            Event::FailoverNeeded { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(to, second.element.id());
    echoes(&session, "after").await;
}

#[tokio::test]
async fn a_pool_that_is_unknown_is_no_place_to_connect_to() {
    let registrar = registrar();
    let connected = Session::connect(user(&[&registrar]), pool(), Config::default());
    let error = soon(connected).await.err().unwrap();
    assert_eq!(error, SessionError::Resolve(ResolveError::UnknownPool));
}

#[tokio::test]
async fn a_pool_without_a_server_that_accepts_is_given_up_in_time_and_may_be_tried_again() {
    let registrar = registrar();
    let first = Echo::start(&[&registrar], "round-robin").await;
    let config = Config::new().failover_timeout(std::time::Duration::from_millis(200));
    let session = soon(Session::connect(user(&[&registrar]), pool(), config)).await.unwrap();
    first.crash().await;
    let error = loop {
        if let Err(error) = soon(session.next()).await {
            break error;
        }
    };
    assert!(matches!(error, SessionError::NoElement | SessionError::Resolve(_)), "{error}");
    let second = Echo::start(&[&registrar], "round-robin").await;
    assert_eq!(fails_over(&session).await.0, second.element.id());
}
