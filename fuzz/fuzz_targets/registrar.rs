//! Runs `rserpool_proto::fuzzing::registrar`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| rserpool_proto::fuzzing::registrar(input));
