//! Many roles in one process.

use std::time::Duration;

use rserpool::PoolElement;
use rserpool::element;
use rserpool::registrar::{Config, Registrar};
use rserpool::transport::Address;
use rserpool::wire::param::{PeId, RegistrarId};

use crate::servers::{listed, member, pool, registrar, soon, transport, until, urls, user};

#[tokio::test]
async fn two_registrars_ten_elements_and_two_users() {
    let registrars = [registrar(), registrar()];
    let members = |registrar: usize| {
        let port = |number: u16| 1000 * (u16::try_from(registrar).unwrap() + 1) + number;
        let start = |number| member(&[&registrars[registrar]], port(number), "least-used");
        (0..5).map(start).collect::<Vec<PoolElement>>()
    };
    let elements = [members(0), members(1)];
    for element in elements.iter().flatten() {
        soon(element.registered()).await.unwrap();
    }
    // They know nothing of each other: two scopes in one process.
    let users = [user(&[&registrars[0]]), user(&[&registrars[1]])];
    assert_eq!(listed(&users[0]).await, [1000, 1001, 1002, 1003, 1004]);
    assert_eq!(listed(&users[1]).await, [2000, 2001, 2002, 2003, 2004]);
    let pools = registrars[1].pools().await.unwrap();
    assert_eq!(pools.len(), 1);
    assert_eq!((&pools[0].handle, pools[0].elements.len()), (&pool(), 5));
}

/// A registrar that shares its handlespace with those at these URLs.
fn sharing(peers: Vec<Address>) -> Registrar {
    let asap = vec!["tcp://127.0.0.1:0".parse().unwrap()];
    let enrp = vec!["tcp://127.0.0.1:0".parse().unwrap()];
    Registrar::start(Config::new(asap).enrp(enrp).peers(peers)).unwrap()
}

#[tokio::test]
async fn registrars_that_share_a_handlespace_answer_for_each_other_and_take_over() {
    let first = sharing(Vec::new());
    let second = sharing(first.enrp_urls().to_vec());
    soon(second.serving()).await.unwrap();
    let all = [&first, &second];
    let mut elements = Vec::new();
    for port in 1..=10 {
        // The first half registers at the first one and knows the other one, too.
        let mut config = element::Config::new(urls(&all), pool(), transport(port));
        if port % 2 == 0 {
            config.registrars.reverse();
        }
        let element = PoolElement::start(config).unwrap();
        soon(element.registered()).await.unwrap();
        elements.push(element);
    }
    let expected: Vec<u16> = (1..=10).collect();
    let (at_first, at_second) = (user(&[&first]), user(&[&second]));
    until(async || listed(&at_first).await == expected).await;
    until(async || listed(&at_second).await == expected).await;
    soon(first.stop()).await;
    // Nobody is lost, and all are the second one's in the end.
    until(async || {
        let pools = second.pools().await.unwrap();
        let homes = pools.iter().flat_map(|pool| &pool.elements).map(|element| element.home);
        homes.filter(|home| *home == Some(second.id())).count() == 10
    })
    .await;
    assert_eq!(listed(&at_second).await, expected);
}

#[tokio::test]
async fn an_element_moves_to_the_registrar_that_is_best_for_it() {
    let suggesting = |id, peers| {
        let asap = vec!["sctp+udp://127.0.0.1:0".parse().unwrap()];
        let enrp = vec!["sctp+udp://127.0.0.1:0".parse().unwrap()];
        let mut config = Config::new(asap).enrp(enrp).peers(peers);
        config.protocol.id = RegistrarId::new(id);
        config.protocol.takeover_suggestion = true;
        config.protocol.suggestion_pause = Duration::from_millis(100);
        Registrar::start(config).unwrap()
    };
    let first = suggesting(0x11, Vec::new());
    // It knows the first one only, which is not the best one for 1.
    let mut config = element::Config::new(urls(&[&first]), pool(), transport(7));
    config.id = Some(PeId(1));
    let element = PoolElement::start(config).unwrap();
    soon(element.registered()).await.unwrap();
    let second = suggesting(0x12, first.enrp_urls().to_vec());
    soon(second.serving()).await.unwrap();
    let user = user(&[&second]);
    until(async || {
        // It stays in its pool meanwhile.
        assert_eq!(listed(&user).await, [7]);
        let pools = first.pools().await.unwrap();
        pools[0].elements[0].home == Some(second.id())
    })
    .await;
    assert!(first.stats().await.unwrap().suggestions_sent >= 1);
    assert_eq!(second.stats().await.unwrap().adopted, 1);
    soon(first.stop()).await;
    assert_eq!(listed(&user).await, [7]);
}

#[tokio::test]
async fn a_registrar_says_what_happens_and_counts_it() {
    use rserpool::proto::registrar::{Event, LeaveReason};

    let left = |event| match event {
        Ok(Event::Left { handle, id, reason, .. }) => (handle, id, reason),
        other => panic!("{other:?}"),
    };
    let registrar = registrar();
    let mut events = registrar.events();
    let element = member(&[&registrar], 7, "round-robin");
    let id = element.id();
    let handle = pool();
    soon(element.registered()).await.unwrap();
    assert_eq!(soon(events.recv()).await, Ok(Event::Joined { handle: handle.clone(), id }));
    soon(element.deregister()).await.unwrap();
    let reason = LeaveReason::Deregistered;
    assert_eq!(left(soon(events.recv()).await), (handle.clone(), id, reason));
    let stats = registrar.stats().await.unwrap();
    assert_eq!((stats.registrations, stats.deregistrations), (1, 1));
    let element = member(&[&registrar], 7, "round-robin");
    let id = element.id();
    soon(element.registered()).await.unwrap();
    assert_eq!(soon(events.recv()).await, Ok(Event::Joined { handle: handle.clone(), id }));
    drop(element);
    let reason = LeaveReason::AssociationLost;
    assert_eq!(left(soon(events.recv()).await), (handle, id, reason));
    assert_eq!(registrar.stats().await.unwrap().removed_lost, 1);
}

#[tokio::test]
async fn a_registrar_cannot_have_a_port_that_is_taken() {
    let first = registrar();
    for url in first.urls() {
        let config = Config::new(vec![url.clone()]);
        let error = Registrar::start(config).err().unwrap();
        assert_eq!(error.to_string(), format!("cannot listen on {url}: the port is in use"));
    }
}

#[tokio::test]
async fn a_registrar_that_has_ended_leaves_its_port() {
    let first = registrar();
    let ports = first.urls().to_vec();
    let element = member(&[&first], 7, "round-robin");
    soon(element.registered()).await.unwrap();
    soon(first.stop()).await;
    let again = Config::new(ports.clone());
    let second = Registrar::start(again).unwrap();
    assert_eq!(second.urls(), ports);
    // The element is back as soon as it has noticed.
    let user = user(&[&second]);
    until(async || listed(&user).await == [7]).await;
}

#[tokio::test]
async fn a_running_registrar_can_be_looked_at_and_is_not_kept_running_by_that() {
    use rserpool::proto::registrar::{ElementQuery, PoolQuery};

    let registrar = registrar();
    let element = member(&[&registrar], 7, "round-robin");
    soon(element.registered()).await.unwrap();
    let view = registrar.view();
    let summary = soon(view.summary()).await.unwrap();
    assert_eq!((summary.overview.elements, summary.overview.own), (1, 1));
    assert_eq!(summary.transport.counters().map(|it| it.value).sum::<u64>(), 0);
    let pools = PoolQuery { limit: 9, ..PoolQuery::default() };
    let pools = soon(view.pools(pools)).await.unwrap();
    assert_eq!((pools.items.len(), pools.next), (1, None));
    assert_eq!(soon(view.pool(pool())).await.unwrap().as_ref(), pools.items.first());
    let all = ElementQuery { limit: 9, ..ElementQuery::default() };
    let elements = soon(view.elements(all)).await.unwrap();
    let supervision = elements.items[0].supervision.clone().unwrap();
    assert!(supervision.remote.unwrap().0.ip().is_loopback());
    let detail = soon(view.element(pool(), element.id())).await.unwrap().unwrap();
    assert_eq!(detail.element, elements.items[0].element);
    let associations = soon(view.associations(None, 9)).await.unwrap();
    assert_eq!(associations.items.iter().map(|it| it.elements).sum::<usize>(), 1);
    assert!(soon(view.peers(None, 9)).await.unwrap().0.items.is_empty());
    soon(registrar.stop()).await;
    assert!(matches!(soon(view.summary()).await, Err(rserpool::Stopped)));
}
