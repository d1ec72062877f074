//! What must hold for whatever a file has in it that is called a capture: no panic.
//!
//! The corpus is in `tests/data`; it is run as it is, and changed at random, from a fixed seed.

use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::command::decode_capture;

/// Takes a capture apart.
fn capture(octets: &[u8]) {
    let _ = decode_capture(octets);
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
fn captures() {
    // The short ones: long ones are more of the same.
    let mut captures = inputs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"));
    captures.iter_mut().for_each(|capture| capture.truncate(4096));
    // Each has buffers for the longest frame.
    run(&captures, 300, capture);
}
