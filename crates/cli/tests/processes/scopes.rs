//! Registrars that share a handlespace.

use serde_json::Value;

use crate::programs::{Registrar, Server, members, run, until};

/// A registrar that shares its handlespace with those at these URLs.
fn sharing(peers: &[&str]) -> Registrar {
    let mut args = vec!["--asap", "tcp://127.0.0.1:0", "--asap", "sctp://127.0.0.1:0"];
    args.extend(["--enrp", "tcp://127.0.0.1:0"]);
    args.extend(peers.iter().flat_map(|peer| ["--peer", peer]));
    Registrar::with(&args)
}

/// The home of each element of EchoPool as `rserpool dump` tells it, sorted.
fn homes(registrar: &Registrar) -> Vec<String> {
    let dump = run(&["dump", "--enrp", &registrar.enrp[0], "-o", "json"]).json();
    let elements =
        dump.as_array().unwrap().iter().filter_map(|pool| pool["elements"].as_array()).flatten();
    let home = |element: &Value| element["home"].as_str().unwrap().to_owned();
    let mut homes: Vec<String> = elements.map(home).collect();
    homes.sort();
    homes
}

#[test]
fn elements_of_a_killed_registrar_are_soon_another_ones() {
    let mut first = sharing(&[]);
    let second = sharing(&[&first.enrp[0]]);
    let third = sharing(&[&first.enrp[0], &second.enrp[0]]);
    let others = ["echo", "--registrar", second.sctp(), "--registrar", third.sctp()];
    let servers = [
        Server::start(first.sctp(), &others),
        Server::start(first.sctp(), &others),
        Server::start(first.sctp(), &others),
    ];
    let mut ids: Vec<String> = servers.iter().map(|server| server.id.clone()).collect();
    ids.sort();
    for registrar in [&first, &second, &third] {
        until("all know all", || members(registrar.tcp(), "EchoPool") == ids);
    }
    first.program.kill();
    for registrar in [&second, &third] {
        until("none is the dead one's", || {
            let homes = homes(registrar);
            homes.len() == 3 && !homes.contains(&first.id)
        });
        until("all are there", || members(registrar.tcp(), "EchoPool") == ids);
    }
}

#[test]
fn a_registrar_that_joins_later_knows_what_the_others_know() {
    let first = sharing(&[]);
    let server = Server::echo(first.tcp());
    until("the first knows it", || members(first.tcp(), "EchoPool") == [&*server.id]);
    let second = sharing(&[&first.enrp[0]]);
    until("the second knows it", || members(second.tcp(), "EchoPool") == [&*server.id]);
    until("and whose it is", || homes(&second) == [&*first.id]);
}
