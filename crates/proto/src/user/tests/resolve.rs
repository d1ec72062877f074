//! Questions and answers: the table of states and inputs.

use super::*;

// Checklist 83, 85, 115: NR1 to NR4, with a hunt first.
#[test]
fn looks_for_a_registrar_and_asks_it() {
    let mut lab = Lab::new();
    assert_eq!(lab.resolve(pool()), [connect(FIRST, 0)]);
    assert_eq!(lab.up(FIRST), [found(), ask(FIRST, pool(), None)]);
    lab.wait(1);
    assert_eq!(
        lab.message(FIRST, known(pool(), &[1, 2])),
        [resolved(1, &[1, 2], 0, Source::Registrar)]
    );
    assert_eq!(lab.user.next_timeout(), None);
    // Checklist 121: the next ones go to the same.
    assert_eq!(lab.resolve(pool()), [ask(FIRST, pool(), None)]);
}

// Checklist 91.
#[test]
fn without_a_policy_it_is_round_robin() {
    let mut lab = Lab::homed();
    lab.resolve(pool());
    let response = HandleResolutionResponse {
        updates_accepted: false,
        handle: pool(),
        policy: None,
        // Checklist 94: what an element says does not count.
        elements: vec![element(1, Policy::of_type(PolicyType::RANDOM))],
        causes: vec![],
    };
    let outputs = lab.message(FIRST, Asap::HandleResolutionResponse(response));
    let [Output::Event(Event::Resolved { answer, .. })] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!(answer.resolution.policy_type, PolicyType::ROUND_ROBIN);
}

// Checklist 93.
#[test]
fn a_pool_that_is_not_known_is_told() {
    let mut lab = Lab::homed();
    lab.resolve(pool());
    assert_eq!(lab.message(FIRST, unknown(pool())), [failed(1, ResolveError::UnknownPool)]);
    // rsplib may send an empty list.
    lab.resolve(pool());
    assert_eq!(lab.message(FIRST, known(pool(), &[])), [failed(2, ResolveError::UnknownPool)]);
}

#[test]
fn other_refusals_say_why() {
    let mut lab = Lab::homed();
    lab.resolve(pool());
    let causes = vec![Cause::new(CauseCode::LACK_OF_RESOURCES)];
    assert_eq!(
        lab.message(FIRST, refusal(pool(), CauseCode::LACK_OF_RESOURCES)),
        [failed(1, ResolveError::Rejected(causes))]
    );
}

#[test]
fn questions_are_pipelined_and_answers_go_to_the_oldest_about_their_pool() {
    let mut lab = Lab::homed();
    let other = handle("other");
    for handle in [pool(), other.clone(), pool()] {
        assert_eq!(lab.resolve(handle.clone()), [ask(FIRST, handle, None)]);
    }
    assert_eq!(firsts(&lab.message(FIRST, known(pool(), &[1, 2]))), [(1, 1)]);
    assert_eq!(firsts(&lab.message(FIRST, known(pool(), &[2, 1]))), [(3, 2)]);
    assert_eq!(firsts(&lab.message(FIRST, known(other, &[7]))), [(2, 7)]);
    // One too many.
    assert_eq!(lab.message(FIRST, known(pool(), &[1])), []);
    assert_eq!(lab.user.stats().unasked, 1);
}

#[test]
fn it_asks_for_as_many_elements_as_are_wanted() {
    let mut lab = Lab::homed();
    let request = Request { items: Some(3), ..lab.request(pool()) };
    assert_eq!(lab.command(Command::Resolve(request)), [ask(FIRST, pool(), Some(3))]);
}

// Checklist 86, 122, 123: another registrar, and the application does not notice.
#[test]
fn what_was_under_way_when_the_home_died_is_asked_at_the_next_registrar() {
    let mut lab = Lab::homed_with(two_registrars());
    lab.resolve(pool());
    lab.resolve(handle("other"));
    let outputs = lab.down(FIRST);
    assert_eq!(outputs[0], Output::Event(Event::HomeLost));
    assert_eq!(outputs.len(), 3);
    let next = Peer::dialed(4);
    assert_eq!(
        lab.up(next),
        [
            Output::Abort(Peer::dialed(3)),
            found(),
            ask(next, pool(), None),
            ask(next, handle("other"), None)
        ]
    );
    assert_eq!(firsts(&lab.message(next, known(pool(), &[1]))), [(1, 1)]);
    assert_eq!(lab.user.stats().repeated, 2);
}

#[test]
fn a_home_that_dies_while_nothing_is_asked_is_replaced_when_it_is_needed() {
    let mut lab = Lab::homed();
    assert_eq!(lab.down(FIRST), [Output::Event(Event::HomeLost)]);
    assert_eq!(lab.user.next_timeout(), None);
    assert_eq!(lab.resolve(pool()), [connect(SECOND, 0)]);
}

// Checklist 124: T1.
#[test]
fn an_unanswered_question_is_asked_again_while_another_registrar_is_sought() {
    let mut lab = Lab::homed();
    lab.resolve(pool());
    assert_eq!(lab.timeout(), (15, vec![ask(FIRST, pool(), None), connect(SECOND, 0)]));
    // A late answer is an answer.
    assert_eq!(
        lab.message(FIRST, known(pool(), &[1])),
        [Output::Abort(SECOND), resolved(1, &[1], 0, Source::Registrar)]
    );
    assert_eq!(lab.user.state, State::Homed { home: FIRST });
    assert_eq!(lab.user.next_timeout(), None);
}

// Checklist 124: MAX-REQUEST-RETRANSMIT.
#[test]
fn after_two_repetitions_the_request_fails() {
    let mut lab = Lab::homed();
    lab.resolve(pool());
    let mut asked = 0;
    let start = lab.now;
    loop {
        let (_, outputs) = lab.timeout();
        asked += outputs.iter().filter(|o| **o == ask(FIRST, pool(), None)).count();
        if outputs.contains(&failed(1, ResolveError::Timeout)) {
            // With nothing left to ask, a home that does not answer is left.
            assert!(outputs.contains(&Output::Abort(FIRST)));
            break;
        }
    }
    assert_eq!((asked, (lab.now - start).as_secs()), (2, 45));
    assert_eq!(lab.user.state, State::Idle);
    assert_eq!(lab.user.next_timeout(), None);
}

// Checklist 125.
#[test]
fn another_registrar_that_comes_up_is_the_home_and_asked_again() {
    let mut lab = Lab::homed_with(two_registrars());
    lab.resolve(pool());
    // The silent one is not dialed.
    let (_, outputs) = lab.timeout();
    assert_eq!(outputs.len(), 2);
    let next = Peer::dialed(3);
    assert_eq!(lab.up(next), [Output::Abort(FIRST), found(), ask(next, pool(), None)]);
    // What comes late from the other is not for us any more.
    assert_eq!(lab.message(FIRST, known(pool(), &[9])), []);
    assert_eq!(lab.user.stats().unexpected, 1);
    lab.wait(14);
    assert_eq!(firsts(&lab.message(next, known(pool(), &[1]))), [(1, 1)]);
}

#[test]
fn a_home_that_dies_while_it_is_doubted_leaves_the_hunt_going() {
    let mut lab = Lab::homed();
    lab.resolve(pool());
    lab.timeout();
    assert_eq!(lab.down(FIRST), [Output::Event(Event::HomeLost)]);
    assert_eq!(lab.user.state, State::Hunting);
    assert_eq!(lab.up(SECOND), [found(), ask(SECOND, pool(), None)]);
}

// Checklist 83: no registrar at all.
#[test]
fn without_any_registrar_the_request_fails_and_nobody_hunts_on() {
    let mut lab = Lab::new();
    lab.resolve(pool());
    lab.down(FIRST);
    let start = lab.now;
    let (waited, outputs) = lab.timeout();
    assert!((5..=10).contains(&waited), "{waited}");
    assert_eq!(outputs, [connect(SECOND, 0), Output::Event(Event::NoRegistrar)]);
    loop {
        let (_, outputs) = lab.timeout();
        if let Some(row) = outputs.iter().position(|o| matches!(o, Output::Event(_))) {
            assert_eq!(outputs[row], failed(1, ResolveError::NoRegistrar));
            break;
        }
    }
    assert_eq!((lab.now - start).as_secs(), 45);
    assert_eq!(lab.user.next_timeout(), None);
}

#[test]
fn a_registrar_that_hangs_up_at_each_question_is_not_asked_in_a_circle() {
    let mut lab = Lab::new();
    lab.resolve(pool());
    for number in 1..=3 {
        lab.up(Peer::dialed(number));
        lab.down(Peer::dialed(number));
    }
    let (waited, outputs) = lab.timeout();
    assert_eq!((waited, outputs), (10, vec![connect(Peer::dialed(4), 0)]));
}

// 5352 §2.2.14.
#[test]
fn an_error_refuses_the_only_question_and_of_several_none() {
    let mut lab = Lab::homed();
    lab.resolve(pool());
    let causes = vec![Cause::new(CauseCode::UNSPECIFIED)];
    assert_eq!(
        lab.message(FIRST, Asap::Error(causes.clone())),
        [failed(1, ResolveError::Rejected(causes.clone()))]
    );
    lab.resolve(pool());
    lab.resolve(pool());
    assert_eq!(lab.message(FIRST, Asap::Error(causes)), []);
    assert_eq!(lab.user.stats().errors, 1);
}

#[test]
fn there_is_a_limit_to_what_is_under_way() {
    let mut lab = Lab::homed_with(Config { requests_max: 1, ..config() });
    lab.resolve(pool());
    assert_eq!(lab.resolve(pool()), [failed(2, ResolveError::TooManyRequests)]);
    lab.message(FIRST, known(pool(), &[1]));
    assert_eq!(lab.resolve(pool()), [ask(FIRST, pool(), None)]);
}

#[test]
fn it_stops_and_tells_who_waits() {
    let mut lab = Lab::homed();
    lab.resolve(pool());
    assert_eq!(
        lab.command(Command::Stop),
        [failed(1, ResolveError::NoRegistrar), Output::Close(FIRST)]
    );
    assert_eq!(lab.user.next_timeout(), None);
    assert_eq!(lab.user.home(), None);
}

#[test]
fn nobody_comes_to_a_user() {
    let mut lab = Lab::homed();
    let caller = Peer::accepted(1);
    assert_eq!(lab.up(caller), [Output::Abort(caller)]);
    // An attempt that came up after its hunt was over is on its way out already.
    assert_eq!(lab.up(SECOND), []);
}

#[test]
fn the_home_tells_when_its_addresses_change() {
    let mut lab = Lab::homed();
    let address = Ipv4Addr::new(10, 0, 0, 1).into();
    assert_eq!(lab.input(Input::Addresses(FIRST, vec![address])), []);
    assert_eq!(lab.user.home().unwrap().remote, [address]);
}

/// With a walk through all questions of the pool for each of them this does not come to its end.
#[test]
fn as_many_requests_as_there_may_be_for_one_pool_are_asked_and_answered() {
    let mut lab = Lab::homed();
    let count = u64::try_from(config().requests_max).unwrap();
    let before = lab.user.stats().failed;
    lab.command(Command::Subscribe(pool()));
    for _ in 0..count {
        assert_eq!(lab.resolve(pool()), [ask(FIRST, pool(), None)]);
    }
    assert_eq!(lab.resolve(pool()), [failed(count + 1, ResolveError::TooManyRequests)]);
    // The first answer is the subscription's, and none is asked for twice.
    assert_eq!(firsts(&lab.message(FIRST, known(pool(), &[1]))), []);
    let (mut answered, half) = (0, count / 2);
    for request in 1..=half {
        assert_eq!(firsts(&lab.message(FIRST, known(pool(), &[1]))), [(request, 1)]);
        answered += 1;
    }
    lab.command(Command::Unsubscribe(pool()));
    lab.command(Command::Stop);
    assert_eq!((answered, lab.user.stats().failed - before), (half, 1 + half));
}
