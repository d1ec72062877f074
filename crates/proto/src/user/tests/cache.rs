//! What is answered without asking (RFC 5352 §3.4 C1 to C4).

use super::*;

fn asked_once(config: Config, ids: &[u32]) -> Lab {
    let mut lab = Lab::homed_with(config);
    assert_eq!(lab.resolve(pool()), [ask(FIRST, pool(), None)]);
    lab.message(FIRST, known(pool(), ids));
    lab
}

// Checklist 87: C1, C4.
#[test]
fn a_fresh_entry_answers_without_a_message() {
    let mut lab = asked_once(caching(), &[1, 2]);
    lab.wait(10);
    assert_eq!(lab.resolve(pool()), [resolved(2, &[1, 2], 1, Source::Cache)]);
    assert_eq!(lab.user.stats().cache_hits, 1);
}

// Checklist 87: C2.
#[test]
fn a_stale_entry_is_asked_for_again() {
    let mut lab = asked_once(caching(), &[1]);
    lab.wait(11);
    assert_eq!(lab.resolve(pool()), [ask(FIRST, pool(), None)]);
}

#[test]
fn a_request_may_say_how_old_its_answer_may_be() {
    let mut lab = asked_once(caching(), &[1]);
    lab.wait(5);
    let request = |lab: &mut Lab, seconds| {
        let max_age = Some(Duration::from_secs(seconds));
        let request = Request { max_age, ..lab.request(pool()) };
        lab.command(Command::Resolve(request))
    };
    assert_eq!(request(&mut lab, 5), [resolved(2, &[1], 0, Source::Cache)]);
    assert_eq!(request(&mut lab, 4), [ask(FIRST, pool(), None)]);
    assert_eq!(request(&mut lab, 0), [ask(FIRST, pool(), None)]);
}

#[test]
fn without_a_lifetime_each_request_asks() {
    let mut lab = asked_once(config(), &[1]);
    assert_eq!(lab.resolve(pool()), [ask(FIRST, pool(), None)]);
    assert_eq!(lab.resolve(pool()), [ask(FIRST, pool(), None)]);
}

#[test]
fn who_takes_an_earlier_answer_waits_for_one_that_is_on_its_way() {
    let mut lab = Lab::homed_with(caching());
    assert_eq!(lab.resolve(pool()), [ask(FIRST, pool(), None)]);
    assert_eq!(lab.resolve(pool()), []);
    assert_eq!(lab.resolve(pool()), []);
    // And each gets its turn.
    assert_eq!(firsts(&lab.message(FIRST, known(pool(), &[1, 2]))), [(1, 1), (2, 2), (3, 1)]);
    assert_eq!(lab.user.stats().shared, 2);
}

#[test]
fn an_answer_with_fewer_elements_is_no_answer_for_who_wants_more() {
    let mut lab = Lab::homed_with(caching());
    let request = Request { items: Some(2), ..lab.request(pool()) };
    assert_eq!(lab.command(Command::Resolve(request)), [ask(FIRST, pool(), Some(2))]);
    assert_eq!(lab.resolve(pool()), [ask(FIRST, pool(), None)]);
    lab.message(FIRST, known(pool(), &[1, 2]));
    let request = Request { items: Some(1), ..lab.request(pool()) };
    assert_eq!(firsts(&lab.command(Command::Resolve(request))), [(3, 2)]);
    lab.message(FIRST, known(pool(), &[1, 2, 3]));
    assert_eq!(firsts(&lab.resolve(pool())), [(4, 2)]);
}

#[test]
fn an_old_answer_is_better_than_none_when_no_registrar_answers() {
    let mut lab = asked_once(config(), &[1]);
    lab.down(FIRST);
    lab.resolve(pool());
    let answer = loop {
        let (_, outputs) = lab.timeout();
        let is_answer = |o: &&Output<Event>| matches!(o, Output::Event(Event::Resolved { .. }));
        if let Some(output) = outputs.iter().find(is_answer) {
            break output.clone();
        }
    };
    assert_eq!(answer, resolved(2, &[1], 0, Source::StaleCache));
    assert_eq!(lab.user.stats().resolved_stale, 1);
}

#[test]
fn but_not_when_it_is_too_old_or_the_pool_is_gone() {
    let answered_in_the_end = |lifetime, is_gone: bool| {
        let stale_lifetime = Duration::from_secs(lifetime);
        let mut lab = asked_once(Config { stale_lifetime, ..config() }, &[1]);
        if is_gone {
            lab.resolve(pool());
            lab.message(FIRST, unknown(pool()));
        }
        lab.resolve(pool());
        while lab.user.next_timeout().is_some() {
            lab.timeout();
        }
        lab.user.stats().resolved_stale == 1
    };
    assert!(answered_in_the_end(60, false));
    assert!(!answered_in_the_end(60, true));
    assert!(!answered_in_the_end(44, false));
    assert!(!answered_in_the_end(0, false));
}

#[test]
fn the_pool_that_was_asked_for_longest_ago_makes_room() {
    let mut lab = Lab::homed_with(Config { cache_pools_max: 2, ..caching() });
    for name in ["a", "b"] {
        lab.resolve(handle(name));
        lab.message(FIRST, known(handle(name), &[1]));
    }
    assert_eq!(lab.resolve(handle("a")).len(), 1);
    lab.resolve(handle("c"));
    lab.message(FIRST, known(handle("c"), &[1]));
    assert_eq!(firsts(&lab.resolve(handle("a"))).len(), 1);
    assert_eq!(lab.resolve(handle("b")), [ask(FIRST, handle("b"), None)]);
}

// Only what was asked for gets in.
#[test]
fn answers_that_nobody_asked_for_are_not_remembered() {
    let mut lab = Lab::homed_with(caching());
    assert_eq!(lab.message(FIRST, known(pool(), &[1])), []);
    assert_eq!(lab.resolve(pool()), [ask(FIRST, pool(), None)]);
}
