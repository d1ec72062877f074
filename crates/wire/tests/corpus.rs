//! What the fuzzers start from and found, through all targets, without a fuzzer.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod vectors;

use std::fs;
use std::path::PathBuf;

use rserpool_wire::fuzzing;

use vectors::{FILES, vectors};

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

/// The golden messages as fuzzer input: an octet for the protocol, and the message.
fn golden() -> impl Iterator<Item = (String, Vec<u8>)> {
    let files = FILES.into_iter().chain(["negatives", "rsplib-errors"]);
    files.filter(|file| *file != "rsplib-captures").flat_map(|file| {
        vectors(file).into_iter().map(move |vector| {
            let ppid = u8::try_from(vector.protocol.ppid()).unwrap();
            (format!("{file}-{}", vector.name), [&[ppid], &vector.octets[..]].concat())
        })
    })
}

#[test]
fn every_law_holds_for_the_whole_corpus() {
    if std::env::var_os("BLESS").is_some() {
        golden().for_each(|(name, input)| fs::write(corpus().join(name), input).unwrap());
    }
    let mut inputs = 0;
    for file in fs::read_dir(corpus()).unwrap() {
        let input = fs::read(file.unwrap().path()).unwrap();
        fuzzing::round_trip(&input);
        fuzzing::report(&input);
        fuzzing::dump(&input);
        inputs += 1;
    }
    assert!(inputs >= golden().count(), "the corpus has lost golden messages");
}
