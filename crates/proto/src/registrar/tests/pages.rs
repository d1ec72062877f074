//! What operators see: pages in order, each entry once, and no page that takes long.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rserpool_wire::asap::{Asap, Registration};
use rserpool_wire::param::{PeId, PoolHandle};

use super::colleague::{add, homed};
use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, USER, element, pool};
use crate::registrar::view::PAGE_MAX;
use crate::registrar::{ElementQuery, ElementRow, PoolQuery};

fn handle(text: &str) -> PoolHandle {
    PoolHandle::new(text.as_bytes()).unwrap()
}

fn register(lab: &mut Lab, pool: &str, id: u32) {
    let element = element(id, &[ELEMENT_ADDRESS]);
    let message = Registration { handle: handle(pool), element };
    lab.asap(ELEMENT, Asap::Registration(message));
}

fn ids(rows: &[ElementRow]) -> Vec<(String, u32)> {
    rows.iter().map(|row| (row.handle.to_string(), row.element.id.0)).collect()
}

#[test]
fn the_overview_counts_what_there_is_beside_its_limits() {
    let mut lab = Lab::new();
    ["a", "b"].iter().for_each(|pool| register(&mut lab, pool, 1));
    register(&mut lab, "b", 2);
    let overview = lab.registrar.overview();
    assert_eq!((overview.pools, overview.elements, overview.own), (2, 3, 3));
    assert_eq!((overview.associations, overview.stats.registrations), (3, 3));
    let size = |name| overview.sizes.iter().find(|size| size.name == name).unwrap();
    assert_eq!((size("pools").len, size("pools").limit), (2, 100_000));
    assert_eq!(size("supervised").len, 3);
    // The look at all associations is for tests.
    let all: Vec<_> = lab.registrar.sizes().into_iter().map(|size| size.name).collect();
    let quick: Vec<_> = overview.sizes.iter().map(|size| size.name).collect();
    assert_eq!(all.split_last(), Some((&"waiting", &quick[..])));
}

#[test]
fn pools_come_in_order_by_page_and_by_the_beginning_of_their_names() {
    let mut lab = Lab::new();
    ["web-b", "db", "web-a", "zoo", "web"].iter().for_each(|pool| register(&mut lab, pool, 1));
    register(&mut lab, "db", 2);
    let ask = |after: Option<&str>, prefix: &str, limit| {
        let (after, prefix) = (after.map(handle), prefix.as_bytes().to_vec());
        let page = lab.registrar.pool_page(&PoolQuery { after, prefix, limit });
        let names: Vec<String> = page.items.iter().map(|row| row.handle.to_string()).collect();
        (names.join(" "), page.next.map(|next| next.to_string()))
    };
    assert_eq!(ask(None, "", 2), ("db web".into(), Some("web".into())));
    assert_eq!(ask(Some("web"), "", 2), ("web-a web-b".into(), Some("web-b".into())));
    assert_eq!(ask(Some("web-b"), "", 2), ("zoo".into(), None));
    assert_eq!(ask(None, "web", 9), ("web web-a web-b".into(), None));
    assert_eq!(ask(Some("a"), "web-", 1), ("web-a".into(), Some("web-a".into())));
    assert_eq!(ask(Some("zz"), "web", 9), (String::new(), None));
    let db = lab.registrar.pool_detail(&handle("db")).unwrap();
    assert_eq!((db.elements, db.own), (2, 2));
    assert_eq!(lab.registrar.pool_detail(&handle("no")), None);
}

#[test]
fn an_element_of_another_registrar_has_no_supervision_here() {
    let mut lab = Lab::among(&[0x22]);
    register(&mut lab, "EchoPool", 1);
    lab.enrp(0x22, add(homed(2, 0x22)));
    let all = ElementQuery { limit: 9, ..ElementQuery::default() };
    let page = lab.registrar.element_page(lab.now, &all);
    let supervised: Vec<bool> = page.items.iter().map(|row| row.supervision.is_some()).collect();
    assert_eq!((supervised, page.next), (vec![true, false], None));
    let own = page.items[0].supervision.as_ref().unwrap();
    assert_eq!(own.remote.unwrap().0.ip(), ELEMENT_ADDRESS);
    assert!(own.next_in.is_some() && own.asked_ago.is_none() && own.reports == 0);
    let others = ElementQuery { home: page.items[1].element.home, ..all };
    assert_eq!(ids(&lab.registrar.element_page(lab.now, &others).items), [("EchoPool".into(), 2)]);
    let detail = lab.registrar.element_detail(lab.now, &pool(), PeId(1)).unwrap();
    assert_eq!(detail, page.items[0]);
    let peers = lab.registrar.peer_page(None, 9);
    assert_eq!((peers.items.len(), peers.next), (1, None));
    assert_eq!(
        peers.items[0].checksum_here,
        lab.registrar.handlespace().checksum(peers.items[0].id)
    );
    assert_eq!(peers.items[0].elements, 1);
}

#[test]
fn an_element_that_is_asked_and_reported_says_so() {
    let mut lab = Lab::new();
    register(&mut lab, "EchoPool", 1);
    lab.report(USER, 1);
    lab.wait(80);
    let detail = lab.registrar.element_detail(lab.now, &pool(), PeId(1)).unwrap();
    let seen = detail.supervision.unwrap();
    assert_eq!((seen.asked_ago.map(|ago| ago.as_millis()), seen.reports), (Some(80), 1));
    lab.acknowledge(ELEMENT, 1);
    let detail = lab.registrar.element_detail(lab.now, &pool(), PeId(1)).unwrap();
    let seen = detail.supervision.unwrap();
    assert_eq!((seen.asked_ago, seen.round_trip.map(|it| it.as_millis())), (None, Some(80)));
}

#[test]
fn associations_come_by_page() {
    let lab = Lab::new();
    let first = lab.registrar.association_page(lab.now, None, 2);
    let rest = lab.registrar.association_page(lab.now, first.next, 2);
    assert_eq!((first.items.len(), rest.items.len(), rest.next), (2, 1, None));
    assert_eq!(rest.items[0].remote, [super::lab::USER_ADDRESS]);
}

#[test]
fn who_asks_for_few_of_many_does_not_have_all_looked_at_for_one_page() {
    let mut lab = Lab::among(&[0x22]);
    (1..=5_120).for_each(|id| register(&mut lab, "EchoPool", id));
    let last = 100_000;
    lab.enrp(0x22, add(homed(last, 0x22)));
    let home = lab.registrar.peers().next().map(|peer| peer.id);
    let mut query = ElementQuery { home, limit: 1_000_000, ..ElementQuery::default() };
    let page = lab.registrar.element_page(lab.now, &query);
    assert!(page.items.is_empty() && page.next.is_some());
    query.after = page.next;
    let page = lab.registrar.element_page(lab.now, &query);
    assert_eq!((ids(&page.items), page.next), (vec![("EchoPool".into(), last)], None));
    query = ElementQuery { limit: 1_000_000, ..ElementQuery::default() };
    assert_eq!(lab.registrar.element_page(lab.now, &query).items.len(), PAGE_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// Between two pages elements come and go: who stays is seen once, nobody twice.
    #[test]
    fn who_stays_is_on_one_page(
        stays in prop::collection::btree_set((0..4u8, 1..60u32), 0..60),
        comes in prop::collection::vec((0..4u8, 1..60u32, any::<bool>()), 0..60),
        limit in 1..9usize,
        of_pool in prop::option::of(0..4u8),
    ) {
        let name = |number: u8| format!("pool-{number}");
        let mut lab = Lab::new();
        stays.iter().for_each(|&(pool, id)| register(&mut lab, &name(pool), id));
        let mut comes = comes.into_iter().filter(|(pool, id, _)| !stays.contains(&(*pool, *id)));
        let pool = of_pool.map(|number| handle(&name(number)));
        let mut query = ElementQuery { pool, limit, ..ElementQuery::default() };
        let mut seen = Vec::new();
        loop {
            let page = lab.registrar.element_page(lab.now, &query);
            prop_assert!(page.items.len() <= limit);
            seen.extend(ids(&page.items));
            if page.next.is_none() {
                break;
            }
            query.after = page.next;
            for (pool, id, joins) in comes.by_ref().take(3) {
                if joins {
                    register(&mut lab, &name(pool), id);
                } else {
                    let (handle, id) = (handle(&name(pool)), PeId(id));
                    let message = rserpool_wire::asap::Deregistration { handle, id };
                    lab.asap(ELEMENT, Asap::Deregistration(message));
                }
            }
        }
        prop_assert!(seen.is_sorted());
        let distinct: BTreeSet<_> = seen.iter().cloned().collect();
        prop_assert_eq!(distinct.len(), seen.len());
        for (pool, id) in stays.iter().filter(|(pool, _)| of_pool.is_none_or(|of| of == *pool)) {
            prop_assert!(distinct.contains(&(name(*pool), *id)));
        }
    }
}

#[test]
fn every_counter_has_a_help_that_stands_alone_and_a_name_that_is_its_own() {
    let lab = Lab::new();
    let overview = lab.registrar.overview();
    let counters = overview.stats.counters().chain(overview.limits_reached.counters());
    let user = crate::stats::UserStats::default();
    let session = crate::stats::SessionStats::default();
    let element = crate::stats::ElementStats::default();
    for all in [
        counters.collect::<Vec<_>>(),
        user.counters().collect(),
        session.counters().collect(),
        element.counters().collect(),
    ] {
        let mut names = BTreeSet::new();
        for counter in &all {
            assert!(names.insert((counter.metric, counter.label)), "{counter:?}");
            assert!(counter.metric.ends_with("_total"), "{counter:?}");
            for help in [counter.help, counter.metric_help] {
                assert!(help.ends_with('.') && !help.contains(['[', '`']), "{counter:?}");
            }
            let same = all.iter().filter(|other| other.metric == counter.metric);
            assert!(same.map(|it| it.metric_help).all(|help| help == counter.metric_help));
        }
    }
}
