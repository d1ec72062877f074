//! Runs `rserpool_wire::fuzzing::report`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| rserpool_wire::fuzzing::report(input));
