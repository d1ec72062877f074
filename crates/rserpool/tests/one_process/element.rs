//! A membership in a pool.

use std::time::Duration;

use rserpool::element::{self, State};
use rserpool::proto::element::Event;
use rserpool::wire::param::{Load, PeId};
use rserpool::{PoolElement, RegisterError, StartError};

use crate::servers::{
    listed, member, pool, registrar, registrar_at, soon, transport, until, urls, user,
};

/// The policies of the elements as a registrar tells them, with their values.
async fn policies(user: &rserpool::PoolUser) -> Vec<String> {
    let answer = user.resolve(&pool(), None).await.unwrap();
    answer.in_order().map(|element| element.policy.to_string()).collect()
}

#[tokio::test]
async fn what_changes_of_an_element_is_told_at_once() {
    let registrar = registrar();
    let user = user(&[&registrar]);
    let element = member(&[&registrar], 7, "least-used");
    let home = soon(element.registered()).await.unwrap();
    assert!(home.link.remote.iter().all(std::net::IpAddr::is_loopback));
    element.set_load(Load::from_fraction(0.25));
    until(async || policies(&user).await == ["least-used:0.2500"]).await;
    element.set_policy("least-used:0.5".parse().unwrap());
    until(async || policies(&user).await == ["least-used:0.5000"]).await;
    element.set_transport(transport(8));
    until(async || listed(&user).await == [8]).await;
    assert!(matches!(element.state(), State::Registered { .. }));
}

#[tokio::test]
async fn an_element_leaves_when_it_says_so_and_when_it_is_dropped() {
    for url in ["tcp://127.0.0.1:0", "sctp://127.0.0.1:0"] {
        let registrar = registrar_at(&[url]);
        let user = user(&[&registrar]);
        let (stays, leaves, dropped) = (
            member(&[&registrar], 1, "round-robin"),
            member(&[&registrar], 2, "round-robin"),
            member(&[&registrar], 3, "round-robin"),
        );
        for element in [&stays, &leaves, &dropped] {
            soon(element.registered()).await.unwrap();
        }
        assert_eq!(listed(&user).await, [1, 2, 3]);
        soon(leaves.deregister()).await.unwrap();
        assert_eq!(listed(&user).await, [1, 3]);
        drop(dropped);
        until(async || listed(&user).await == [1]).await;
    }
}

#[tokio::test]
async fn whoever_is_refused_is_told_why_and_does_not_try_again() {
    let registrar = registrar();
    let user = user(&[&registrar]);
    let first = member(&[&registrar], 1, "round-robin");
    soon(first.registered()).await.unwrap();
    let refused = member(&[&registrar], 2, "least-used");
    let Err(RegisterError::Rejected { causes, .. }) = soon(refused.registered()).await else {
        panic!("{:?}", refused.state());
    };
    assert_eq!(causes[0].code.0, 5);
    assert_eq!(refused.state(), State::Rejected(causes));
    assert_eq!(listed(&user).await, [1]);
    let stats = registrar.stats().await.unwrap();
    assert_eq!((stats.registrations, stats.rejections), (1, 1));
    // Out it is, so there is nothing to leave.
    soon(refused.deregister()).await.unwrap();
}

#[tokio::test]
async fn an_identifier_that_is_taken_is_drawn_anew_unless_it_was_given() {
    let registrar = registrar();
    let start = |port, id: Option<u32>, seed| {
        let mut config = element::Config::new(urls(&[&registrar]), pool(), transport(port));
        config.id = id.map(PeId);
        config.seed = seed;
        PoolElement::start(config).unwrap()
    };
    let given = start(1, Some(5), None);
    soon(given.registered()).await.unwrap();
    assert_eq!(given.id(), PeId(5));
    let same = start(2, Some(5), None);
    assert!(matches!(soon(same.registered()).await, Err(RegisterError::Rejected { .. })));

    let drawn = start(3, None, Some(1));
    soon(drawn.registered()).await.unwrap();
    let twin = start(4, None, Some(1));
    assert_eq!(twin.id(), drawn.id());
    soon(twin.registered()).await.unwrap();
    assert_ne!(twin.id(), drawn.id());
    let answer = user(&[&registrar]).resolve(&pool(), None).await.unwrap();
    let mut ids: Vec<PeId> = answer.in_order().map(|element| element.id).collect();
    let mut expected = [given.id(), drawn.id(), twin.id()];
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn an_element_moves_when_its_registrar_ends() {
    let registrars = [registrar(), registrar()];
    let mut config =
        element::Config::new(urls(&[&registrars[0], &registrars[1]]), pool(), transport(7));
    config.registrars.reverse();
    let element = PoolElement::start(config).unwrap();
    soon(element.registered()).await.unwrap();
    let mut events = element.events();
    let is_home =
        async |registrar: &rserpool::Registrar| !registrar.pools().await.unwrap().is_empty();
    let [first, second] = registrars;
    let (home, other) = if is_home(&first).await { (first, second) } else { (second, first) };
    soon(home.stop()).await;
    let mut lost = false;
    loop {
        match soon(events.recv()).await.unwrap() {
            Event::HomeLost => lost = true,
            Event::Registered { .. } => break,
            _ => {}
        }
    }
    assert!(lost);
    assert_eq!(listed(&user(&[&other])).await, [7]);
}

#[tokio::test]
async fn an_element_waits_for_its_registrar() {
    let first = registrar();
    let registrars = urls(&[&first]);
    soon(first.stop()).await;
    let element =
        PoolElement::start(element::Config::new(registrars.clone(), pool(), transport(7))).unwrap();
    let mut events = element.events();
    while soon(events.recv()).await.unwrap() != Event::NoRegistrar {}
    assert_eq!(element.state(), State::Joining);
    let _late = registrar_at(&[&registrars[0].to_string()]);
    soon(element.registered()).await.unwrap();
}

#[tokio::test]
async fn an_element_that_never_found_a_registrar_leaves_without_one() {
    let first = registrar();
    let registrars = urls(&[&first]);
    soon(first.stop()).await;
    let config = element::Config::new(registrars, pool(), transport(7));
    soon(PoolElement::start(config).unwrap().deregister()).await.unwrap();
}

#[tokio::test]
async fn an_element_without_registrars_does_not_start() {
    let config = element::Config::new(Vec::new(), pool(), transport(7));
    assert!(matches!(PoolElement::start(config), Err(StartError::NoRegistrarConfigured)));
}

#[tokio::test]
async fn a_registration_that_runs_out_is_renewed_before() {
    let registrar = registrar();
    let mut config = element::Config::new(urls(&[&registrar]), pool(), transport(7));
    config.lifetime = rserpool::proto::dialect::Lifetime::For(Duration::from_secs(1));
    config.reregistration_interval = Some(Duration::from_millis(50));
    let element = PoolElement::start(config).unwrap();
    soon(element.registered()).await.unwrap();
    until(async || registrar.stats().await.unwrap().registrations >= 10).await;
    let stats = registrar.stats().await.unwrap();
    assert_eq!((stats.rejections, stats.removed_expired), (0, 0));
}
