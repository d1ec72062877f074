//! What the fuzzer of session cookies starts from and found, without a fuzzer.

use std::fs;
use std::path::PathBuf;

use rserpool_proto::session::fuzzing::session_cookies;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpora/session_cookies")
}

#[test]
fn session_cookies_of_the_corpus() {
    let header = |version: u8, flags: u8, length: u8| {
        [&b"\x01RSPc"[..], &[version, flags, 0, length], &[0; 12]].concat()
    };
    let of = |flags: u8, octets: &[u8]| [&[flags], octets].concat();
    let seeds = [
        ("plain", of(1, b"<PP-TD1>12345678")),
        ("nothing", of(1, b"")),
        ("magic-only", of(1, b"RSPc")),
        ("header-only", header(1, 0, 4)),
        ("handle-beyond-the-end", [header(1, 0, 200), vec![0; 32]].concat()),
        ("encrypted-without-nonce", [header(1, 1, 4), b"Pool".to_vec(), vec![0; 40]].concat()),
        ("padding-longer-than-the-state", [header(1, 0xc0, 4), vec![0; 36]].concat()),
        ("unknown-version", [header(2, 0, 4), vec![0; 60]].concat()),
        ("unchanged", of(0, b"state\0\0\0\0\0")),
        ("version-changed", of(0, b"st\x04\x01")),
        ("expiry-changed", of(0, b"state!\x0c\xff\x13\x01\0\0")),
        ("encrypted-changed", of(2, b"state!\x18\x01\x30\x80\0\0")),
        ("changed-and-back", of(2, b"state!\x18\x01\x18\x01\0\0")),
    ];
    for (name, seed) in &seeds {
        let file = corpus().join(name);
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(corpus()).unwrap();
            fs::write(&file, seed).unwrap();
        }
        assert_eq!(fs::read(file).unwrap(), *seed, "{name}: BLESS=1 writes it");
    }
    for file in fs::read_dir(corpus()).unwrap() {
        let seed = fs::read(file.unwrap().path()).unwrap();
        session_cookies(&seed);
        // And each with a single octet changed, cut, or longer.
        for at in 0..seed.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = seed.clone();
                changed[at] ^= change;
                session_cookies(&changed);
            }
            session_cookies(&seed[..at]);
        }
    }
}
