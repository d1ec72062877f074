//! HANDLE_RESOLUTION (RFC 5352 §3.3).

use super::client::{Client, REGISTRAR, registrar, registrar_with};
use super::octets::{
    ECHO_POOL, ROUND_ROBIN, deregistered, deregistration, element, handle, hex, message, policy,
    registered, registration, resolution, resolution_of, resolved, tcp, unknown_pool,
};

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

/// An element with this policy, as it registers or is listed.
fn one(id: u32, home: u32, policy: &[u8]) -> Vec<u8> {
    element(id, home, 300, &[&tcp(7, LOOPBACK), policy])
}

/// Registers elements with these policies; their identifiers count from 1.
fn fill(client: &mut Client, pool: &[u8], policies: &[Vec<u8>]) {
    for (id, policy) in (1..).zip(policies) {
        client.asks(&registration(pool, &one(id, 0, policy)), &registered(pool, id));
    }
}

/// The identifiers that an answer lists.
fn listed(answer: &[u8], pool: &[u8], policies: &[Vec<u8>]) -> Vec<u32> {
    let elements: Vec<Vec<u8>> =
        (1..).zip(policies).map(|(id, policy)| one(id, REGISTRAR, policy)).collect();
    let mut rest = &answer[4 + pool.len() + policies[0].len()..];
    let mut ids = Vec::new();
    while !rest.is_empty() {
        let at = elements.iter().position(|element| rest.starts_with(element)).unwrap();
        rest = &rest[elements[at].len()..];
        ids.push(u32::try_from(at + 1).unwrap());
    }
    ids
}

/// The identifiers of so many answers in a row.
fn sequence(policies: &[Vec<u8>], items: u32, count: usize) -> Vec<Vec<u32>> {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let pool = hex(ECHO_POOL);
    fill(&mut client, &pool, policies);
    let answers = (0..count).map(|_| {
        client.say(&resolution_of(&pool, items));
        listed(&client.answer(), &pool, policies)
    });
    answers.collect()
}

#[test]
fn policies_pick_as_rfc_5356_says() {
    let round_robin = vec![hex(ROUND_ROBIN); 3];
    assert_eq!(sequence(&round_robin, 1, 4), [[1], [2], [3], [1]]);
    assert_eq!(sequence(&round_robin, 2, 3), [[1, 2], [2, 3], [3, 1]]);
    assert_eq!(sequence(&round_robin, 9, 2), [[1, 2, 3], [2, 3, 1]]);
    let weighted = [1, 2, 3].map(|weight| policy(2, &[weight]));
    assert_eq!(sequence(&weighted, 1, 6), [[3], [2], [1], [3], [2], [3]]);
    let priority = [1, 2, 3].map(|priority| policy(5, &[priority]));
    assert_eq!(sequence(&priority, 3, 2), [[3, 2, 1], [3, 2, 1]]);
    let least_used = [3, 1, 2].map(|load| policy(0x4000_0001, &[load << 24]));
    assert_eq!(sequence(&least_used, 2, 2), [[2, 3], [2, 3]]);
    let degrading = [10, 20, 30].map(|load| policy(0x4000_0002, &[load << 24, 7 << 24]));
    let expected = [[1], [1], [2], [1], [2], [3], [1], [2]];
    assert_eq!(sequence(&degrading, 1, 8), expected);
    let impossible = [0, 2, 3].map(|weight| policy(4, &[weight]));
    for ids in sequence(&impossible, 3, 20) {
        assert!(ids == [2, 3] || ids == [3, 2], "{ids:?}");
    }
}

#[test]
fn without_a_number_all_elements_are_listed() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let pool = hex(ECHO_POOL);
    let policies = vec![hex(ROUND_ROBIN); 40];
    fill(&mut client, &pool, &policies);
    let all: Vec<u32> = (1..=40).collect();
    for request in [resolution(&pool), resolution_of(&pool, 0), resolution_of(&pool, u32::MAX)] {
        client.say(&request);
        let mut ids = listed(&client.answer(), &pool, &policies);
        ids.sort_unstable();
        assert_eq!(ids, all);
    }
}

#[test]
fn a_registrar_may_have_its_own_idea_of_how_many() {
    let registrar = registrar_with("items_default = 3\nitems_max = 5");
    let mut client = Client::to(&registrar);
    let pool = hex(ECHO_POOL);
    let policies = vec![hex(ROUND_ROBIN); 9];
    fill(&mut client, &pool, &policies);
    for (request, expected) in
        [(resolution(&pool), 3), (resolution_of(&pool, 4), 4), (resolution_of(&pool, 9), 5)]
    {
        client.say(&request);
        assert_eq!(listed(&client.answer(), &pool, &policies).len(), expected);
    }
}

#[test]
fn a_pool_in_which_nobody_has_a_weight_has_nobody_to_offer() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let pool = hex(ECHO_POOL);
    fill(&mut client, &pool, &[policy(2, &[0]), policy(2, &[0])]);
    client.asks(&resolution(&pool), &unknown_pool(&pool));
}

#[test]
fn whoever_asks_for_updates_gets_them() {
    let registrar = registrar();
    let (mut user, mut server) = (Client::to(&registrar), Client::to(&registrar));
    let (pool, round_robin) = (hex(ECHO_POOL), hex(ROUND_ROBIN));
    let subscription = message(5, 1, &[&pool]);
    let update = |flags, ids: &[u32]| {
        let elements: Vec<u8> =
            ids.iter().flat_map(|id| one(*id, REGISTRAR, &round_robin)).collect();
        message(6, flags, &[&pool, &round_robin, &elements])
    };
    // There is nothing to be told of a pool that is not there.
    user.asks(&subscription, &unknown_pool(&pool));
    server.asks(&registration(&pool, &one(1, 0, &round_robin)), &registered(&pool, 1));
    user.asks(&resolution(&pool), &update(0, &[1]));
    user.asks(&subscription, &update(1, &[1]));
    server.asks(&registration(&pool, &one(2, 0, &round_robin)), &registered(&pool, 2));
    user.say(&[]);
    let pushed = user.answer();
    assert_eq!(pushed[..2], [6, 1]);
    let mut ids = listed(&pushed, &pool, &[round_robin.clone(), round_robin.clone()]);
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
    server.asks(&deregistration(&pool, 1), &deregistered(&pool, 1));
    user.hears(&update(1, &[2]));
    server.asks(&deregistration(&pool, 2), &deregistered(&pool, 2));
    // The pool is gone, and the subscription with it.
    user.hears(&unknown_pool(&pool));
    server.asks(&registration(&pool, &one(1, 0, &round_robin)), &registered(&pool, 1));
    user.hears_nothing();
}

#[test]
fn a_handle_is_any_octets() {
    let registrar = registrar();
    let mut client = Client::to(&registrar);
    let round_robin = hex(ROUND_ROBIN);
    for name in [&[0][..], b"\xff\xfe", &[0; 32], "Größe".as_bytes(), b"a\nb"] {
        let pool = handle(name);
        client.asks(&registration(&pool, &one(1, 0, &round_robin)), &registered(&pool, 1));
        let answer = resolved(&pool, &round_robin, &[one(1, REGISTRAR, &round_robin)]);
        client.asks(&resolution(&pool), &answer);
    }
}
