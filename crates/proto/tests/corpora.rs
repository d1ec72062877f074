//! What the fuzzer of this crate starts from and found, through its target, without a fuzzer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::fs;
use std::path::PathBuf;

use rserpool_proto::fuzzing;
use rserpool_wire::asap::{Asap, HandleResolution, KeepAliveAck, Registration, Unreachable};
use rserpool_wire::enrp::{
    Body, ListResponse, PoolEntry, Presence, TableRequest, TableResponse, Takeover, Update,
    UpdateAction,
};
use rserpool_wire::param::{
    PeChecksum, PeId, Policy, PoolElement, PoolHandle, RegistrarId, RegistrationLife,
    SctpTransport, ServerInformation, Transport, TransportUse,
};
use rserpool_wire::{Enrp, Message};

fn corpora(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpora").join(target)
}

const SELF: u32 = 0x11;

fn id(id: u32) -> Option<RegistrarId> {
    RegistrarId::new(id)
}

fn pool() -> PoolHandle {
    PoolHandle::new(*b"EchoPool").unwrap()
}

fn sctp(last: u8, port: u16) -> SctpTransport {
    let addresses = [[10, 0, 0, last].into()].into();
    SctpTransport { port, transport_use: TransportUse::DataOnly, addresses }
}

fn element(number: u32, home: Option<RegistrarId>) -> PoolElement {
    PoolElement {
        id: PeId(number),
        home,
        life: RegistrationLife(300),
        user_transport: Transport::Sctp(sctp(1, 7)),
        policy: Policy::round_robin(),
        asap_transport: home.map(|_| sctp(1, 4711)),
    }
}

/// Steps of [`fuzzing::registrar`].
fn message(place: u8, message: impl Into<Message>) -> Vec<u8> {
    let octets = message.into().encode();
    let length = u16::try_from(octets.len()).unwrap().to_be_bytes();
    [&[2, place, length[0], length[1]], &octets[..]].concat()
}

fn enrp(place: u8, sender: u32, body: Body) -> Vec<u8> {
    message(place, Enrp { sender: id(sender), receiver: None, body })
}

fn up(place: u8) -> Vec<u8> {
    vec![0, place]
}

fn meet(place: u8, sender: u32) -> Vec<u8> {
    let server = ServerInformation { id: id(sender), transport: sctp(1 + place / 2, 9901) };
    let (checksum, server) = (Some(PeChecksum(0xffff)), Some(server));
    let presence = Presence { reply_required: true, checksum, server };
    [up(place), enrp(place, sender, Body::Presence(presence))].concat()
}

fn register(place: u8, number: u32) -> Vec<u8> {
    let (handle, element) = (pool(), element(number, None));
    message(place, Asap::Registration(Registration { handle, element }))
}

fn acknowledge(place: u8, number: u32) -> Vec<u8> {
    message(place, Asap::KeepAliveAck(KeepAliveAck { handle: pool(), id: PeId(number) }))
}

fn update(place: u8, sender: u32, number: u32, takeover_suggested: bool) -> Vec<u8> {
    let action = UpdateAction::AddElement;
    let element = element(number, id(sender));
    let update = Update { takeover_suggested, action, handle: pool(), element };
    enrp(place, sender, Body::Update(update))
}

fn wait(twentieths: u8) -> Vec<u8> {
    vec![4, twentieths]
}

const START: [u8; 2] = [8, 0];
const LEAVE: [u8; 2] = [8, 255];

fn seeds() -> Vec<(&'static str, u8, Vec<Vec<u8>>)> {
    let takeover = |target: u32| Takeover { target: id(target) };
    let resolution = |want_updates| {
        Asap::HandleResolution(HandleResolution { want_updates, handle: pool(), items: None })
    };
    let report = || Asap::Unreachable(Unreachable { handle: pool(), id: PeId(1) });
    let table = |sender: u32, more| {
        let elements = vec![element(1, id(sender)), element(2, id(sender))];
        let pools = vec![PoolEntry { handle: pool(), elements }];
        Body::TableResponse(TableResponse { rejected: false, more, pools })
    };
    let list = || {
        let invented = |number: u32| ServerInformation {
            id: id(0x1000 + number),
            transport: sctp(number.to_be_bytes()[3], 9901),
        };
        let servers = (1..60).map(invented).collect();
        Body::ListResponse(ListResponse { rejected: false, servers })
    };
    vec![
        (
            "element-lives",
            0,
            vec![up(0), register(0, 1), wait(10), acknowledge(0, 1), wait(10), acknowledge(0, 1)],
        ),
        ("element-is-silent", 0, vec![up(0), up(2), register(0, 1), register(2, 2), wait(60)]),
        ("element-is-lost", 0, vec![up(0), register(0, 1), vec![1, 0], wait(1)]),
        (
            "reported",
            0,
            vec![up(0), register(0, 1), up(2), message(2, report()), up(4), message(4, report())],
        ),
        (
            "identifier-is-contested",
            0,
            vec![up(0), register(0, 1), up(8), register(8, 1), wait(40)],
        ),
        (
            "subscriber",
            0,
            vec![up(0), register(0, 1), up(2), message(2, resolution(true)), register(0, 2)],
        ),
        (
            "joins",
            1,
            vec![
                START.to_vec(),
                vec![136, 0, 134, 1],
                up(2),
                message(2, resolution(false)),
                meet(1, 0x22),
                enrp(1, 0x22, list()),
                enrp(1, 0x22, table(0x22, false)),
                wait(60),
            ],
        ),
        (
            "takes-over",
            0,
            vec![
                meet(1, 0x22),
                meet(3, 0x33),
                update(1, 0x22, 1, false),
                update(1, 0x22, 2, false),
                vec![1, 1],
                wait(20),
                enrp(3, 0x33, Body::TakeoverAck(takeover(0x22))),
                wait(20),
                up(0),
                register(0, 1),
                wait(200),
            ],
        ),
        (
            "is-taken-over",
            0,
            vec![
                up(0),
                register(0, 1),
                meet(1, 0x22),
                enrp(1, 0x22, Body::TakeoverInit(takeover(SELF))),
                enrp(1, 0x22, Body::TakeoverDone(takeover(SELF))),
                enrp(1, 0x22, Body::TakeoverDone(takeover(SELF))),
                acknowledge(0, 1),
                wait(200),
            ],
        ),
        (
            "two-homes",
            0,
            vec![
                up(0),
                register(0, 1),
                meet(1, 0x10),
                enrp(1, 0x10, table(0x10, false)),
                wait(2),
                acknowledge(0, 1),
                vec![5, 1],
                register(0, 2),
                vec![135, 1],
                wait(100),
            ],
        ),
        (
            "update-of-what-lives-here",
            0,
            vec![up(0), register(0, 1), meet(1, 0x22), update(1, 0x22, 1, true), wait(40)],
        ),
        (
            "table-is-fetched",
            0,
            vec![
                up(0),
                register(0, 1),
                meet(1, 0x22),
                enrp(1, 0x22, Body::TableRequest(TableRequest { own_only: true })),
                enrp(1, 0, Body::TableRequest(TableRequest { own_only: false })),
                wait(40),
            ],
        ),
        (
            "leaves",
            0,
            vec![
                up(0),
                register(0, 1),
                register(0, 2),
                meet(1, 0x22),
                LEAVE.to_vec(),
                update(1, 0x22, 1, false),
                wait(60),
                up(2),
            ],
        ),
        ("stands-still", 0, vec![up(0), register(0, 1), meet(1, 0x22), vec![7, 60, 7, 1], wait(9)]),
        (
            "limits",
            32,
            (0..12)
                .flat_map(|number| [up(0), register(0, number), meet(1, 0x100 + number)])
                .collect(),
        ),
    ]
}

#[test]
fn registrar() {
    let target = corpora("registrar");
    for (name, settings, steps) in seeds() {
        let seed = [vec![settings], steps.concat()].concat();
        let file = target.join(name);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&file, &seed).unwrap();
        }
        assert_eq!(fs::read(file).unwrap(), seed, "{name}: BLESS=1 writes it");
    }
    for file in fs::read_dir(target).unwrap() {
        fuzzing::registrar(&fs::read(file.unwrap().path()).unwrap());
    }
}

/// What a fuzzer does first, as long as there is none: parts of inputs behind each other, and octets
/// changed.
#[test]
fn registrar_with_inputs_that_are_mixed() {
    use rand::rngs::StdRng;
    use rand::seq::IndexedRandom;
    use rand::{RngExt, SeedableRng};
    let seeds = seeds();
    let rounds = std::env::var("ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(2_000);
    for round in 0..rounds {
        let mut rng = StdRng::seed_from_u64(round);
        let mut input = vec![rng.random()];
        for _ in 0..rng.random_range(1..8) {
            let (_, _, steps) = seeds.choose(&mut rng).unwrap();
            for step in steps.iter().filter(|_| rng.random_bool(0.8)).cloned().collect::<Vec<_>>() {
                input.extend(step);
            }
        }
        for _ in 0..rng.random_range(0..6) {
            let row = rng.random_range(0..input.len());
            input[row] = rng.random();
        }
        let caught = std::panic::catch_unwind(|| fuzzing::registrar(&input));
        if let Err(panic) = caught {
            let file = std::env::temp_dir().join(format!("registrar-{round}"));
            fs::write(&file, &input).unwrap();
            eprintln!("round {round}: see {}", file.display());
            std::panic::resume_unwind(panic);
        }
    }
}
