//! The corpus of the fuzz target `service_packets`, as it is and changed at random, from a fixed seed.
//! With `BLESS=1` what it starts from is written anew.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use rserpool_services::fuzzing::service_packets;
use rserpool_services::{download, exec, fractal, pingpong};

#[path = "../../../fuzz/changes.rs"]
mod changes;

#[test]
fn packets_of_services() {
    use exec::packet::{Outcome, Packet as Exec, Stream};
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpora/service_packets");
    let seeds = [
        ("ping", pingpong::packet::Packet::Ping { message: 1, text: b"text".into() }.encode()),
        (
            "pong",
            pingpong::packet::Packet::Pong { message: 1, reply: 2, text: b"text".into() }.encode(),
        ),
        ("ping-state", pingpong::packet::cookie(7)),
        ("fetch", download::packet::Packet::Fetch { offset: 1 << 40, path: "a/b".into() }.encode()),
        ("found", download::packet::Packet::Found { size: 7 }.encode()),
        ("data", download::packet::Packet::Data { offset: 0, octets: b"abc".into() }.encode()),
        ("run", Exec::Run { job: 1, credit: 1 << 18, name: "job".into() }.encode()),
        ("output", Exec::Output(Stream::Err, b"abc".into()).encode()),
        ("done", Exec::Done { job: 1, outcome: Outcome::Exited(3) }.encode()),
        ("credit", Exec::Credit(u32::MAX).encode()),
        ("points", fractal::packet::Data::Points { x: 1, y: 2, iterations: vec![3; 9] }.encode()),
        ("points-end", fractal::packet::Data::End.encode()),
        ("header-only", vec![1, 0, 0, 4]),
    ];
    for (name, seed) in &seeds {
        let file = folder.join(name);
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, seed).unwrap();
        }
        assert_eq!(fs::read(file).unwrap(), *seed, "{name}: BLESS=1 writes it");
    }
    changes::run(&changes::inputs(&folder), 20_000, service_packets);
}
