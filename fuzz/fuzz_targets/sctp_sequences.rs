//! Runs `rserpool_sctp::fuzzing::sctp_sequences`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| rserpool_sctp::fuzzing::sctp_sequences(input));
