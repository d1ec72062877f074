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
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("picture.png");
        let mut painting = client(
            &registrar,
            &[
                "fractal",
                "--json",
                "-v",
                "--verify",
                "--width=160",
                "--height=90",
                "--tile=40",
                "--out",
                file.to_str().unwrap(),
            ],
        );
        // One dies in the middle, and another one comes.
        let computed = loop {
            let line = painting.log_line();
            if line.contains("tile computed") {
                break line;
            }
        };
        let victim = servers.iter_mut().find(|server| computed.contains(&server.id)).unwrap();
        victim.program.kill();
        servers.push(server(&registrar, transport));

        let ended = painting.ended();
        let summary = ended.json();
        assert_eq!(summary["identical"], true, "{summary}");
        assert_eq!((&summary["points"], &summary["tiles"]), (&57_600.into(), &40.into()));
        assert!(summary["failovers"].as_u64() >= Some(1), "{summary}");
        assert!(summary["resumed"].as_u64() >= Some(1), "{summary}");
        let octets = std::fs::read(&file).unwrap();
        assert!(octets.starts_with(b"\x89PNG\r\n"), "{} octets", octets.len());
    }
}

#[test]
fn where_nobody_computes_there_is_an_error() {
    let registrar = Registrar::patient();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("picture.png");
    let out = ["--out", file.to_str().unwrap()];
    let ended = client(&registrar, &[&["fractal", "--pool", "Nobody"][..], &out].concat()).ended();
    assert!(ended.failure(1).contains("unknown pool handle"), "{ended:?}");
    // Nor where there are other services, or nothing to see.
    let _echo = Server::start(registrar.tcp(), &["discard", "--transport", "tcp"]);
    let quick = ["--answer-timeout", "20ms", "--width=10", "--height=10"];
    let args = [&["fractal", "--pool", "DiscardPool"][..], &out, &quick].concat();
    client(&registrar, &args).ended().failure(1);
    let ended = client(&registrar, &["fractal", "--span", "1e-14"]).ended();
    assert!(ended.failure(1).contains("cannot be told from each other"), "{ended:?}");
}
