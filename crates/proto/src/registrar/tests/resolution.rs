use std::net::IpAddr;

use rserpool_wire::Message;
use rserpool_wire::asap::{Asap, HandleResolution, HandleResolutionResponse};
use rserpool_wire::codec::Codec;
use rserpool_wire::enrp::{Body, Enrp, Update, UpdateAction};
use rserpool_wire::param::{PeId, Policy, PolicyField, PoolElement, RegistrarId};
use rserpool_wire::registry::PolicyType;

use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, OTHER, OTHER_ADDRESS, USER, element, pool};
use crate::machine::{Input, Output, Peer};
use crate::registrar::{Config, Event};

fn subscription(items: Option<u32>) -> Asap {
    Asap::HandleResolution(HandleResolution { want_updates: true, handle: pool(), items })
}

fn pushed(outputs: &[Output<Event>]) -> Vec<(Peer, HandleResolutionResponse)> {
    let push = |output: &Output<Event>| match output {
        Output::Send(peer, Message::Asap(Asap::HandleResolutionResponse(answer))) => {
            Some((*peer, answer.clone()))
        }
        _ => None,
    };
    outputs.iter().filter_map(push).collect()
}

// Checklist 88, 92, 93.
#[test]
fn an_unknown_pool_is_answered_with_cause_9() {
    let mut lab = Lab::new();
    assert_eq!(lab.resolve(None), None);
    assert_eq!(lab.registrar.stats().unknown_pools, 1);
}

#[test]
fn as_many_elements_are_listed_as_were_asked_for_and_none_twice() {
    let mut lab = Lab::new();
    for id in 1..=4 {
        lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]));
    }
    assert_eq!(lab.resolve(Some(2)), Some(vec![1, 2]));
    assert_eq!(lab.resolve(Some(2)), Some(vec![2, 3]));
    assert_eq!(lab.resolve(Some(9)), Some(vec![3, 4, 1, 2]));
    // Checklist 89: without an option, all.
    assert_eq!(lab.resolve(None), Some(vec![4, 1, 2, 3]));
}

// Checklist 90: we send it always, for rsplib's sake.
#[test]
fn the_policy_of_the_pool_is_told_and_asap_transports_are_not() {
    let mut lab = Lab::new();
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    let question = HandleResolution { want_updates: false, handle: pool(), items: None };
    let Asap::HandleResolutionResponse(answer) = lab.ask(USER, Asap::HandleResolution(question))
    else {
        panic!("no answer")
    };
    assert_eq!(answer.policy, Some(Policy::round_robin()));
    assert_eq!(answer.elements[0].asap_transport, None);
    assert_eq!(answer.elements[0].home, Some(lab.registrar.id()));
}

#[test]
fn a_pool_in_which_nobody_can_serve_is_as_good_as_none() {
    let mut lab = Lab::new();
    let policy = Policy::of_type(PolicyType::WEIGHTED_RANDOM).with(PolicyField::Weight, 0);
    lab.register(ELEMENT, PoolElement { policy, ..element(1, &[ELEMENT_ADDRESS]) });
    assert_eq!(lab.resolve(None), None);
}

#[test]
fn an_answer_fits_into_a_message_however_large_the_pool() {
    let config = {
        let mut config = Config::default();
        config.handlespace.items_max = 100_000.try_into().unwrap();
        config
    };
    let mut lab = Lab::with(config);
    let many: Vec<IpAddr> = (0..60).map(|n| IpAddr::from([10, 1, 0, n])).collect();
    lab.input(Input::Addresses(ELEMENT, many.clone()));
    for id in 1..=500 {
        assert_eq!(lab.register(ELEMENT, element(id, &many)), []);
    }
    let question = HandleResolution { want_updates: false, handle: pool(), items: Some(u32::MAX) };
    let answer = lab.ask(USER, Asap::HandleResolution(question));
    let octets = answer.to_octets();
    assert!(octets.len() <= 65_535 && octets.len() > 60_000, "{}", octets.len());
    assert_eq!(Asap::from_octets(&octets), Ok(answer));
}

// RFC 5352 §2.2.5; checklist 95.
#[test]
fn a_subscriber_is_told_of_each_change_as_long_as_its_association_lives() {
    let mut lab = Lab::new();
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    let Asap::HandleResolutionResponse(answer) = lab.ask(USER, subscription(None)) else {
        panic!("no answer")
    };
    assert!(answer.updates_accepted);

    let registration =
        rserpool_wire::asap::Registration { handle: pool(), element: element(2, &[OTHER_ADDRESS]) };
    let outputs = lab.asap(OTHER, Asap::Registration(registration));
    let [(USER, update)] = &pushed(&outputs)[..] else { panic!("{outputs:?}") };
    assert!(update.updates_accepted);
    assert_eq!(update.elements.len(), 2);

    lab.wait(20);
    let outputs = lab.input(Input::Down(OTHER));
    assert_eq!(pushed(&outputs)[0].1.elements.len(), 1);
    lab.wait(20);
    // With the pool the subscription ends.
    let outputs = lab.input(Input::Down(ELEMENT));
    let [(USER, update)] = &pushed(&outputs)[..] else { panic!("{outputs:?}") };
    assert!(!update.updates_accepted && !update.causes.is_empty());
    lab.input(Input::Up(
        ELEMENT,
        super::lab::link(crate::machine::Carrier::Sctp, &[ELEMENT_ADDRESS]),
    ));
    assert_eq!(lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS])), []);
}

// Checklist 96.
#[test]
fn a_negative_answer_subscribes_to_nothing() {
    let mut lab = Lab::new();
    let Asap::HandleResolutionResponse(answer) = lab.ask(USER, subscription(None)) else {
        panic!("no answer")
    };
    assert!(!answer.updates_accepted);
    assert_eq!(lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS])), []);
}

#[test]
fn many_changes_at_once_are_one_update() {
    let mut lab = Lab::new();
    for id in 1..=50 {
        lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]));
    }
    lab.register(OTHER, element(99, &[OTHER_ADDRESS]));
    lab.ask(USER, subscription(Some(5)));
    let outputs = lab.input(Input::Down(ELEMENT));
    assert_eq!(pushed(&outputs).len(), 1);
}

#[test]
fn subscriptions_have_a_limit() {
    let mut lab = Lab::with(Config { subscriptions_max: 0, ..Config::default() });
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    let Asap::HandleResolutionResponse(answer) = lab.ask(USER, subscription(None)) else {
        panic!("no answer")
    };
    assert!(!answer.updates_accepted && answer.elements.len() == 1);
    assert_eq!(lab.registrar.stats().subscriptions_refused, 1);
}

#[test]
fn a_registration_that_changes_nothing_is_no_update() {
    let mut lab = Lab::new();
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    lab.ask(USER, subscription(None));
    // `register` insists on one answer and nothing else.
    assert_eq!(lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS])), []);
}

#[test]
fn an_update_without_elements_ends_the_subscription() {
    let mut lab = Lab::new();
    let weighted = |weight| {
        let policy = Policy::of_type(PolicyType::WEIGHTED_RANDOM);
        let policy = policy.with(PolicyField::Weight, weight);
        PoolElement { policy, ..element(1, &[ELEMENT_ADDRESS]) }
    };
    lab.register(ELEMENT, weighted(1));
    lab.ask(USER, subscription(None));
    let registration = |weight| {
        let element = weighted(weight);
        Asap::Registration(rserpool_wire::asap::Registration { handle: pool(), element })
    };
    let outputs = lab.asap(ELEMENT, registration(0));
    let [(USER, update)] = &pushed(&outputs)[..] else { panic!("{outputs:?}") };
    assert!(!update.updates_accepted && !update.causes.is_empty());
    assert_eq!(pushed(&lab.asap(ELEMENT, registration(1))), []);
}

#[test]
fn who_came_for_asap_has_no_business_with_enrp() {
    let mut lab = Lab::new();
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    let stolen = PoolElement { home: RegistrarId::new(0x666), ..element(1, &[OTHER_ADDRESS]) };
    let message = Enrp {
        sender: RegistrarId::new(0x666),
        receiver: None,
        body: Body::Update(Update {
            takeover_suggested: false,
            action: UpdateAction::AddElement,
            handle: pool(),
            element: stolen,
        }),
    };
    assert_eq!(lab.input(Input::Message(USER, Message::Enrp(message))), []);
    assert_eq!(lab.events, []);
    let index = lab.registrar.handlespace().find(&pool(), PeId(1)).unwrap();
    let kept = lab.registrar.handlespace().element(index).unwrap().element;
    assert_eq!(kept.user_transport.addresses(), [ELEMENT_ADDRESS]);
}
