//! Runs `rserpool_proto::session::fuzzing::session_cookies`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| rserpool_proto::session::fuzzing::session_cookies(input));
