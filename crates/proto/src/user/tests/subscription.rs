//! Pools that the registrar tells of.

use super::*;

fn updated(ids: &[u32]) -> Output<Event> {
    let resolution = Some(resolution(pool(), ids, None));
    Output::Event(Event::Updated { resolution, handle: pool() })
}

fn gone() -> Output<Event> {
    Output::Event(Event::Updated { resolution: None, handle: pool() })
}

fn subscribed() -> Lab {
    let mut lab = Lab::homed();
    assert_eq!(lab.command(Command::Subscribe(pool())), [ask_for_updates(FIRST, pool())]);
    assert_eq!(lab.message(FIRST, kept(pool(), &[1])), [updated(&[1])]);
    lab
}

// Checklist 95.
#[test]
fn changes_come_without_asking_and_keep_the_cache_up_to_date() {
    let mut lab = subscribed();
    assert_eq!(lab.message(FIRST, kept(pool(), &[1, 2])), [updated(&[1, 2])]);
    // Not what is only in another order.
    assert_eq!(lab.message(FIRST, kept(pool(), &[2, 1])), []);
    lab.wait(70);
    assert_eq!(lab.resolve(pool()), [resolved(1, &[2, 1], 0, Source::Cache)]);
    let request = Request { max_age: Some(Duration::ZERO), ..lab.request(pool()) };
    assert_eq!(firsts(&lab.command(Command::Resolve(request))), [(2, 1)]);
}

#[test]
fn subscribing_twice_is_subscribing_once() {
    let mut lab = subscribed();
    assert_eq!(lab.command(Command::Subscribe(pool())), []);
}

// Checklist 96.
#[test]
fn a_pool_that_does_not_exist_is_asked_for_again() {
    let mut lab = Lab::homed();
    lab.command(Command::Subscribe(pool()));
    assert_eq!(lab.message(FIRST, unknown(pool())), [gone()]);
    assert_eq!(lab.timeout(), (15, vec![ask_for_updates(FIRST, pool())]));
    assert_eq!(lab.message(FIRST, unknown(pool())), []);
    lab.timeout();
    assert_eq!(lab.message(FIRST, kept(pool(), &[1])), [updated(&[1])]);
}

#[test]
fn a_pool_that_ceases_to_exist_is_told_once() {
    let mut lab = subscribed();
    assert_eq!(lab.message(FIRST, unknown(pool())), [gone()]);
    assert_eq!(lab.resolve(pool()), [ask(FIRST, pool(), None)]);
    lab.message(FIRST, unknown(pool()));
    assert_eq!(lab.timeout(), (15, vec![ask_for_updates(FIRST, pool())]));
}

// Checklist 97.
#[test]
fn another_registrar_is_asked_for_updates_anew() {
    let mut lab = subscribed();
    assert_eq!(lab.down(FIRST), [Output::Event(Event::HomeLost), connect(SECOND, 0)]);
    assert_eq!(lab.up(SECOND), [found(), ask_for_updates(SECOND, pool())]);
    assert_eq!(lab.message(SECOND, kept(pool(), &[1])), []);
    assert_eq!(lab.message(SECOND, kept(pool(), &[2])), [updated(&[2])]);
}

// A registrar that does not do that, such as rsplib's.
#[test]
fn where_there_are_no_updates_it_asks_again_and_again() {
    let mut lab = Lab::homed();
    lab.command(Command::Subscribe(pool()));
    assert_eq!(lab.message(FIRST, known(pool(), &[1])), [updated(&[1])]);
    for ids in [&[1][..], &[1, 2], &[2]] {
        let (waited, outputs) = lab.timeout();
        assert_eq!((waited, outputs), (15, vec![ask_for_updates(FIRST, pool())]));
        let outputs = lab.message(FIRST, known(pool(), ids));
        assert_eq!(outputs.is_empty(), ids == [1]);
    }
}

#[test]
fn a_home_that_should_tell_and_is_quiet_is_asked_whether_it_is_there() {
    let mut lab = subscribed();
    assert_eq!(lab.timeout(), (75, vec![ask_for_updates(FIRST, pool())]));
    // It is not.
    assert_eq!(lab.timeout(), (15, vec![ask_for_updates(FIRST, pool()), connect(SECOND, 0)]));
    let outputs = lab.up(SECOND);
    assert_eq!(outputs, [Output::Abort(FIRST), found(), ask_for_updates(SECOND, pool())]);
}

#[test]
fn a_request_shares_the_question_of_a_subscription() {
    let mut lab = Lab::homed_with(caching());
    lab.command(Command::Subscribe(pool()));
    assert_eq!(lab.resolve(pool()), []);
    let outputs = lab.message(FIRST, kept(pool(), &[1]));
    assert_eq!(outputs, [updated(&[1]), resolved(1, &[1], 0, Source::Registrar)]);
}

#[test]
fn a_part_of_the_pool_does_not_replace_what_is_kept_up_to_date() {
    let mut lab = Lab::homed();
    let part = Request { items: Some(1), ..lab.request(pool()) };
    lab.command(Command::Resolve(part));
    lab.command(Command::Subscribe(pool()));
    // The first answer is to the first question.
    let outputs = lab.message(FIRST, known(pool(), &[1]));
    assert_eq!(firsts(&outputs), [(1, 1)]);
    assert_eq!(outputs.len(), 1);
    assert_eq!(lab.message(FIRST, kept(pool(), &[1, 2])), [updated(&[1, 2])]);
    assert_eq!(firsts(&lab.resolve(pool())), [(2, 1)]);
    assert_eq!(firsts(&lab.resolve(pool())), [(3, 2)]);
}

#[test]
fn who_has_unsubscribed_is_told_nothing() {
    let mut lab = subscribed();
    assert_eq!(lab.command(Command::Unsubscribe(pool())), []);
    assert_eq!(lab.user.next_timeout(), None);
    assert_eq!(lab.message(FIRST, kept(pool(), &[1, 2])), []);
    assert_eq!(lab.resolve(pool()), [ask(FIRST, pool(), None)]);
    // Before there was a registrar.
    let mut lab = Lab::new();
    assert_eq!(lab.command(Command::Subscribe(pool())), [connect(FIRST, 0)]);
    assert_eq!(lab.command(Command::Unsubscribe(pool())), [Output::Abort(FIRST)]);
    assert_eq!(lab.user.next_timeout(), None);
    // While others wait for the same answer.
    let mut lab = Lab::homed_with(caching());
    lab.command(Command::Subscribe(pool()));
    lab.resolve(pool());
    assert_eq!(lab.command(Command::Unsubscribe(pool())), []);
    let outputs = lab.message(FIRST, kept(pool(), &[1]));
    assert_eq!(outputs, [resolved(1, &[1], 0, Source::Registrar)]);
}

#[test]
fn it_hunts_as_long_as_it_is_subscribed() {
    let mut lab = Lab::new();
    lab.command(Command::Subscribe(pool()));
    lab.down(FIRST);
    let mut waited = 0;
    let mut told = 0;
    while waited < 1000 {
        let (seconds, outputs) = lab.timeout();
        waited += seconds;
        told += outputs.iter().filter(|o| **o == Output::Event(Event::NoRegistrar)).count();
    }
    assert_eq!(told, 1);
    assert_eq!(lab.user.state, State::Hunting);
}
