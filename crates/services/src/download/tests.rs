use std::sync::Arc;

use proptest::prelude::*;

use super::Download;
use super::digests::HASHING_MAX;
use super::packet::{CHUNK_MAX, Packet, Refusal};
use super::receiver::{Arrival, Receiver};
use super::root::Root;
use crate::packet::hex;

/// The SHA-256 of "abc" (FIPS 180-4).
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn digest() -> [u8; 32] {
    hex(ABC).try_into().unwrap()
}

fn data(offset: u64, octets: &[u8]) -> Vec<u8> {
    Packet::Data { offset, octets: octets.into() }.encode()
}

fn found(size: u64) -> Vec<u8> {
    Packet::Found { size }.encode()
}

#[test]
fn each_message_has_its_octets() {
    let cases = [
        (
            Packet::Fetch { offset: 5, path: "a/b".into() },
            "0100000f 0000000000000005 612f62".to_owned(),
        ),
        (Packet::Found { size: 7 }, "0200000c 0000000000000007".into()),
        (Packet::Data { offset: 5, octets: vec![1, 2] }, "0300000e 0000000000000005 0102".into()),
        (Packet::End { digest: digest() }, format!("04000024 {ABC}")),
        (
            Packet::Refused { reason: Refusal::NotFound, text: "no".into() },
            "05000007 01 6e6f".into(),
        ),
    ];
    for (packet, octets) in cases {
        assert_eq!(packet.encode(), hex(&octets), "{packet:?}");
        assert_eq!(Packet::decode(&hex(&octets)), Ok(packet));
    }
    let largest = Packet::Data { offset: 0, octets: vec![0; CHUNK_MAX] };
    assert_eq!(Packet::decode(&largest.encode()), Ok(largest));
    for octets in ["01000008 00000000", "05000005 00", "04000023", "06000004", "04000025"] {
        assert!(Packet::decode(&hex(octets)).is_err(), "{octets}");
    }
}

#[test]
fn another_server_sends_only_the_rest() {
    let mut receiver = Receiver::new("f".into());
    assert_eq!(receiver.ask(), Packet::Fetch { offset: 0, path: "f".into() });
    assert_eq!(receiver.receive(&found(3)), Arrival::Size(3));
    assert_eq!(receiver.receive(&data(0, b"ab")), Arrival::Octets(b"ab".into()));

    assert_eq!(receiver.ask(), Packet::Fetch { offset: 2, path: "f".into() });
    assert_eq!(receiver.receive(&found(3)), Arrival::Size(3));
    // What is there already does not count twice.
    assert_eq!(receiver.receive(&data(1, b"b")), Arrival::Nothing);
    assert_eq!(receiver.receive(&data(1, b"bc")), Arrival::Octets(b"c".into()));
    let end = Packet::End { digest: digest() }.encode();
    assert_eq!(receiver.receive(&end), Arrival::Complete(digest()));
}

#[test]
fn servers_with_different_files_are_found_out() {
    let started = || {
        let mut receiver = Receiver::new("f".into());
        receiver.receive(&found(3));
        receiver.receive(&data(0, b"ab"));
        receiver
    };
    let end = Packet::End { digest: digest() }.encode();
    assert!(matches!(started().receive(&found(4)), Arrival::Differs(_)));
    assert!(matches!(started().receive(&data(2, b"cd")), Arrival::Differs(_)));
    assert!(matches!(started().receive(&end), Arrival::Differs(_)));
    let shorter = Packet::Refused { reason: Refusal::Shorter, text: String::new() }.encode();
    assert!(matches!(started().receive(&shorter), Arrival::Differs(_)));
    let mut other = started();
    other.receive(&data(2, b"d"));
    assert_eq!(other.receive(&end), Arrival::Differs("another SHA-256"));
}

#[test]
fn holes_and_nonsense_are_found_out() {
    let mut receiver = Receiver::new("f".into());
    receiver.receive(&found(9));
    assert_eq!(receiver.receive(&data(1, b"b")), Arrival::Broken);
    assert_eq!(receiver.receive(b"garbage"), Arrival::Broken);
    let fetch = Packet::Fetch { offset: 0, path: "f".into() }.encode();
    assert_eq!(receiver.receive(&fetch), Arrival::Broken);
    assert_eq!(receiver.receive(&data(u64::MAX, b"b")), Arrival::Broken);
    assert_eq!(receiver.offset(), 0);
}

/// A service with the file "f", which is "abc", and that file opened at its end.
async fn at_the_end() -> (Arc<Download>, Option<super::Sending>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), "abc").unwrap();
    let service = Arc::new(Download::new(Root::open(folder.path()).unwrap()));
    let (sending, found) = Arc::clone(&service).open("f".into(), 3, None).await;
    assert_eq!(found, Packet::Found { size: 3 });
    (service, sending)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hashes_for_long_gives_signs_of_life() {
    let (service, mut sending) = at_the_end().await;
    // Others are hashed.
    let all = u32::try_from(HASHING_MAX).unwrap();
    let permits = service.digests.hashing.acquire_many(all).await;
    for _ in 0..3 {
        let sign = Packet::Data { offset: 3, octets: Vec::new() };
        assert_eq!(service.next(&mut sending).await, sign);
    }
    drop(permits);
    assert_eq!(service.next(&mut sending).await, Packet::End { digest: digest() });
    assert!(sending.is_none());
    let mut receiver = Receiver::new("f".into());
    receiver.receive(&found(3));
    receiver.receive(&data(0, b"abc"));
    assert_eq!(receiver.receive(&data(3, b"")), Arrival::Nothing);
}

proptest! {
    #[test]
    fn any_octets_are_survived(octets in proptest::collection::vec(any::<u8>(), 0..40), kind in 0_u8..7) {
        let mut octets = octets;
        let length = u8::try_from(octets.len()).unwrap();
        if let [first, _, high, low, ..] = &mut octets[..] {
            (*first, *high, *low) = (kind, 0, length);
        }
        if let Ok(packet) = Packet::decode(&octets) {
            prop_assert!(Packet::decode(&packet.encode()).is_ok());
        }
        Receiver::new("f".into()).receive(&octets);
    }
}
