//! A picture by a pool that loses servers meanwhile.

use super::client;
use crate::programs::{Registrar, Server};

fn server(registrar: &Registrar, transport: &str) -> Server {
    let policy = ["--policy", "weighted-round-robin:1"];
    let args = ["fractal", "--transport", transport];
    Server::start(registrar.tcp(), &[&args[..], &policy].concat())
}

#[test]
fn a_picture_is_the_same_whichever_servers_die_meanwhile() {
    for transport in ["tcp", "sctp"] {
        let registrar = Registrar::patient();
        let mut servers: Vec<Server> = (0..3).map(|_| server(&registrar, transport)).collect();
        // A server may die between two tiles, or when the last one is done: then another one dies.
        let resumed = (0..20).any(|_| {
            let summary = paint_and_kill(&registrar, &mut servers);
            servers.push(server(&registrar, transport));
            let count = |what: &str| summary[what].as_u64().unwrap();
            assert!(count("resumed") <= count("failovers"), "{summary}");
            count("resumed") > 0
        });
        assert!(resumed, "nothing was ever resumed");
    }
}

/// Kills one of the servers in the middle of a picture: what the client says of it.
fn paint_and_kill(registrar: &Registrar, servers: &mut Vec<Server>) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("picture.png");
    let what = ["fractal", "--json", "-v", "--verify", "--out", file.to_str().unwrap()];
    let size = ["--width=320", "--height=180", "--tile=80"];
    let mut painting = client(registrar, &[&what[..], &size].concat());
    let computed = loop {
        let line = painting.log_line();
        if line.contains("tile computed") {
            break line;
        }
    };
    let victim = servers.iter().position(|server| computed.contains(&server.id)).unwrap();
    servers.swap_remove(victim).program.kill();

    let ended = painting.ended();
    let summary = ended.json();
    assert_eq!(summary["identical"], true, "{summary}");
    assert_eq!((&summary["points"], &summary["tiles"]), (&230_400.into(), &40.into()));
    let octets = std::fs::read(&file).unwrap();
    assert!(octets.starts_with(b"\x89PNG\r\n"), "{} octets", octets.len());
    summary
}

#[test]
fn where_nobody_computes_there_is_an_error() {
    let registrar = Registrar::patient();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("picture.png");
    let out = ["--out", file.to_str().unwrap()];
    let ended = client(&registrar, &[&["fractal", "--pool", "Nobody"][..], &out].concat()).ended();
    assert!(ended.failure(68).contains("unknown pool handle"), "{ended:?}");
    // Nor where there are other services, or nothing to see.
    let _echo = Server::start(registrar.tcp(), &["discard", "--transport", "tcp"]);
    let quick = ["--answer-timeout", "20ms", "--width=10", "--height=10"];
    let args = [&["fractal", "--pool", "DiscardPool"][..], &out, &quick].concat();
    client(&registrar, &args).ended().failure(1);
    let ended = client(&registrar, &["fractal", "--span", "1e-14"]).ended();
    assert!(ended.failure(1).contains("cannot be told from each other"), "{ended:?}");
}
