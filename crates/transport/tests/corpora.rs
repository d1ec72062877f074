//! What the fuzzers of this crate start from and found, through their targets, without a fuzzer.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::PathBuf;

use rserpool_transport::fuzzing;

fn corpora(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpora").join(target)
}

/// Runs a target over its corpus; with `BLESS=1` the seeds are written there first.
fn replay(target: &str, run: fn(&[u8]), seeds: &[(&str, Vec<u8>)]) {
    for (name, seed) in seeds {
        let file = corpora(target).join(name);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&file, seed).unwrap();
        }
        assert_eq!(fs::read(file).unwrap(), *seed, "{name}: BLESS=1 writes it");
    }
    for file in fs::read_dir(corpora(target)).unwrap() {
        run(&fs::read(file.unwrap().path()).unwrap());
    }
}

#[test]
fn tcp_framing() {
    let message = |length: u8| {
        let mut message = vec![0; usize::from(length)];
        message[..4].copy_from_slice(&[1, 0, 0, length]);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    };
    let record =
        |length: u8| [&[0, 0, 0, 11, 0, 0, 0, length], &vec![7; length.into()][..]].concat();
    let of =
        |kind: u8, piece: u8, parts: &[Vec<u8>]| [&[kind, piece], &parts.concat()[..]].concat();
    let seeds = [
        ("messages", of(0, 3, &[message(4), message(9), message(120)])),
        ("messages-cut", of(0, 1, &[message(8), message(40)[..17].to_vec()])),
        ("message-length-3", of(0, 255, &[message(8), vec![1, 0, 0, 3]])),
        ("message-longer-than-allowed", of(0, 255, &[vec![1, 0, 0xff, 0xff, 1]])),
        ("records", of(1, 5, &[record(0), record(1), record(200)])),
        ("record-longer-than-allowed", of(1, 7, &[vec![0, 0, 0, 11, 0xff, 0xff, 0xff, 0xff]])),
        ("stream", of(2, 2, &[vec![7; 50]])),
    ];
    replay("tcp_framing", fuzzing::tcp_framing, &seeds);
}

#[test]
fn tls_handshakes() {
    let of = |who: u8, piece: u8, octets: &[u8]| [&[who, piece], octets].concat();
    let goodbye = [0x15, 3, 3, 0, 2, 1, 0];
    let seeds = [
        ("client-goodbye", of(0, 3, &[&goodbye[..], &[0; 100]].concat())),
        ("client-hello-begun", of(0, 1, &[0x16, 3, 1, 2, 0, 1, 0, 1])),
        ("client-hello-of-16-mb", of(0, 255, &[0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff])),
        ("client-in-clear", of(0, 2, &[5, 0, 0, 8, 0, 9, 0, 4])),
        ("plain", of(2, 1, &[5, 0, 0, 8, 0, 9, 0, 4])),
        ("plain-tls-alert", of(2, 1, &goodbye)),
        ("plain-tls-hello", of(2, 1, &[0x16, 3, 1, 2, 0, 1, 0, 1])),
        ("server-alert", of(1, 1, &[0x15, 3, 3, 0, 2, 2, 48])),
        ("server-in-clear", of(1, 4, &[6, 0, 0, 8, 0, 9, 0, 4])),
    ];
    replay("tls_handshakes", fuzzing::tls_handshakes, &seeds);
    // What was recorded of a handshake, with each of its octets changed.
    for name in ["client-recorded", "client-recorded-whole", "server-recorded-for-another-client"] {
        let recorded = fs::read(corpora("tls_handshakes").join(name)).unwrap();
        for at in 2..recorded.len() {
            let mut changed = recorded.clone();
            changed[at] ^= 0x21;
            fuzzing::tls_handshakes(&changed);
        }
    }
}

/// A step of [`fuzzing::userland_packets`]: a packet with these chunks.
fn packet(kind: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
    let chunks = chunks.concat();
    let length = u16::try_from(chunks.len()).unwrap().to_be_bytes();
    [&[kind, length[0], length[1]], &chunks[..]].concat()
}

fn data(flags: u8, tsn: u8, number: u8, octets: usize) -> Vec<u8> {
    let length = u16::try_from(octets + 16).unwrap().to_be_bytes();
    let mut chunk =
        vec![0, flags, length[0], length[1], 0, 0, 0, tsn, 0, 0, 0, number, 0, 0, 0, 11];
    chunk.extend(vec![7; octets]);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

/// Of a SACK or a SHUTDOWN: the TSN counts from the endpoint's first.
fn sack(tsn: u8) -> Vec<u8> {
    vec![3, 0, 0, 16, 0, 0, 0, tsn, 0, 1, 0, 0, 0, 0, 0, 0]
}

fn shutdown(tsn: u8) -> Vec<u8> {
    vec![7, 0, 0, 8, 0, 0, 0, tsn]
}

#[test]
fn userland_packets() {
    let send = |octets: u16| [&[13], &octets.to_be_bytes()[..]].concat();
    let (close, wait) = (vec![14], |twentieths: u8| vec![15, twentieths]);
    let heartbeat = vec![4, 0, 0, 8, 0, 1, 0, 4];
    let init = vec![1, 0, 0, 20, 0, 0, 0, 99, 0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1];
    let steps = |steps: &[Vec<u8>]| steps.concat();
    let seeds = [
        (
            "messages",
            steps(&[
                packet(0, &[data(3, 1, 0, 5), data(3, 2, 1, 9)]),
                send(100),
                packet(0, &[sack(1)]),
            ]),
        ),
        (
            "fragments-backwards",
            steps(&[
                packet(0, &[data(1, 3, 0, 9)]),
                packet(0, &[data(0, 2, 0, 9)]),
                packet(0, &[data(2, 1, 0, 9)]),
            ]),
        ),
        (
            "fragments-with-gaps",
            steps(&[
                packet(0, &[data(4, 9, 0, 1), data(4, 7, 0, 1), data(4, 5, 0, 1)]),
                wait(255),
                wait(255),
                wait(255),
                wait(255),
                wait(255),
            ]),
        ),
        ("number-left-out", packet(0, &[data(3, 1, 1, 5)])),
        (
            "loss",
            steps(&[
                send(9000),
                wait(5),
                packet(0, &[sack(2)]),
                wait(5),
                packet(0, &[sack(7)]),
                wait(20),
            ]),
        ),
        ("silence", steps(&[send(10), wait(5), wait(10), wait(20), wait(20), wait(20)])),
        (
            "closes-first",
            steps(&[
                send(9000),
                packet(0, &[shutdown(0)]),
                packet(0, &[shutdown(1)]),
                packet(0, &[shutdown(7)]),
                packet(0, &[vec![14, 0, 0, 4]]),
            ]),
        ),
        (
            "is-closed",
            steps(&[send(10), close, packet(0, &[sack(1)]), packet(0, &[vec![8, 0, 0, 4]])]),
        ),
        ("aborts", packet(0, &[vec![6, 0, 0, 4]])),
        ("aborts-reflected", packet(12, &[vec![6, 1, 0, 4]])),
        (
            "wrong-tag",
            steps(&[packet(11, std::slice::from_ref(&heartbeat)), packet(0, &[heartbeat])]),
        ),
        ("restarts", steps(&[packet(10, &[init]), packet(0, &[data(3, 1, 0, 5)])])),
        ("unknown-chunks", packet(0, &[vec![0xc1, 0, 0, 8, 1, 2, 3, 4], vec![0x41, 0, 0, 4]])),
    ];
    replay("userland_packets", fuzzing::userland_packets, &seeds);
}

#[test]
fn state_cookies() {
    let of = |port: u16, age: u32, changes: &[u8]| {
        [&port.to_be_bytes()[..], &age.to_be_bytes(), changes].concat()
    };
    let seeds = [
        ("as-given", of(0, 100, &[])),
        ("in-the-last-moment", of(0, 60_000, &[])),
        ("too-late", of(0, 60_001, &[])),
        ("from-another-port", of(1, 0, &[])),
        ("changed-cookie", of(0, 0, &[0, 20, 1])),
        ("changed-time", of(0, 0, &[0, 70, 1])),
        ("changed-mac", of(0, 0, &[0, 90, 0x80])),
        ("changed-and-back", of(0, 0, &[0, 20, 1, 0, 20, 1])),
        ("changed-flags", of(0, 0, &[0, 13, 0xff])),
        ("changed-tag", of(0, 0, &[0, 4, 1])),
    ];
    replay("state_cookies", fuzzing::state_cookies, &seeds);
}
