//! Whatever comes, the element neither panics nor grows nor answers more than it was asked.

use std::net::IpAddr;

use proptest::prelude::*;
use rserpool_wire::asap::{Announce, HandleResolution, HandleResolutionResponse, Unreachable};
use rserpool_wire::param::{Cookie, Load, SctpTransport};
use rserpool_wire::registry::AsapType;

use super::*;

fn malformed(message_type: u8, causes: Vec<Cause>) -> Malformed {
    let error = Message::decode(Protocol::Asap, &[message_type, 0, 0, 4]).err();
    let message_type = Some(message_type);
    Malformed { protocol: Protocol::Asap, error, message_type, subject: None, causes }
}

// Checklist 135.
#[test]
fn what_it_cannot_read_is_reported_where_the_rfc_wants_it() {
    let mut lab = Lab::registered();
    let causes = vec![cause(CauseCode::UNRECOGNIZED_MESSAGE)];
    let input = Input::Malformed(FIRST, malformed(0x5f, causes.clone()));
    assert_eq!(lab.input(input), [send(FIRST, Asap::Error(causes.clone()))]);
    assert_eq!(lab.input(Input::Malformed(FIRST, malformed(0x1f, vec![]))), []);
    // Never an error for an error, and nothing to strangers.
    let input = Input::Malformed(FIRST, malformed(AsapType::ERROR.0, causes.clone()));
    assert_eq!(lab.input(input), []);
    assert_eq!(lab.input(Input::Malformed(CALLER, malformed(0x5f, causes))), []);
    assert_eq!(lab.element.stats().malformed, 4);
}

// RFC 5352 §4; checklist 133. What belongs to sessions is for the machine of these.
#[test]
fn what_is_for_elements_is_handled() {
    let (handle, id) = (handle(), ID);
    let error = vec![cause(CauseCode::UNRECOGNIZED_MESSAGE)];
    let causes = || Vec::new();
    let registered =
        RegistrationResponse { rejected: false, handle: handle.clone(), id, causes: causes() };
    let gone = DeregistrationResponse { handle, id, causes: causes() };
    for message in [
        Asap::RegistrationResponse(registered),
        Asap::DeregistrationResponse(gone),
        keep_alive(),
        Asap::Error(error),
    ] {
        let mut lab = Lab::registered();
        let before = lab.element.stats();
        lab.message(FIRST, message.clone());
        let after = lab.element.stats();
        assert_eq!(after.unexpected, before.unexpected, "{message:?}");
    }
}

#[test]
fn messages_that_are_not_for_elements_are_counted() {
    let mut lab = Lab::registered();
    let unreachable = Asap::Unreachable(Unreachable { handle: handle(), id: ID });
    assert_eq!(lab.message(FIRST, unreachable), []);
    assert_eq!(lab.message(FIRST, Asap::Cookie(Cookie::default())), []);
    let announce = Announce { sender: None, transports: vec![] };
    assert_eq!(lab.message(FIRST, Asap::Announce(announce)), []);
    let source = Ipv4Addr::LOCALHOST.into();
    assert_eq!(lab.input(Input::Announce(source, keep_alive().into())), []);
    assert_eq!(lab.element.stats().unexpected, 4);
}

fn causes() -> impl Strategy<Value = Vec<Cause>> {
    proptest::collection::vec((0..12u16).prop_map(|code| Cause::new(CauseCode(code))), 0..3)
}

fn message() -> impl Strategy<Value = Asap> {
    let handles = prop_oneof![Just(handle()), Just(PoolHandle::new(*b"x").unwrap())];
    let ids = prop_oneof![Just(ID), Just(PeId(0)), any::<u32>().prop_map(PeId)];
    (handles, ids, causes(), any::<bool>(), 0..4u32, 0..9u8).prop_map(
        |(handle, id, causes, flag, sender, kind)| match kind {
            0 | 1 => Asap::RegistrationResponse(RegistrationResponse {
                rejected: flag,
                handle,
                id,
                causes,
            }),
            2 => Asap::DeregistrationResponse(DeregistrationResponse { handle, id, causes }),
            3 | 4 => Asap::KeepAlive(KeepAlive {
                claim_home: flag,
                sender: RegistrarId::new(sender),
                handle,
                id: flag.then_some(id),
            }),
            5 => Asap::KeepAliveAck(KeepAliveAck { handle, id }),
            6 => Asap::Error(causes),
            7 => {
                Asap::HandleResolution(HandleResolution { want_updates: flag, handle, items: None })
            }
            _ => Asap::HandleResolutionResponse(HandleResolutionResponse {
                updates_accepted: flag,
                handle,
                policy: None,
                elements: vec![],
                causes,
            }),
        },
    )
}

fn input() -> impl Strategy<Value = Input<Command>> {
    let peer = prop_oneof![(0..40u64).prop_map(Peer::dialed), (0..40u64).prop_map(Peer::accepted)];
    let transport = (any::<u8>(), any::<u16>()).prop_map(|(octet, port)| {
        Transport::Sctp(SctpTransport {
            port,
            transport_use: TransportUse::DataOnly,
            addresses: IpAddr::from([10, 0, 0, octet]).into(),
        })
    });
    let announce = proptest::collection::vec(transport, 0..5).prop_map(|transports| {
        let announce = Asap::Announce(Announce { sender: None, transports });
        Input::Announce(Ipv4Addr::new(10, 0, 0, 1).into(), announce.into())
    });
    let command = prop_oneof![
        4 => Just(Command::Register),
        2 => Just(Command::Deregister),
        2 => any::<u32>().prop_map(|load| Command::SetLoad(Load(load))),
        1 => any::<u16>().prop_map(|port| Command::SetTransport(transport_at(port))),
        1 => Just(Command::Stop),
    ];
    prop_oneof![
        3 => command.prop_map(Input::Command),
        3 => peer.clone().prop_map(|peer| Input::Up(peer, link())),
        2 => peer.clone().prop_map(Input::Down),
        8 => (peer.clone(), message()).prop_map(|(peer, m)| Input::Message(peer, m.into())),
        1 => (peer, any::<u8>(), causes())
            .prop_map(|(peer, ty, causes)| Input::Malformed(peer, malformed(ty, causes))),
        1 => announce,
        4 => Just(Input::Timeout),
    ]
}

fn transport_at(port: u16) -> Transport {
    transport(port)
}

proptest! {
    #[test]
    fn survives_anything(
        seed: u64,
        steps in proptest::collection::vec((0..40u64, input()), 0..200),
    ) {
        let policy = Policy::least_used(Load(0));
        let config = Config { policy, registrars: 3, ..config() };
        let run = || {
            let mut element = PoolElement::new(config.clone(), seed);
            let mut now = Time::ZERO;
            let mut trace = Vec::new();
            for (seconds, input) in &steps {
                now = now + Duration::from_secs(*seconds);
                element.handle(now, input.clone());
                let before = trace.len();
                trace.extend(std::iter::from_fn(|| element.poll()));
                // One answer, one event or two, and the associations that it ends or begins.
                let most = 8 + PoolElement::ASSOCIATIONS_MAX + 2 * Hunt::PARALLEL_MAX;
                assert!(trace.len() - before <= most, "{input:?}: {:?}", &trace[before..]);
                assert!(element.associations.len() <= PoolElement::ASSOCIATIONS_MAX);
                // A home is an association that is up.
                let home = element.state.home();
                assert!(home.is_none_or(|home| element.association(home).is_some()));
                // Whoever waits for something has a timer.
                let is_idle = element.state == State::Idle;
                assert_eq!(is_idle, element.next_timeout().is_none(), "{:?}", element.state);
            }
            trace
        };
        // The same seed and the same inputs: the same outputs.
        prop_assert_eq!(run(), run());
    }
}
