//! Keep-alives, homes that change, homes that fall silent.

use std::net::IpAddr;

use rserpool_wire::param::TransportUse;
use rserpool_wire::registry::PolicyType;

use super::*;

fn adopted(lab: &mut Lab) -> Vec<Output<Event>> {
    lab.up(CALLER);
    lab.message(CALLER, claim())
}

fn caller() -> Home {
    Home { id: Some(registrar(8)), target: None, link: link() }
}

// Checklist 99, 101.
#[test]
fn a_keep_alive_is_answered_and_tells_who_the_home_is() {
    let mut lab = Lab::registered();
    let known = Home { id: Some(registrar(9)), ..home(0) };
    assert_eq!(
        lab.message(FIRST, keep_alive()),
        [ack(FIRST), Output::Event(Event::HomeChanged { home: known.clone() })]
    );
    assert_eq!(lab.message(FIRST, keep_alive()), [ack(FIRST)]);
    assert_eq!(lab.element.home(), Some(&known));
    // The next registration says so.
    lab.wait(1);
    let outputs = lab.command(Command::SetPolicy(Policy::of_type(PolicyType::RANDOM)));
    let policy = Policy::of_type(PolicyType::RANDOM);
    assert_eq!(outputs, [send(FIRST, registration_knowing(Some(registrar(9)), policy))]);
}

// Checklist 99: with and without the identifier that the RFC does not have.
#[test]
fn a_keep_alive_without_an_identifier_is_answered_too() {
    let mut lab = Lab::registered();
    let plain =
        KeepAlive { claim_home: false, sender: Some(registrar(9)), handle: handle(), id: None };
    assert_eq!(lab.message(FIRST, Asap::KeepAlive(plain))[0], ack(FIRST));
    // Not even who asks is needed; but without a name nobody becomes the home.
    let nameless = KeepAlive { claim_home: true, sender: None, handle: handle(), id: None };
    lab.up(CALLER);
    assert_eq!(lab.message(CALLER, Asap::KeepAlive(nameless)), [ack(CALLER)]);
    assert_eq!(lab.element.state, State::Registered { home: FIRST });
}

// Checklist 100.
#[test]
fn a_keep_alive_for_another_pool_or_element_is_dropped_and_nobody_adopted() {
    let mut lab = Lab::registered();
    lab.up(CALLER);
    let other_pool = KeepAlive {
        claim_home: true,
        sender: Some(registrar(8)),
        handle: PoolHandle::new(*b"other").unwrap(),
        id: None,
    };
    let other_element = KeepAlive {
        claim_home: true,
        sender: Some(registrar(8)),
        handle: handle(),
        id: Some(PeId(1)),
    };
    assert_eq!(lab.message(CALLER, Asap::KeepAlive(other_pool)), []);
    assert_eq!(lab.message(CALLER, Asap::KeepAlive(other_element)), []);
    assert_eq!(lab.element.state, State::Registered { home: FIRST });
    assert_eq!(lab.element.stats().keep_alives_ignored, 2);
}

#[test]
fn an_element_that_is_out_answers_no_keep_alive() {
    let mut lab = Lab::new();
    assert_eq!(lab.up(CALLER), [Output::Close(CALLER)]);
    assert_eq!(lab.message(CALLER, claim()), []);
}

// Checklist 103.
#[test]
fn who_only_asks_does_not_become_the_home() {
    let mut lab = Lab::registered();
    lab.up(CALLER);
    assert_eq!(lab.message(CALLER, keep_alive()), [ack(CALLER)]);
    assert_eq!(lab.element.state, State::Registered { home: FIRST });
}

// Checklist 67, 102: the takeover, as the element sees it.
#[test]
fn a_registrar_that_claims_it_becomes_its_home() {
    let mut lab = Lab::registered();
    let register = send(CALLER, registration_knowing(Some(registrar(8)), Policy::round_robin()));
    assert_eq!(
        adopted(&mut lab),
        [ack(CALLER), Output::Event(Event::HomeChanged { home: caller() }), register]
    );
    assert_eq!(lab.message(FIRST, accepted()), []);
    assert_eq!(lab.message(CALLER, accepted()), []);
    assert_eq!(lab.element.home(), Some(&caller()));
    // The former home is left once it has had time to hear of it.
    assert_eq!(lab.timeout(), (5, vec![Output::Close(FIRST)]));
    assert_eq!(lab.timeout_in(), Some(239));
    // What the new home is dies with its association.
    let outputs = lab.down(CALLER);
    assert_eq!(outputs, [Output::Event(Event::HomeLost), connect(SECOND, 0)]);
}

#[test]
fn a_claim_ends_the_search_for_a_home() {
    let mut lab = Lab::registered();
    assert_eq!(lab.down(FIRST), [Output::Event(Event::HomeLost), connect(SECOND, 0)]);
    let outputs = adopted(&mut lab);
    assert_eq!(outputs[..2], [ack(CALLER), Output::Event(Event::HomeChanged { home: caller() })]);
    assert_eq!(outputs[2], Output::Abort(SECOND));
    assert_eq!(outputs.len(), 4);
    assert_eq!(
        lab.message(CALLER, accepted()),
        [Output::Event(Event::Registered { id: ID, home: caller() })]
    );
}

/// Its home took it from another registrar, which has not heard of that, and died. The other one goes
/// on asking, over an association that it has dialed itself: there the element is at home.
#[test]
fn who_asks_an_element_without_a_home_is_its_home() {
    let mut lab = Lab::registered();
    lab.up(CALLER);
    // While it has a home, who asks beside it is answered, and nothing else.
    let asks = |sender: u32| {
        let sender = Some(registrar(sender));
        Asap::KeepAlive(KeepAlive { claim_home: false, sender, handle: handle(), id: Some(ID) })
    };
    assert_eq!(lab.message(CALLER, asks(8)), [ack(CALLER)]);
    assert_eq!(lab.down(FIRST), [Output::Event(Event::HomeLost), connect(SECOND, 0)]);
    // Its dial finds that association.
    lab.input(Input::Known(SECOND, CALLER));
    let outputs = lab.message(CALLER, asks(8));
    assert_eq!(outputs[..2], [ack(CALLER), Output::Event(Event::HomeChanged { home: caller() })]);
    let register = registration_knowing(Some(registrar(8)), Policy::round_robin());
    assert_eq!(outputs.last(), Some(&send(CALLER, register)));
    assert_eq!(
        lab.message(CALLER, accepted()),
        [Output::Event(Event::Registered { id: ID, home: caller() })]
    );
}

/// Who has entered it must not be left without a word, nor both be told that it is theirs.
#[test]
fn a_registration_under_way_comes_before_a_claim() {
    let mut lab = Lab::new();
    lab.command(Command::Register);
    lab.up(FIRST);
    assert_eq!(adopted(&mut lab), []);
    let outputs = lab.message(FIRST, accepted());
    assert!(matches!(&outputs[..], [Output::Event(Event::Registered { id: ID, .. })]));
    let home = lab.element.home().cloned();
    lab.wait(60);
    assert_eq!(lab.element.home().cloned(), home);
    assert_eq!(lab.element.state, State::Registered { home: FIRST });
    assert_eq!(lab.element.stats().adoptions, 0);
}

#[test]
fn a_claim_wins_where_the_registration_under_way_is_not_answered_in_time() {
    for is_lost in [true, false] {
        let mut lab = Lab::new();
        lab.command(Command::Register);
        lab.up(FIRST);
        assert_eq!(adopted(&mut lab), []);
        if is_lost {
            lab.down(FIRST);
        }
        // The RFC's MAX-TIME-NO-RESPONSE.
        let (after, outputs) = lab.timeout();
        assert_eq!((after, &outputs[0]), (5, &ack(CALLER)));
        assert_eq!(lab.message(FIRST, accepted()), []);
        assert_eq!(
            lab.message(CALLER, accepted()),
            [Output::Event(Event::Registered { id: ID, home: caller() })]
        );
    }
}

#[test]
fn whoever_claims_it_while_it_leaves_is_told_that_it_leaves() {
    let mut lab = Lab::registered();
    lab.command(Command::Deregister);
    let outputs = adopted(&mut lab);
    assert_eq!(outputs.last(), Some(&deregister_at(CALLER)));
    assert_eq!(
        lab.message(CALLER, deregistered()),
        [Output::Close(FIRST), Output::Close(CALLER), Output::Event(Event::Deregistered)]
    );
}

#[test]
fn a_home_may_claim_it_over_another_association() {
    let mut lab = Lab::supervised();
    lab.up(CALLER);
    let again =
        KeepAlive { claim_home: true, sender: Some(registrar(9)), handle: handle(), id: None };
    let outputs = lab.message(CALLER, Asap::KeepAlive(again));
    assert_eq!(outputs[0], ack(CALLER));
    assert_eq!(lab.element.state, State::Reregistering { home: CALLER });
}

#[test]
fn a_claim_from_the_home_itself_is_answered_and_changes_nothing() {
    let mut lab = Lab::registered();
    lab.message(FIRST, claim());
    assert_eq!(lab.message(FIRST, claim()), [ack(FIRST)]);
    assert_eq!(lab.element.state, State::Registered { home: FIRST });
}

// Silence counts by the home's own rhythm, and only once it has asked.
#[test]
fn a_home_that_asked_and_then_falls_silent_is_asked_and_then_left() {
    let mut lab = Lab::supervised();
    assert_eq!(lab.timeout_in(), Some(61));
    lab.wait(5);
    lab.message(FIRST, keep_alive());
    let renewal = send(FIRST, registration_knowing(Some(registrar(9)), Policy::round_robin()));
    assert_eq!(lab.timeout(), (61, vec![renewal]));
    let (waited, outputs) = lab.timeout();
    assert_eq!(waited, 30);
    assert_eq!(outputs, [Output::Abort(FIRST), Output::Event(Event::HomeLost), connect(SECOND, 0)]);
    assert_eq!(lab.element.stats().homes_silent, 1);
}

#[test]
fn a_home_that_answers_was_only_busy_and_gets_more_time() {
    let mut lab = Lab::supervised();
    lab.timeout();
    assert_eq!(lab.message(FIRST, accepted()), []);
    assert_eq!(lab.element.state, State::Registered { home: FIRST });
    // Half as long again as it was silent now.
    assert_eq!(lab.timeout_in(), Some(91));
}

#[test]
fn a_renewal_under_way_is_not_waited_for_beyond_the_silence() {
    let mut lab = Lab::supervised();
    lab.wait(60);
    lab.command(Command::SetTransport(transport(8)));
    assert_eq!(lab.timeout(), (1, vec![]));
    let (waited, outputs) = lab.timeout();
    assert_eq!((waited, outputs.len()), (30, 3));
}

#[test]
fn another_registrar_is_preferred_to_one_that_fell_silent() {
    let mut lab = Lab::registered_with(two_registrars());
    lab.wait(5);
    lab.message(FIRST, keep_alive());
    let Some(Target::Configured(silent)) = lab.element.home().unwrap().target else {
        panic!("a configured home");
    };
    lab.timeout();
    let outputs = lab.timeout().1;
    assert_eq!(outputs[2..], [connect(Peer::dialed(3), 1 - silent)]);
}

#[test]
fn a_home_that_dies_before_its_first_question_is_asked_and_then_left() {
    let mut lab = Lab::registered();
    let renewal = send(FIRST, registration(Policy::round_robin()));
    assert_eq!(lab.timeout(), (4 * 61, vec![renewal]));
    let (waited, outputs) = lab.timeout();
    assert_eq!(waited, 30);
    assert_eq!(outputs, [Output::Abort(FIRST), Output::Event(Event::HomeLost), connect(SECOND, 0)]);
}

#[test]
fn a_home_that_never_asks_but_answers_is_never_silent() {
    let mut lab = Lab::registered();
    lab.timeout();
    assert_eq!(lab.message(FIRST, accepted()), []);
    assert_eq!(lab.timeout_in(), Some(280));
}

#[test]
fn a_home_that_asks_seldom_is_given_more_time() {
    let mut lab = Lab::registered();
    lab.wait(100);
    lab.message(FIRST, keep_alive());
    assert_eq!(lab.timeout_in(), Some(150));
}

#[test]
fn an_element_that_stood_still_itself_hears_its_home_out() {
    let mut lab = Lab::supervised();
    lab.now = lab.now + Duration::from_secs(200);
    assert_eq!(lab.input(Input::Timeout).len(), 1);
    assert_eq!(lab.message(FIRST, keep_alive()), [ack(FIRST)]);
    assert_eq!(lab.message(FIRST, accepted()), []);
    assert_eq!(lab.element.state, State::Registered { home: FIRST });
}

#[test]
fn a_home_that_answers_a_renewal_is_not_silent() {
    let mut lab = Lab::supervised();
    lab.wait(50);
    lab.command(Command::SetTransport(transport(8)));
    lab.message(FIRST, accepted());
    assert_eq!(lab.timeout_in(), Some(61));
}

#[test]
fn those_that_only_hold_associations_cannot_keep_a_claim_out() {
    let mut lab = Lab::registered();
    let most = u64::try_from(PoolElement::ASSOCIATIONS_MAX).unwrap();
    for number in 100..100 + most - 1 {
        assert_eq!(lab.up(Peer::accepted(number)), []);
    }
    assert_eq!(lab.up(CALLER), [Output::Abort(Peer::accepted(100))]);
    assert_eq!(lab.message(CALLER, claim())[0], ack(CALLER));
    assert_eq!(lab.element.associations.len(), PoolElement::ASSOCIATIONS_MAX);
}

#[test]
fn an_attempt_that_comes_up_after_the_hunt_is_over_is_no_callers() {
    let mut lab = Lab::registered_with(two_registrars());
    assert_eq!(lab.up(SECOND), []);
    assert_eq!(lab.message(SECOND, claim()), []);
    assert_eq!(lab.element.associations.len(), 1);
}

#[test]
fn the_home_tells_when_its_addresses_change() {
    let mut lab = Lab::registered();
    let address = Ipv4Addr::new(10, 0, 0, 1).into();
    assert_eq!(lab.input(Input::Addresses(FIRST, vec![address])), []);
    assert_eq!(lab.element.home().unwrap().link.remote, [address]);
}

// draft-dreibholz-rserpool-applic-mobility: at once, and over the same association.
#[test]
fn a_host_that_gets_or_loses_an_address_is_told_of() {
    let everywhere = Transport::Tcp {
        port: 7,
        transport_use: TransportUse::DataOnly,
        address: Ipv4Addr::UNSPECIFIED.into(),
    };
    let mut lab = Lab::registered_with(Config { user_transport: everywhere.clone(), ..config() });
    let at = |last| vec![IpAddr::from([10, 0, 0, last])];
    let outputs = lab.input(Input::OwnAddresses(FIRST, at(1)));
    let [Output::Send(FIRST, Message::Asap(Asap::Registration(registration)))] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(registration.element.user_transport.addresses(), at(1));
    // One registration at a time: what changes meanwhile is told after the answer.
    assert_eq!(lab.input(Input::OwnAddresses(FIRST, at(2))), []);
    assert_eq!(lab.message(FIRST, accepted()).len(), 1);
    assert_eq!(lab.message(FIRST, accepted()), []);
    // Who serves at one address stays there.
    let mut lab = Lab::registered();
    assert_eq!(lab.input(Input::OwnAddresses(FIRST, at(1))), []);
}
