//! What must hold for whatever a client sends to a service, a server to a client, or a file has in it
//! that is called a capture: no panic, and what was read is written as it was.
//!
//! The corpora are in `fuzz/corpora/service_packets` and `tests/data`; both are run as they are, and
//! changed at random, from a fixed seed.

use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::command::decode_capture;
use crate::service::{calcapp, download, exec, fractal, pingpong};

/// Reads octets as a packet of every service, on both sides.
fn service_packets(octets: &[u8]) {
    if let Ok(packet) = pingpong::packet::Packet::decode(octets) {
        let again = pingpong::packet::Packet::decode(&packet.encode());
        assert_eq!(again.as_ref(), Ok(&packet));
    }
    if let Ok(packet) = download::packet::Packet::decode(octets) {
        let again = download::packet::Packet::decode(&packet.encode());
        assert_eq!(again.as_ref(), Ok(&packet));
    }
    if let Ok(packet) = exec::packet::Packet::decode(octets) {
        let again = exec::packet::Packet::decode(&packet.encode());
        assert_eq!(again.as_ref(), Ok(&packet));
    }
    let _ = calcapp::packet::Packet::decode(octets);
    let _ = fractal::packet::Parameter::decode(octets);
    let _ = fractal::packet::Data::decode(octets);
    let _ = pingpong::packet::next_reply(octets);
    download::receiver::Receiver::new("f".into()).receive(octets);
    let mut server = exec::job::Server::new(1000);
    server.receive(octets);
    let (mut client, _) = exec::job::Client::new(1, "job", b"input", 1000);
    client.receive(octets);
    while client.poll().is_some() {}
}

/// Takes a capture apart.
fn capture(octets: &[u8]) {
    let _ = decode_capture(octets);
}

fn corpus(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

fn inputs(folder: &Path) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Runs all inputs, and so many changed ones.
fn run(inputs: &[Vec<u8>], changes: usize, target: fn(&[u8])) {
    inputs.iter().for_each(|input| target(input));
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..changes {
        let mut input = inputs[random.random_range(0..inputs.len())].clone();
        for _ in 0..random.random_range(1..5) {
            let at = random.random_range(0..=input.len());
            match random.random_range(0..4) {
                0 => input.truncate(at),
                1 => input.insert(at, random.random()),
                _ if at < input.len() => input[at] = random.random(),
                _ => input.extend([0, 0xff]),
            }
        }
        target(&input);
    }
}

#[test]
fn packets_of_services() {
    use exec::packet::{Outcome, Packet as Exec, Stream};
    let folder = corpus("../../fuzz/corpora/service_packets");
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
    run(&inputs(&folder), 20_000, service_packets);
}

#[test]
fn captures() {
    // The short ones: long ones are more of the same.
    let mut captures = inputs(&corpus("tests/data"));
    captures.iter_mut().for_each(|capture| capture.truncate(4096));
    // Each has buffers for the longest frame.
    run(&captures, 300, capture);
}
