//! What is dropped leaves nothing behind.

use rserpool::session::{Config, Session};
use tokio::runtime::Handle;

use crate::servers::{Echo, listed, member, pool, registrar, soon, until, user};

/// Waits until the tasks of this runtime are gone. The one that waits is not counted.
async fn no_task_is_left() {
    until(async || Handle::current().metrics().num_alive_tasks() == 0).await;
}

#[tokio::test]
async fn no_task_outlives_its_owner() {
    no_task_is_left().await;
    let registrar = registrar();
    let elements: Vec<_> =
        (1..=10).map(|port| member(&[&registrar], port, "round-robin")).collect();
    for element in &elements {
        soon(element.registered()).await.unwrap();
    }
    let user = user(&[&registrar]);
    let clone = user.clone();
    assert_eq!(listed(&clone).await.len(), 10);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 12);
    drop(elements);
    drop(user);
    // The clone keeps it alive.
    until(async || listed(&clone).await.is_empty()).await;
    drop(clone);
    drop(registrar);
    no_task_is_left().await;
}

#[tokio::test]
async fn no_task_outlives_a_session() {
    let registrar = registrar();
    let server = Echo::start(&[&registrar], "round-robin").await;
    let user = user(&[&registrar]);
    for _ in 0..10 {
        let connected = Session::connect(user.clone(), pool(), Config::default());
        drop(soon(connected).await.unwrap());
    }
    server.crash().await;
    soon(registrar.stop()).await;
    drop(user);
    no_task_is_left().await;
}

#[tokio::test]
async fn whoever_waits_is_told_that_there_is_nothing_to_wait_for() {
    let registrar = registrar();
    let element = member(&[&registrar], 7, "round-robin");
    let mut state = element.watch();
    let mut events = element.events();
    soon(element.registered()).await.unwrap();
    state.mark_unchanged();
    drop(element);
    soon(async { while state.changed().await.is_ok() {} }).await;
    soon(async { while events.recv().await.is_ok() {} }).await;
    let mut events = registrar.events();
    soon(registrar.stop()).await;
    soon(async { while events.recv().await.is_ok() {} }).await;
}
