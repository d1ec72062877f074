//! Many elements.

use std::process::Command;

use super::client::{Client, asking_registrar, registrar};
use super::octets::{
    ECHO_POOL, handle, hex, message, registered, registration, resolution_of, simple_element,
    unknown_pool,
};
use crate::programs::{Program, until};

#[test]
fn a_thousand_elements_over_one_connection_are_kept_and_lost_together() {
    // Each of them is asked twice a second, and answers.
    let registrar = asking_registrar();
    let (mut client, mut user) = (Client::to(&registrar), Client::to(&registrar));
    let pool = hex(ECHO_POOL);
    let requests: Vec<u8> =
        (1..=1000).flat_map(|id| registration(&pool, &simple_element(id, 7))).collect();
    client.say(&requests);
    for id in 1..=1000 {
        client.hears(&registered(&pool, id));
    }
    let first = |user: &mut Client| {
        user.say(&resolution_of(&pool, 1));
        user.answer()
    };
    for _ in 0..3000 {
        let keep_alive = client.keep_alive();
        client.say(&message(8, 0, &[&keep_alive[8..]]));
        assert_ne!(first(&mut user), unknown_pool(&pool));
    }
    user.say(&resolution_of(&pool, 1000));
    // 1000 elements of 40 octets, behind handle and policy.
    assert_eq!(user.answer().len(), 4 + 12 + 8 + 1000 * 40);
    drop(client);
    until("all are gone", || first(&mut user) == unknown_pool(&pool));
}

#[test]
fn a_thousand_elements_over_a_thousand_connections() {
    let registrar = registrar();
    let pool = hex(ECHO_POOL);
    let mut clients: Vec<Client> = (0..1000).map(|_| Client::to(&registrar)).collect();
    for (id, client) in (1..).zip(&mut clients) {
        client.say(&registration(&pool, &simple_element(id, 7)));
    }
    for (id, client) in (1..).zip(&mut clients) {
        client.hears(&registered(&pool, id));
    }
    let mut user = Client::to(&registrar);
    user.say(&resolution_of(&pool, 1000));
    assert_eq!(user.answer().len(), 4 + 12 + 8 + 1000 * 40);
    clients.truncate(1);
    until("one is left", || {
        user.say(&resolution_of(&pool, 1000));
        user.answer().len() == 4 + 12 + 8 + 40
    });
}

#[test]
fn a_registrar_takes_as_many_connections_as_the_system_lets_it() {
    // As a service manager starts it: a soft limit that is far below the hard one.
    let program = env!("CARGO_BIN_EXE_rserpool");
    let registrar = ["registrar", "--asap", "tcp://127.0.0.1:0", "-o", "json"];
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -S -n 64; exec \"$@\"", "sh", program]).args(registrar);
    let mut program = Program::start(command);
    let url = program.json()["asap"][0].as_str().unwrap().to_owned();
    let mut clients: Vec<Client> = (0..200).map(|_| Client::at(&url)).collect();
    let pool = handle(b"nowhere");
    for client in &mut clients {
        client.asks(&resolution_of(&pool, 1), &unknown_pool(&pool));
    }
}
