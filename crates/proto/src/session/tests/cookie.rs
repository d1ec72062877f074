//! Cookies: only what a server of the pool has made is taken.

use std::time::Duration;

use proptest::prelude::*;
use rserpool_wire::param::{Cookie, PoolHandle};

use super::handle;
use crate::session::cookie::{Cookies, Key, KeyError, Refusal, SetKeysError};

const NOW: u64 = 1_790_000_000;

fn key(octet: u8) -> Key {
    Key::new(&[octet; 32]).unwrap()
}

fn sealed(keys: &[u8]) -> Cookies {
    Cookies::sealed(keys.iter().copied().map(key).collect(), [3; 32])
}

#[test]
fn the_longest_state_fits_into_a_cookie_whatever_is_done_to_it() {
    for length in 1..=4 {
        let pool = PoolHandle::new(vec![b'p'; length]).unwrap();
        let state = vec![7; Cookies::state_max(&pool)];
        let lengths = [Cookies::plain(), sealed(&[1]), sealed(&[1]).encrypted()]
            .map(|mut cookies| cookies.seal(&pool, NOW, &state).len());
        assert!(lengths.is_sorted() && lengths[2] <= Cookie::MAX_LEN, "{lengths:?}");
        assert!(lengths[2] + 4 > Cookie::MAX_LEN, "{lengths:?}");
    }
    let endless = PoolHandle::new(vec![b'p'; PoolHandle::MAX_LEN]).unwrap();
    assert_eq!(Cookies::state_max(&endless), 0);
}

// Checklist 128.
#[test]
fn what_is_sealed_opens_in_its_pool_and_time() {
    for mut cookies in [sealed(&[1]), sealed(&[1]).encrypted()] {
        for state in [&b""[..], b"a", b"<PP-TD1>12345678", &[9; 60_000]] {
            let cookie = cookies.seal(&handle(), NOW, state);
            assert_eq!(cookie.len() % 4, 0);
            assert_eq!(cookies.open(&handle(), NOW, &cookie).unwrap(), state);
            assert_eq!(cookies.open(&handle(), NOW + 3_600, &cookie).unwrap(), state);
            let late = cookies.open(&handle(), NOW + 3_601, &cookie);
            assert_eq!(late, Err(Refusal::Expired));
            let other = PoolHandle::new(&b"Poo"[..]).unwrap();
            assert_eq!(cookies.open(&other, NOW, &cookie), Err(Refusal::OtherPool));
        }
    }
}

#[test]
fn a_state_is_readable_unless_it_is_encrypted() {
    let contains = |cookie: &[u8]| cookie.windows(6).any(|octets| octets == b"secret");
    assert!(contains(&sealed(&[1]).seal(&handle(), NOW, b"secret")));
    let mut cookies = sealed(&[1]).encrypted();
    let (one, two) =
        (cookies.seal(&handle(), NOW, b"secret"), cookies.seal(&handle(), NOW, b"secret"));
    assert!(!contains(&one));
    assert_ne!(one, two);
}

#[test]
fn keys_can_be_changed_while_cookies_are_about() {
    let (mut old, mut both, new) = (sealed(&[1]), sealed(&[2, 1]), sealed(&[2]));
    let cookie = old.seal(&handle(), NOW, b"state");
    assert!(both.open(&handle(), NOW, &cookie).is_ok());
    assert_eq!(new.open(&handle(), NOW, &cookie), Err(Refusal::UnknownKey));
    let cookie = both.seal(&handle(), NOW, b"state");
    assert!(new.open(&handle(), NOW, &cookie).is_ok());
    let before = old.seal(&handle(), NOW, b"before");
    old.set_keys(vec![key(2), key(1)]).unwrap();
    // The new key seals; what the old one has sealed is still good.
    assert!(old.open(&handle(), NOW, &cookie).is_ok());
    assert_eq!(old.open(&handle(), NOW, &before).unwrap(), b"before");
    assert!(new.open(&handle(), NOW, &old.seal(&handle(), NOW, b"after")).is_ok());
}

#[test]
fn without_a_key_nothing_is_changed() {
    let mut cookies = sealed(&[1]);
    let cookie = cookies.seal(&handle(), NOW, b"state");
    assert_eq!(cookies.set_keys(Vec::new()), Err(SetKeysError::Empty));
    assert_eq!(cookies.seal_with(Vec::new(), [0; 32]), Err(SetKeysError::Empty));
    assert_eq!(cookies.open(&handle(), NOW, &cookie).unwrap(), b"state");
    assert!(cookies.is_sealing());
}

#[test]
fn who_gets_a_key_takes_nothing_without_a_seal_any_more() {
    let mut cookies = Cookies::plain();
    assert_eq!(cookies.set_keys(vec![key(1)]), Err(SetKeysError::Plain));
    assert_eq!(cookies.open(&handle(), NOW, b"state").unwrap(), b"state");
    cookies.seal_with(vec![key(1)], [3; 32]).unwrap();
    assert_eq!(cookies.open(&handle(), NOW, b"state"), Err(Refusal::Unsealed));
    let cookie = cookies.seal(&handle(), NOW, b"state");
    assert_eq!(sealed(&[1]).open(&handle(), NOW, &cookie).unwrap(), b"state");
    // Who accepts them by the operator's wish goes on to do so.
    let mut lenient = sealed(&[1]).accepting_unsealed();
    lenient.set_keys(vec![key(2)]).unwrap();
    assert!(lenient.open(&handle(), NOW, b"state").is_ok());
}

#[test]
fn servers_with_different_seeds_never_use_the_same_nonce() {
    let nonces = |seed: u8| -> Vec<Vec<u8>> {
        let mut cookies = Cookies::plain().encrypted();
        cookies.seal_with(vec![key(1)], [seed; 32]).unwrap();
        let nonce = |cookie: Vec<u8>| cookie[24..48].to_vec();
        (0..100).map(|_| nonce(cookies.seal(&handle(), NOW, b"state"))).collect()
    };
    let mut all = [nonces(1), nonces(2)].concat();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn pools_with_and_without_key() {
    let (mut with, mut without) = (sealed(&[1]), Cookies::plain());
    assert!(with.is_sealing() && !without.is_sealing());
    let (cookie, plain) =
        (with.seal(&handle(), NOW, b"state"), without.seal(&handle(), NOW, b"state"));
    assert_eq!(plain, b"state");
    assert_eq!(without.open(&handle(), NOW, &plain).unwrap(), b"state");
    assert_eq!(without.open(&handle(), NOW, &cookie), Err(Refusal::NoKey));
    assert_eq!(with.open(&handle(), NOW, &plain), Err(Refusal::Unsealed));
    let lenient = sealed(&[1]).accepting_unsealed();
    assert_eq!(lenient.open(&handle(), NOW, &plain).unwrap(), b"state");
    let short = sealed(&[1]).with_life(Duration::from_secs(1)).seal(&handle(), NOW, b"state");
    assert_eq!(with.open(&handle(), NOW + 2, &short), Err(Refusal::Expired));
}

#[test]
fn key_files_say_which_line_is_wrong() {
    let secret = "0123456789abcdefABCDEF0123456789".repeat(2);
    let text = format!("# new\n{secret}\n\n  {secret} # old\n");
    assert_eq!(Key::parse_all(&text).unwrap().len(), 2);
    assert_eq!(Key::parse_all("# none\n").unwrap_err(), KeyError::Empty);
    assert_eq!(Key::parse_all("\nxyz").unwrap_err(), KeyError::NotHexadecimal(2));
    assert_eq!(Key::parse_all("abc").unwrap_err(), KeyError::NotHexadecimal(1));
    assert_eq!(Key::parse_all("+1ä").unwrap_err(), KeyError::NotHexadecimal(1));
    assert_eq!(Key::parse_all("+1").unwrap_err(), KeyError::NotHexadecimal(1));
    assert_eq!(Key::parse_all("abcd").unwrap_err(), KeyError::TooShort(1));
    assert!(!format!("{:?}", key(0xab)).contains("ab, ab"));
}

/// The form on the wire, so that old and new servers of a pool understand each other.
#[test]
fn the_form_is_this() {
    let cookie = sealed(&[1]).seal(&handle(), NOW, b"state");
    assert_eq!(cookie[..8], *b"RSPc\x01\xc0\x00\x04");
    assert_eq!(cookie[12..20], (NOW + 3_600).to_be_bytes());
    assert_eq!(cookie[20..32], *b"Poolstate\0\0\0");
    assert_eq!(cookie.len(), 32 + 32);
}

proptest! {
    #[test]
    fn a_change_of_a_single_bit_is_noticed(
        state in prop::collection::vec(any::<u8>(), 0..100),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        encrypts in any::<bool>(),
    ) {
        let mut cookies = if encrypts { sealed(&[1]).encrypted() } else { sealed(&[1]) };
        let mut cookie = cookies.seal(&handle(), NOW, &state);
        let at = at.index(cookie.len());
        cookie[at] ^= 1 << bit;
        prop_assert!(cookies.open(&handle(), NOW, &cookie).is_err());
        cookie[at] ^= 1 << bit;
        prop_assert_eq!(cookies.open(&handle(), NOW, &cookie).unwrap(), state);
    }

    #[test]
    fn no_octets_do_harm(octets in prop::collection::vec(any::<u8>(), 0..200), magic in any::<bool>()) {
        let octets = if magic { [b"RSPc", &octets[..]].concat() } else { octets };
        prop_assert!(sealed(&[1]).open(&handle(), NOW, &octets).is_err());
        for end in 0..octets.len() {
            prop_assert!(sealed(&[1]).open(&handle(), NOW, &octets[..end]).is_err());
        }
    }
}
