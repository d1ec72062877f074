//! Runs the inputs of a corpus through their target, as they are and changed at random, from a fixed
//! seed: for tests that have no fuzzer.

use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

pub(crate) fn inputs(folder: &Path) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Runs all inputs, and so many changed ones.
pub(crate) fn run(inputs: &[Vec<u8>], changes: usize, target: fn(&[u8])) {
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
