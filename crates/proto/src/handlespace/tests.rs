use rserpool_wire::param::{PeId, Policy, PoolElement, PoolHandle, RegistrationLife, Transport};

use super::{Config, Handlespace};

fn handle(name: &str) -> PoolHandle {
    PoolHandle::new(name.as_bytes()).unwrap()
}

fn element(id: u32, policy: Policy) -> PoolElement {
    let user_transport = Transport::Udp { port: 7, address: [192, 0, 2, 1].into() };
    let life = RegistrationLife(300);
    PoolElement { id: PeId(id), home: None, life, user_transport, policy, asap_transport: None }
}

#[test]
fn round_robin_begins_with_the_next_one_each_time() {
    let mut space = Handlespace::new(Config::default(), 1);
    for id in 1..=3 {
        space.register(&handle("p"), element(id, Policy::round_robin())).unwrap();
    }
    let mut ids = |items| {
        let resolution = space.resolve(&handle("p"), Some(items)).unwrap();
        resolution.elements.iter().map(|element| element.id.0).collect::<Vec<_>>()
    };
    assert_eq!([ids(1), ids(1), ids(1), ids(1)], [[1], [2], [3], [1]]);
    assert_eq!([ids(2), ids(2), ids(2)], [[2, 3], [3, 1], [1, 2]]);
}
