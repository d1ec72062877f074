//! Whatever comes, the user neither panics nor grows, and each request gets one answer.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rserpool_wire::asap::{Announce, KeepAlive};

use super::*;

// Checklist 132, 135.
#[test]
fn what_it_cannot_read_is_reported_where_the_rfc_wants_it() {
    let mut lab = Lab::homed();
    let malformed = |message_type: u8, causes: &[CauseCode]| Malformed {
        protocol: Protocol::Asap,
        error: Message::decode(Protocol::Asap, &[message_type, 0, 0, 4]).err(),
        message_type: Some(message_type),
        subject: None,
        causes: causes.iter().copied().map(Cause::new).collect(),
    };
    let code = CauseCode::UNRECOGNIZED_MESSAGE;
    let error = Asap::Error(vec![Cause::new(code)]);
    assert_eq!(lab.input(Input::Malformed(FIRST, malformed(0x5f, &[code]))), [send(FIRST, error)]);
    assert_eq!(lab.input(Input::Malformed(FIRST, malformed(0x1f, &[]))), []);
    assert_eq!(lab.input(Input::Malformed(FIRST, malformed(AsapType::ERROR.0, &[code]))), []);
    assert_eq!(lab.input(Input::Malformed(SECOND, malformed(0x5f, &[code]))), []);
    assert_eq!(lab.user.stats().malformed, 4);
}

#[test]
fn messages_that_are_not_for_users_are_counted() {
    let mut lab = Lab::homed();
    let keep_alive = KeepAlive { claim_home: true, sender: None, handle: pool(), id: None };
    assert_eq!(lab.message(FIRST, Asap::KeepAlive(keep_alive.clone())), []);
    let source = Ipv4Addr::LOCALHOST.into();
    let input = Input::Announce(source, Asap::KeepAlive(keep_alive).into());
    assert_eq!(lab.input(input), []);
    assert_eq!(lab.user.stats().unexpected, 2);
}

fn pools() -> impl Strategy<Value = PoolHandle> {
    prop_oneof![Just(handle("a")), Just(handle("b")), Just(handle("c"))]
}

fn response() -> impl Strategy<Value = Asap> {
    let policies = prop_oneof![
        Just(None),
        Just(Some(Policy::round_robin())),
        Just(Some(Policy::of_type(PolicyType::WEIGHTED_RANDOM))),
        Just(Some(Policy::of_type(PolicyType::LEAST_USED_DEGRADATION))),
    ];
    let ids = proptest::collection::vec(0..5u32, 0..4);
    let codes = proptest::collection::vec(0..12u16, 0..2);
    (pools(), any::<bool>(), policies, ids, codes).prop_map(
        |(handle, updates_accepted, policy, ids, codes)| {
            Asap::HandleResolutionResponse(HandleResolutionResponse {
                updates_accepted,
                handle,
                policy,
                elements: elements(&ids),
                causes: codes.into_iter().map(|code| Cause::new(CauseCode(code))).collect(),
            })
        },
    )
}

#[derive(Clone, Debug)]
enum Step {
    /// A request for a pool.
    Resolve(PoolHandle, Option<u32>, Option<u64>),
    /// Any other input.
    Other(Input<Command>),
    /// The registrar that is the home says this.
    FromHome(Asap),
    /// The latest attempt comes up.
    Up,
    /// The home goes.
    HomeDown,
}

fn step() -> impl Strategy<Value = Step> {
    let peer = prop_oneof![(0..40u64).prop_map(Peer::dialed), (0..40u64).prop_map(Peer::accepted)];
    let resolve = (pools(), proptest::option::of(0..4u32), proptest::option::of(0..20u64))
        .prop_map(|(handle, items, max_age)| Step::Resolve(handle, items, max_age));
    let announce = (any::<u8>(), any::<u16>()).prop_map(|(octet, port)| {
        let address = Ipv4Addr::new(10, 0, 0, octet).into();
        let transport_use = TransportUse::DataOnly;
        let transports = vec![Transport::Tcp { port, transport_use, address }];
        let announce = Asap::Announce(Announce { sender: None, transports });
        Input::Announce(address, announce.into())
    });
    let other = prop_oneof![
        pools().prop_map(|handle| Input::Command(Command::Subscribe(handle))),
        pools().prop_map(|handle| Input::Command(Command::Unsubscribe(handle))),
        (pools(), 0..5u32).prop_map(|(handle, id)| {
            Input::Command(Command::ReportUnreachable { handle, id: PeId(id) })
        }),
        Just(Input::Command(Command::Stop)),
        peer.clone().prop_map(|peer| Input::Up(peer, link())),
        peer.clone().prop_map(Input::Down),
        (peer, response()).prop_map(|(peer, response)| Input::Message(peer, response.into())),
        announce,
    ];
    prop_oneof![
        6 => resolve,
        4 => other.prop_map(Step::Other),
        6 => response().prop_map(Step::FromHome),
        1 => proptest::collection::vec(0..12u16, 0..3).prop_map(|codes| {
            let causes = codes.into_iter().map(|code| Cause::new(CauseCode(code))).collect();
            Step::FromHome(Asap::Error(causes))
        }),
        4 => Just(Step::Up),
        2 => Just(Step::HomeDown),
        4 => Just(Step::Other(Input::Timeout)),
    ]
}

/// The input that a step comes to.
fn input(lab: &mut Lab, step: Step, dialed: Option<Peer>) -> Option<Input<Command>> {
    let home = lab.user.state.home();
    Some(match step {
        Step::Resolve(handle, items, max_age) => {
            let max_age = max_age.map(Duration::from_secs);
            let request = Request { items, max_age, ..lab.request(handle) };
            Input::Command(Command::Resolve(request))
        }
        Step::Other(input) => input,
        Step::FromHome(message) => Input::Message(home?, message.into()),
        Step::Up => Input::Up(dialed?, link()),
        Step::HomeDown => Input::Down(home?),
    })
}

fn run(seed: u64, steps: &[(u64, Step)]) -> Vec<Output<Event>> {
    let config = Config { registrars: 2, cache_pools_max: 2, ..caching() };
    let mut lab = Lab { user: PoolUser::new(config, seed), now: Time::ZERO, requests: 0 };
    let mut trace = Vec::new();
    let mut open = BTreeSet::new();
    let mut dialed = None;
    for (seconds, step) in steps.iter().cloned() {
        lab.now = lab.now + Duration::from_secs(seconds);
        let Some(input) = input(&mut lab, step, dialed) else { continue };
        if let Input::Command(Command::Resolve(request)) = &input {
            open.insert(request.id);
        }
        let outputs = lab.input(input);
        for output in &outputs {
            match output {
                Output::Connect(peer, ..) => dialed = Some(*peer),
                Output::Event(Event::Resolved { request, answer }) => {
                    assert!(open.remove(request), "answered twice: {request:?}");
                    assert!(answer.in_order().count() > 0);
                }
                Output::Event(Event::Failed { request, .. }) => {
                    assert!(open.remove(request), "answered twice: {request:?}");
                }
                _ => {}
            }
        }
        // Whoever waits for something has a timer.
        assert_eq!(lab.user.needs_home(), lab.user.next_timeout().is_some());
        assert_eq!(lab.user.state.home().is_some(), lab.user.home.is_some());
        trace.extend(outputs);
    }
    // In the end each request is answered.
    lab.user.subscriptions.clear();
    lab.user.timers = Timers::default();
    while let Some(due) = lab.user.next_timeout() {
        lab.now = due;
        for output in lab.input(Input::Timeout) {
            if let Output::Event(Event::Resolved { request, .. } | Event::Failed { request, .. }) =
                output
            {
                assert!(open.remove(&request));
            }
        }
    }
    assert_eq!(open, BTreeSet::new());
    trace
}

proptest! {
    #[test]
    fn survives_anything(
        seed: u64,
        steps in proptest::collection::vec((0..40u64, step()), 0..200),
    ) {
        // The same seed and the same inputs: the same outputs.
        prop_assert_eq!(run(seed, &steps), run(seed, &steps));
    }
}
