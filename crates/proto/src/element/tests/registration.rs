//! Into the pool and out of it: the table of states and inputs.

use std::net::{IpAddr, Ipv6Addr};

use rserpool_wire::param::{Load, SctpTransport};

use super::*;
use crate::dialect::{Dialect, Lifetime};

// Checklist 52, 54, 56, 59: the messages, T2, T4.
#[test]
fn registers_and_renews() {
    // The home does not ask whether the element lives; that is not what this is about.
    let peer_silence_max = Duration::from_secs(100);
    let timing = Timing { peer_silence_max, ..config().timing };
    let mut lab = Lab::with(Config { timing, ..config() });
    assert_eq!(lab.command(Command::Register), [connect(FIRST, 0)]);
    assert_eq!(lab.up(FIRST), [register_at(FIRST)]);
    assert_eq!(lab.timeout_in(), Some(30));
    lab.wait(1);
    assert_eq!(
        lab.message(FIRST, accepted()),
        [Output::Event(Event::Registered { id: ID, home: home(0) })]
    );
    // Checklist 53: the same identifier.
    assert_eq!(lab.timeout(), (280, vec![register_at(FIRST)]));
    assert_eq!(lab.message(FIRST, accepted()), []);
    assert_eq!(lab.timeout_in(), Some(280));
}

// Checklist 59.
#[test]
fn the_renewal_leaves_twenty_seconds_of_the_life() {
    let interval = |lifetime| Config { lifetime, ..config() }.reregistration_interval().as_secs();
    let life = |seconds| Lifetime::For(Duration::from_secs(seconds));
    assert_eq!(interval(life(40)), 20);
    assert_eq!(interval(life(300)), 280);
    assert_eq!(interval(life(3600)), 600);
    assert_eq!(interval(Lifetime::Forever), 600);
    // Where that leaves little or nothing: half of it.
    assert_eq!(interval(life(30)), 15);
    assert_eq!(interval(life(2)), 1);
    let own = Some(Duration::from_secs(7));
    assert_eq!(
        Config { reregistration_interval: own, ..config() }.reregistration_interval().as_secs(),
        7
    );
}

#[test]
fn the_dialect_tells_what_a_life_is_on_the_wire() {
    let mut lab = Lab::with(Config { dialect: Dialect::Rsplib, ..config() });
    lab.command(Command::Register);
    let outputs = lab.up(FIRST);
    let [Output::Send(_, Message::Asap(Asap::Registration(registration)))] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!(registration.element.life, RegistrationLife(300_000));
}

// Checklist 53.
#[test]
fn an_identifier_is_drawn_from_the_seed_and_never_0() {
    let id = |seed, id| PoolElement::new(Config { id, ..config() }, seed).id();
    assert_eq!(id(1, None), id(1, None));
    assert_ne!(id(1, None), id(2, None));
    assert_eq!(id(1, Some(PeId(0))), id(1, None));
    assert_ne!(id(1, None), PeId(0));
}

// RFC 5352 §3.1; checklist 58: never again unchanged.
#[test]
fn a_rejected_element_stays_out_until_it_is_told_to_register() {
    let mut lab = Lab::new();
    lab.command(Command::Register);
    lab.up(FIRST);
    let causes = vec![cause(CauseCode::INCONSISTENT_POLICY)];
    assert_eq!(
        lab.message(FIRST, answer(true, causes.clone())),
        [Output::Close(FIRST), Output::Event(Event::Rejected { causes, by: vec![home(0)] })]
    );
    assert_eq!(lab.timeout_in(), None);
    assert_eq!(lab.command(Command::SetPolicy(Policy::least_used(Load(5)))), []);
    assert_eq!(lab.command(Command::Register), [connect(SECOND, 0)]);
    assert_eq!(lab.up(SECOND), [send(SECOND, registration(Policy::least_used(Load(5))))]);
}

// Checklist 61.
#[test]
fn causes_without_rejection_are_warnings() {
    let mut lab = Lab::new();
    lab.command(Command::Register);
    lab.up(FIRST);
    let causes = vec![cause(CauseCode::INVALID_VALUES)];
    assert_eq!(
        lab.message(FIRST, answer(false, causes.clone())),
        [
            Output::Event(Event::Registered { id: ID, home: home(0) }),
            Output::Event(Event::Warned { causes })
        ]
    );
}

// rsplib answers by an error what it cannot read.
#[test]
fn an_error_is_the_answer_to_the_request_under_way() {
    let mut lab = Lab::new();
    lab.command(Command::Register);
    lab.up(FIRST);
    let causes = vec![cause(CauseCode(0x100b))];
    assert_eq!(
        lab.message(FIRST, Asap::Error(causes.clone())),
        [
            Output::Close(FIRST),
            Output::Event(Event::Rejected { causes: causes.clone(), by: vec![home(0)] })
        ]
    );
    let mut lab = Lab::registered();
    assert_eq!(lab.message(FIRST, Asap::Error(causes.clone())), []);
    assert_eq!(lab.element.stats().errors, 1);
    lab.command(Command::Deregister);
    assert_eq!(
        lab.message(FIRST, Asap::Error(causes.clone())),
        [Output::Event(Event::DeregistrationRefused { causes }), register_at(FIRST)]
    );
}

// Checklist 57: T2.
#[test]
fn a_silent_registrar_is_left_for_another() {
    let mut lab = Lab::with(two_registrars());
    let dials = lab.command(Command::Register);
    assert_eq!(dials.len(), 2);
    let [Output::Connect(_, Target::Configured(chosen), _), _] = dials[..] else {
        panic!("{dials:?}");
    };
    assert_eq!(lab.up(FIRST), [Output::Abort(SECOND), register_at(FIRST)]);
    let (waited, outputs) = lab.timeout();
    assert_eq!(waited, 30);
    assert_eq!(outputs, [Output::Abort(FIRST), connect(Peer::dialed(3), 1 - chosen)]);
    assert_eq!(lab.up(Peer::dialed(3)), [register_at(Peer::dialed(3))]);
    assert_eq!(lab.element.stats().unanswered, 1);
}

// Checklist 57: loss before the answer.
#[test]
fn a_registrar_that_dies_before_it_answers_is_replaced() {
    let mut lab = Lab::with(two_registrars());
    lab.command(Command::Register);
    lab.up(FIRST);
    let outputs = lab.down(FIRST);
    assert_eq!(outputs.len(), 2);
    assert_eq!(lab.up(Peer::dialed(3)).last(), Some(&register_at(Peer::dialed(3))));
}

// Checklist 60.
#[test]
fn after_the_last_attempt_the_application_is_told_once_and_the_search_goes_on_slowly() {
    let mut lab = Lab::new();
    lab.command(Command::Register);
    let mut peer = FIRST;
    let mut told = 0;
    for number in 2..=3 {
        lab.up(peer);
        let (waited, outputs) = lab.timeout();
        assert_eq!(waited, 30);
        told += outputs.iter().filter(|o| **o == Output::Event(Event::NoRegistrar)).count();
        peer = Peer::dialed(number);
        assert_eq!(outputs.last(), Some(&connect(peer, 0)));
    }
    assert_eq!(told, 1);
    lab.up(peer);
    assert_eq!(lab.timeout().1, [Output::Abort(peer)]);
    // T5 passes before the next one.
    assert_eq!(lab.timeout(), (10, vec![connect(Peer::dialed(4), 0)]));
    lab.up(Peer::dialed(4));
    assert_eq!(
        lab.message(Peer::dialed(4), accepted()),
        [Output::Event(Event::Registered { id: ID, home: home(0) })]
    );
}

// Checklist 115, 117.
#[test]
fn without_a_registrar_it_hunts_on_and_says_so_once() {
    let mut lab = Lab::new();
    lab.command(Command::Register);
    assert_eq!(lab.down(FIRST), []);
    let (waited, outputs) = lab.timeout();
    assert!((5..=10).contains(&waited), "{waited}");
    assert_eq!(outputs, [connect(SECOND, 0), Output::Event(Event::NoRegistrar)]);
    let (waited, outputs) = lab.timeout();
    assert!((10..=20).contains(&waited), "{waited}");
    assert_eq!(outputs, [Output::Abort(SECOND), connect(Peer::dialed(3), 0)]);
}

// Checklist 53, 57: within one round trip of the association, with the same identifier.
#[test]
fn when_its_home_dies_it_registers_at_the_next_registrar() {
    let mut lab = Lab::registered_with(two_registrars());
    let outputs = lab.down(FIRST);
    assert_eq!(outputs[0], Output::Event(Event::HomeLost));
    assert_eq!(outputs.len(), 3);
    let next = Peer::dialed(4);
    assert_eq!(lab.up(next), [Output::Abort(Peer::dialed(3)), register_at(next)]);
    let outputs = lab.message(next, accepted());
    assert!(matches!(outputs[..], [Output::Event(Event::Registered { .. })]), "{outputs:?}");
}

#[test]
fn a_new_load_is_told_at_once_where_the_policy_looks_at_it() {
    let policy = Policy::least_used(Load(0));
    let mut lab = Lab::registered_with(Config { policy, ..config() });
    assert_eq!(
        lab.command(Command::SetLoad(Load(1))),
        [send(FIRST, registration(Policy::least_used(Load(1))))]
    );
    // One at a time; the newest goes next, those between never.
    assert_eq!(lab.command(Command::SetLoad(Load(2))), []);
    assert_eq!(lab.command(Command::SetLoad(Load(3))), []);
    assert_eq!(
        lab.message(FIRST, accepted()),
        [send(FIRST, registration(Policy::least_used(Load(3))))]
    );
    // And back again in time is no news.
    assert_eq!(lab.command(Command::SetLoad(Load(4))), []);
    assert_eq!(lab.command(Command::SetLoad(Load(3))), []);
    assert_eq!(lab.message(FIRST, accepted()), []);
    assert_eq!(lab.command(Command::SetLoad(Load(3))), []);
}

#[test]
fn a_load_is_not_told_where_the_policy_does_not_look_at_it() {
    let mut lab = Lab::registered();
    assert_eq!(lab.command(Command::SetLoad(Load(1))), []);
}

#[test]
fn another_transport_is_told_at_once() {
    let mut lab = Lab::registered();
    let outputs = lab.command(Command::SetTransport(transport(8)));
    let [Output::Send(FIRST, Message::Asap(Asap::Registration(sent)))] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!(sent.element.user_transport, transport(8));
}

// Checklist 43.
#[test]
fn an_unspecified_address_stands_for_those_that_the_registrar_sees() {
    let (v4, v6) = (IpAddr::from([10, 0, 0, 7]), IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 7]));
    let registered = |user_transport| {
        let mut lab = Lab::with(Config { user_transport, ..config() });
        lab.command(Command::Register);
        let outputs = lab.input(Input::Up(FIRST, Link { local: vec![v6, v4], ..link() }));
        let [Output::Send(_, Message::Asap(Asap::Registration(sent)))] = &outputs[..] else {
            panic!("{outputs:?}");
        };
        sent.element.user_transport.addresses().to_vec()
    };
    let transport_use = TransportUse::DataOnly;
    let tcp = |address| Transport::Tcp { port: 7, transport_use, address };
    assert_eq!(registered(tcp(Ipv4Addr::UNSPECIFIED.into())), [v4]);
    assert_eq!(registered(tcp(Ipv6Addr::UNSPECIFIED.into())), [v6]);
    assert_eq!(registered(tcp(v4)), [v4]);
    let addresses = IpAddr::from(Ipv4Addr::UNSPECIFIED).into();
    let sctp = Transport::Sctp(SctpTransport { port: 7, transport_use, addresses });
    assert_eq!(registered(sctp), [v4]);
}

#[test]
fn values_set_before_it_registers_are_the_ones_it_registers_with() {
    let mut lab = Lab::new();
    assert_eq!(lab.command(Command::SetPolicy(Policy::least_used(Load(1)))), []);
    lab.command(Command::Register);
    assert_eq!(lab.command(Command::SetLoad(Load(2))), []);
    assert_eq!(lab.up(FIRST), [send(FIRST, registration(Policy::least_used(Load(2))))]);
}

// Checklist 62, 63, 64.
#[test]
fn deregisters_over_the_association_of_the_registration() {
    let mut lab = Lab::registered();
    assert_eq!(lab.command(Command::Deregister), [deregister_at(FIRST)]);
    assert_eq!(lab.timeout_in(), Some(30));
    assert_eq!(
        lab.message(FIRST, deregistered()),
        [Output::Close(FIRST), Output::Event(Event::Deregistered)]
    );
    assert_eq!(lab.timeout_in(), None);
}

#[test]
fn a_refused_deregistration_leaves_it_in_the_pool() {
    let mut lab = Lab::registered();
    lab.command(Command::Deregister);
    let causes = vec![cause(CauseCode::SECURITY)];
    assert_eq!(
        lab.message(FIRST, deregistration_answer(causes.clone())),
        [Output::Event(Event::DeregistrationRefused { causes }), register_at(FIRST)]
    );
    assert_eq!(lab.message(FIRST, accepted()), []);
    assert_eq!(lab.timeout_in(), Some(244));
}

// Checklist 64: T3, and again at the next registrar.
#[test]
fn an_unanswered_deregistration_is_repeated_at_the_next_registrar_and_then_given_up() {
    let mut lab = Lab::registered();
    lab.command(Command::Deregister);
    assert_eq!(lab.timeout(), (30, vec![Output::Abort(FIRST), connect(SECOND, 0)]));
    assert_eq!(lab.up(SECOND), [deregister_at(SECOND)]);
    assert_eq!(lab.timeout(), (30, vec![Output::Abort(SECOND), Output::Event(Event::Abandoned)]));
    assert_eq!(lab.timeout_in(), None);
}

#[test]
fn it_does_not_wait_long_for_a_registrar_to_leave_through() {
    let mut lab = Lab::registered();
    lab.down(FIRST);
    assert_eq!(lab.command(Command::Deregister), []);
    let (waited, outputs) = lab.timeout();
    assert_eq!(waited, 10);
    assert_eq!(outputs.last(), Some(&Output::Event(Event::Abandoned)));
    assert_eq!(lab.timeout_in(), None);
    assert_eq!(lab.element.state, State::Idle);
}

#[test]
fn the_newest_wish_counts() {
    // Out while it looks for its first home.
    let mut lab = Lab::new();
    lab.command(Command::Register);
    assert_eq!(
        lab.command(Command::Deregister),
        [Output::Abort(FIRST), Output::Event(Event::Deregistered)]
    );
    // Out while it registers; the answer to that is late.
    let mut lab = Lab::new();
    lab.command(Command::Register);
    lab.up(FIRST);
    assert_eq!(lab.command(Command::Deregister), [deregister_at(FIRST)]);
    assert_eq!(lab.message(FIRST, accepted()), []);
    // In again before that is answered; the answer is late, too.
    assert_eq!(lab.command(Command::Register), [register_at(FIRST)]);
    assert_eq!(lab.message(FIRST, deregistered()), []);
    assert_eq!(
        lab.message(FIRST, accepted()),
        [Output::Event(Event::Registered { id: ID, home: home(0) })]
    );
    // In again while it looks for a home to leave through.
    lab.down(FIRST);
    lab.command(Command::Deregister);
    assert_eq!(lab.command(Command::Register), []);
    assert_eq!(lab.up(SECOND), [register_at(SECOND)]);
}

#[test]
fn what_is_wished_already_changes_nothing() {
    let mut lab = Lab::new();
    assert_eq!(lab.command(Command::Deregister), [Output::Event(Event::Deregistered)]);
    lab.command(Command::Register);
    assert_eq!(lab.command(Command::Register), []);
    lab.up(FIRST);
    assert_eq!(lab.command(Command::Register), []);
    lab.message(FIRST, accepted());
    assert_eq!(lab.command(Command::Register), []);
    lab.timeout();
    assert_eq!(lab.command(Command::Register), []);
    lab.command(Command::Deregister);
    assert_eq!(lab.command(Command::Deregister), []);
}

// Checklist 82, PE side.
#[test]
fn an_expired_element_registers_again() {
    let mut lab = Lab::registered();
    lab.wait(100);
    assert_eq!(
        lab.message(FIRST, deregistered()),
        [Output::Event(Event::Expired), register_at(FIRST)]
    );
    assert_eq!(
        lab.message(FIRST, accepted()),
        [Output::Event(Event::Registered { id: ID, home: home(0) })]
    );
    // Not in a circle, where the registrar throws it out each time.
    assert_eq!(lab.message(FIRST, deregistered()), [Output::Event(Event::Expired)]);
    assert_eq!(lab.timeout(), (30, vec![register_at(FIRST)]));
    assert_eq!(
        lab.message(FIRST, accepted()),
        [Output::Event(Event::Registered { id: ID, home: home(0) })]
    );
}

/// Two registrars took it at the same time, and each believes the other one.
#[test]
fn an_element_that_is_let_go_at_once_is_back_at_once() {
    let mut lab = Lab::registered();
    let back = [Output::Event(Event::Expired), register_at(FIRST)];
    assert_eq!(lab.message(FIRST, deregistered()), back);
    lab.message(FIRST, accepted());
    assert_eq!(lab.message(FIRST, deregistered()), [Output::Event(Event::Expired)]);
    assert_eq!(lab.timeout(), (30, vec![register_at(FIRST)]));
    lab.message(FIRST, accepted());
    assert_eq!(lab.message(FIRST, deregistered()), [Output::Event(Event::Expired)]);
    assert_eq!(lab.timeout(), (30, vec![register_at(FIRST)]));
    lab.message(FIRST, accepted());
    lab.wait(100);
    assert_eq!(lab.message(FIRST, deregistered()), back);
}

#[test]
fn answers_about_others_or_from_elsewhere_are_no_answers() {
    let mut lab = Lab::new();
    lab.command(Command::Register);
    lab.up(FIRST);
    lab.up(CALLER);
    let other_pool = RegistrationResponse {
        rejected: false,
        handle: PoolHandle::new(*b"other").unwrap(),
        id: ID,
        causes: vec![],
    };
    let other_id =
        RegistrationResponse { rejected: true, handle: handle(), id: PeId(1), causes: vec![] };
    assert_eq!(lab.message(FIRST, Asap::RegistrationResponse(other_pool)), []);
    assert_eq!(lab.message(FIRST, Asap::RegistrationResponse(other_id)), []);
    assert_eq!(lab.message(CALLER, accepted()), []);
    assert_eq!(lab.element.state, State::Registering { home: FIRST });
}

#[test]
fn it_stops_without_a_word() {
    let mut lab = Lab::registered();
    lab.up(CALLER);
    assert_eq!(lab.command(Command::Stop), [Output::Close(FIRST), Output::Close(CALLER)]);
    assert_eq!(lab.timeout_in(), None);
    let mut lab = Lab::new();
    lab.command(Command::Register);
    assert_eq!(lab.command(Command::Stop), [Output::Abort(FIRST)]);
    assert_eq!(lab.timeout_in(), None);
}

#[test]
fn an_early_timeout_does_nothing() {
    let mut lab = Lab::registered();
    assert_eq!(lab.input(Input::Timeout), []);
    assert_eq!(lab.timeout_in(), Some(244));
}

#[test]
fn registrars_of_rsplib_never_see_a_handle_that_would_end_them() {
    let handle = PoolHandle::new([b'x'; 33].as_slice()).expect("a handle");
    let mut lab = Lab::with(Config { dialect: Dialect::Rsplib, handle, ..config() });
    let causes = vec![cause(CauseCode::INVALID_VALUES)];
    let by = Vec::new();
    assert_eq!(lab.command(Command::Register), [Output::Event(Event::Rejected { causes, by })]);
    let handle = PoolHandle::new([b'x'; 32].as_slice()).expect("a handle");
    let mut lab = Lab::with(Config { dialect: Dialect::Rsplib, handle, ..config() });
    assert_eq!(lab.command(Command::Register), [connect(FIRST, 0)]);
}
