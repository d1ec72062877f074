//! What the fuzzers of this crate start from and found, through their targets, without a fuzzer; and
//! mixtures of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::fs;
use std::path::PathBuf;

use fastrand::Rng;
use rserpool_sctp::chunk::{BEGINS, ENDS, UNORDERED, kind};
use rserpool_sctp::fuzzing;

fn corpora(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpora").join(target)
}

/// Runs a target over its corpus, then over so many mixtures; with `BLESS=1` the seeds are written
/// there first, and `ROUNDS` says how many.
fn replay(target: &str, run: fn(&[u8]), seeds: &[(&str, Vec<u8>)]) {
    for (name, seed) in seeds {
        let file = corpora(target).join(name);
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(corpora(target)).unwrap();
            fs::write(&file, seed).unwrap();
        }
        assert_eq!(fs::read(file).unwrap(), *seed, "{name}: BLESS=1 writes it");
    }
    let files = fs::read_dir(corpora(target)).unwrap();
    let mut inputs: Vec<Vec<u8>> = files.map(|f| fs::read(f.unwrap().path()).unwrap()).collect();
    inputs.sort();
    inputs.iter().for_each(|input| run(input));
    let rounds = std::env::var("ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(3000);
    for seed in 0..rounds {
        let input = mixture(&inputs, seed);
        if std::panic::catch_unwind(|| run(&input)).is_err() {
            panic!("{target}: mixture {seed}: {input:?}");
        }
    }
}

/// Parts of inputs one after the other, with some octets changed.
fn mixture(inputs: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut rng = Rng::with_seed(seed);
    let mut mixture = Vec::new();
    for _ in 0..rng.usize(1..6) {
        let input = &inputs[rng.usize(..inputs.len())];
        let from = if rng.bool() { 0 } else { rng.usize(..=input.len()) };
        mixture.extend_from_slice(&input[from..]);
    }
    for _ in 0..rng.usize(0..8) {
        let at = rng.usize(..mixture.len().max(1));
        if let Some(octet) = mixture.get_mut(at) {
            *octet = if rng.bool() { rng.u8(..) } else { *octet ^ (1 << rng.u8(..8)) };
        }
    }
    mixture
}

/// A step of `sctp_packets`: a packet with these chunks.
fn packet(what: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
    let chunks = chunks.concat();
    let length = u16::try_from(chunks.len()).unwrap().to_be_bytes();
    [&[what, length[0], length[1]], &chunks[..]].concat()
}

fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    rserpool_sctp::chunk::write(&mut octets, kind, flags, |o| o.extend_from_slice(value));
    octets
}

fn data(flags: u8, tsn: u32, number: u8, length: usize) -> Vec<u8> {
    let head = [&tsn.to_be_bytes()[..], &[0, 1, 0, number, 0, 0, 0, 11]].concat();
    chunk(kind::DATA, flags, &[&head[..], &vec![7; length]].concat())
}

fn sack(upto: u32, window: u32, gaps: &[[u8; 2]]) -> Vec<u8> {
    let mut value = [upto.to_be_bytes(), window.to_be_bytes()].concat();
    value.extend([0, u8::try_from(gaps.len()).unwrap(), 0, 0]);
    for [first, last] in gaps {
        value.extend([0, *first, 0, *last]);
    }
    chunk(kind::SACK, 0, &value)
}

const WHOLE: u8 = BEGINS | ENDS;

fn send(length: u16) -> Vec<u8> {
    [&[13][..], &length.to_be_bytes()].concat()
}

#[test]
fn sctp_packets() {
    let whole = |tsn: u32| data(WHOLE, tsn, u8::try_from(tsn).unwrap(), 100);
    let init = |tag: u8| {
        let fixed = [0, 0, 0, tag, 0, 1, 0, 0, 0, 4, 0, 4, 0, 0, 0, 1];
        chunk(kind::INIT, 0, &[&fixed[..], &[0, 5, 0, 8, 192, 0, 2, 1]].concat())
    };
    let heartbeat = chunk(kind::HEARTBEAT, 0, &[0, 1, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8]);
    let asconf = chunk(
        kind::ASCONF,
        0,
        &[
            0, 0, 0, 0, 0, 5, 0, 8, 192, 0, 2, 1, 0xc0, 1, 0, 16, 0, 0, 0, 1, 0, 5, 0, 8, 192, 0,
            2, 3,
        ],
    );
    let fragments: Vec<Vec<u8>> = (0..10)
        .rev()
        .map(|tsn| data(if tsn == 0 { BEGINS } else { u8::from(tsn == 9) }, tsn, 0, 30))
        .collect();
    let seeds = [
        ("data", packet(0, &[whole(0), whole(1), whole(2)])),
        ("data-in-disorder", packet(0, &[whole(3), whole(1), whole(0), whole(2), whole(2)])),
        ("data-unordered", packet(0, &[data(WHOLE | UNORDERED, 5, 0, 9), whole(0)])),
        ("fragments-descending", packet(0, &fragments)),
        ("data-far-ahead", packet(0, &[data(WHOLE, 5000, 0, 9), data(WHOLE, 4000, 0, 9)])),
        ("data-without-data", packet(0, &[data(WHOLE, 0, 0, 0)])),
        ("answers", [send(3000), packet(0, &[sack(1, 9000, &[[2, 3]])]), vec![15, 9]].concat()),
        (
            "window-0",
            [
                packet(0, &[sack(0, 0, &[])]),
                send(5000),
                vec![15, 60],
                packet(0, &[sack(0, 9000, &[])]),
            ]
            .concat(),
        ),
        ("sack-of-the-future", [send(100), packet(0, &[sack(9, 9000, &[])])].concat()),
        ("restart", [packet(10, &[init(9)]), packet(0, std::slice::from_ref(&heartbeat))].concat()),
        (
            "heartbeats",
            [packet(16, &[heartbeat.clone(), heartbeat.clone()]), vec![15, 100]].concat(),
        ),
        ("heartbeat-from-elsewhere", packet(0x20, &[heartbeat])),
        ("asconf-without-auth", packet(0, &[asconf])),
        ("unknown-chunks", packet(0, &[chunk(0xff, 0, &[1]), chunk(0x7f, 0, &[1]), whole(0)])),
        ("abort-of-the-peer", packet(0, &[chunk(kind::ABORT, 0, &[0, 13, 0, 4])])),
        ("abort-reflected", packet(12, &[chunk(kind::ABORT, 1, &[])])),
        ("out-of-the-blue", packet(11, &[chunk(kind::SHUTDOWN_ACK, 0, &[])])),
        (
            "shutdown-of-the-peer",
            [
                send(900),
                packet(0, &[chunk(kind::SHUTDOWN, 0, &[0; 4])]),
                packet(0, &[sack(1, 9000, &[])]),
                packet(0, &[chunk(kind::SHUTDOWN_COMPLETE, 0, &[])]),
            ]
            .concat(),
        ),
        (
            "shutdown",
            [vec![14, 0], packet(0, &[whole(0)]), packet(0, &[chunk(kind::SHUTDOWN_ACK, 0, &[])])]
                .concat(),
        ),
        ("silence", [send(9000), vec![15, 255, 15, 255, 15, 255]].concat()),
        ("paused", [vec![14, 2], packet(0, &[whole(0), whole(1)]), vec![14, 3]].concat()),
    ];
    replay("sctp_packets", fuzzing::sctp_packets, &seeds);
}

#[test]
fn sctp_sequences() {
    let all = |count: usize| vec![0; count];
    let seeds = [
        ("up", all(20)),
        (
            "messages",
            [all(12), vec![9, 9, 0x19, 200, 0x8a, 50], all(40), vec![11; 10], all(10)].concat(),
        ),
        ("lost", [all(12), vec![9, 255, 6, 0x16, 11, 11], all(60), vec![11; 20]].concat()),
        (
            "disorder",
            [all(12), vec![9, 250, 0x9a, 90, 0x51, 0x32, 0x21, 7, 0x17], all(60)].concat(),
        ),
        (
            "addresses",
            [all(12), vec![0x0d, 0, 0, 0, 0, 0x2d, 0, 0, 0x4d, 0, 0, 0, 0x6d], all(20)].concat(),
        ),
        ("forged", [vec![8, 40, 1, 0, 8, 60, 3], all(20), vec![9, 20, 8, 21, 1], all(9)].concat()),
        ("silent", [all(12), vec![9, 100, 6, 15, 15, 15, 15, 15, 15, 11, 11, 11]].concat()),
        ("shut-down", [all(12), vec![9, 100, 0xfc, 0xec], all(40), vec![14], all(20)].concat()),
    ];
    replay("sctp_sequences", fuzzing::sctp_sequences, &seeds);
}
