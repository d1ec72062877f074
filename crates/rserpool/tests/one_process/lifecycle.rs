//! How things begin and end: the same for all of them.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rserpool::element::{Config as ElementConfig, PoolElement};
use rserpool::observer::{self, TableError};
use rserpool::registrar::{Event, LeaveReason};
use rserpool::server::service_fn;
use rserpool::{
    PoolUser, Registrar, RegistrarConfig, ResolveError, Server, ServerConfig, Session,
    SessionConfig, SessionError, StartError, Stopped, UserConfig,
};
use tokio::sync::broadcast::Receiver;

use crate::servers::{Echo, member, pool, registrar, soon, transport, until, user};

const GRACE: Duration = Duration::from_secs(60);

/// What comes of a future that does not wait.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn without_a_runtime_nothing_starts_and_nothing_panics() {
    let url = || vec!["tcp://127.0.0.1:0".parse().unwrap()];
    let no_runtime = Some(StartError::NoRuntime);
    assert_eq!(Registrar::start(RegistrarConfig::new(url())).err(), no_runtime);
    assert_eq!(PoolUser::start(UserConfig::new(url())).err(), no_runtime);
    let element = ElementConfig::new(url(), pool(), transport(7));
    assert_eq!(PoolElement::start(element).err(), no_runtime);
    let server = ServerConfig::new(url(), pool(), url().remove(0));
    assert_eq!(Server::start(server, service_fn(async |_| {})).err(), no_runtime);
    let table = at_once(observer::table(observer::Config::new(url().remove(0))));
    assert_eq!(table.err(), Some(TableError::NoRuntime));
    // A user has one; who connects has not.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let user = {
        let _entered = runtime.enter();
        PoolUser::start(UserConfig::new(url())).unwrap()
    };
    let connected = at_once(Session::connect(user, pool(), SessionConfig::new()));
    assert_eq!(connected.err(), Some(SessionError::NoRuntime));
}

/// Why the element that joins next leaves.
async fn left(events: &mut Receiver<Event>) -> LeaveReason {
    loop {
        if let Event::Left { reason, .. } = soon(events.recv()).await.unwrap() {
            return reason;
        }
    }
}

#[tokio::test]
async fn who_stops_says_so_and_who_is_dropped_does_not() {
    let registrar = registrar();
    let mut events = registrar.events();
    let join = async |port| {
        let element = member(&[&registrar], port, "round-robin");
        soon(element.registered()).await.unwrap();
        element
    };
    soon(join(1).await.stop()).await;
    assert_eq!(left(&mut events).await, LeaveReason::Deregistered);
    soon(join(2).await.drain(GRACE)).await.unwrap();
    assert_eq!(left(&mut events).await, LeaveReason::Deregistered);
    drop(join(3).await);
    assert_eq!(left(&mut events).await, LeaveReason::AssociationLost);
    let url = "tcp://127.0.0.1:0".parse().unwrap();
    let config = ServerConfig::new(registrar.urls().to_vec(), pool(), url);
    let server = Server::start(config, service_fn(async |_| {})).unwrap();
    soon(server.element().registered()).await.unwrap();
    soon(server.stop()).await;
    assert_eq!(left(&mut events).await, LeaveReason::Deregistered);
}

#[tokio::test]
async fn who_drains_a_user_waits_for_the_answers() {
    let registrar = registrar();
    let server = Echo::start(&[&registrar], "round-robin").await;
    let user = user(&[&registrar]);
    let clone = user.clone();
    let asked = pool();
    let mut answer = pin!(clone.resolve(&asked, None));
    // The question is on its way.
    assert!(answer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    soon(user.drain(GRACE)).await;
    let answer = soon(answer).await.unwrap();
    assert_eq!(answer.in_order().next().unwrap().id, server.element.id());
    assert_eq!(clone.resolve(&pool(), None).await, Err(ResolveError::Stopped));
    assert_eq!(clone.stats().await, Err(Stopped));
}

#[tokio::test]
async fn a_user_that_is_stopped_gives_up_its_requests_and_its_association() {
    let registrar = registrar();
    let server = Echo::start(&[&registrar], "round-robin").await;
    let user = user(&[&registrar]);
    user.resolve(&pool(), None).await.unwrap();
    let stats = user.stats().await.unwrap();
    assert_eq!((stats.requests, stats.resolved), (1, 1));
    let clone = user.clone();
    let asked = pool();
    let mut answer = pin!(clone.resolve(&asked, None));
    assert!(answer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    soon(user.stop()).await;
    // What was asked just before may still have had its answer.
    let answer = soon(answer).await;
    assert!(matches!(answer, Ok(_) | Err(ResolveError::Stopped)), "{answer:?}");
    // The server's own association is the only one that is left.
    let view = registrar.view();
    until(async || view.associations(None, 9).await.unwrap().items.len() == 1).await;
    drop(server);
}

#[tokio::test]
async fn a_registrar_that_is_drained_has_gone_and_leaves_nothing_behind() {
    let registrar = registrar();
    let (view, mut state) = (registrar.view(), registrar.watch());
    soon(registrar.serving()).await.unwrap();
    assert_eq!(registrar.state(), rserpool::registrar::State::Serving { synchronised: false });
    soon(registrar.drain(GRACE)).await;
    assert_eq!(*state.borrow_and_update(), rserpool::registrar::State::Departed);
    assert_eq!(view.summary().await.err(), Some(Stopped));
}
