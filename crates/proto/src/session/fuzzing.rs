//! What must hold of cookies for any octets, as a function that panics where it does not: the body of
//! a fuzz target, and of the tests that run what the fuzzers started from and found.

use rserpool_wire::param::PoolHandle;

use super::cookie::{Cookies, Key, Refusal};

/// When cookies are opened, in seconds of Unix time.
const NOW: u64 = 1_790_000_000;

/// What a client brings as a cookie is opened only where a server of the pool has made it, as it is.
///
/// An input is an octet of flags (1: as it comes; 2: encrypted cookies; else a sealed cookie is
/// changed) and octets: the cookie, or the state of one followed by pairs of a place and what is
/// XORed to the octet there.
///
/// # Panics
///
/// Where it is not so.
pub fn session_cookies(input: &[u8]) {
    let Some((&flags, octets)) = input.split_first() else { return };
    let (Some(pool), Some(key)) = (PoolHandle::new(&b"Pool"[..]), Key::new(&[7; 32])) else {
        return;
    };
    let sealed = Cookies::sealed(vec![key], [1; 32]);
    let mut cookies = if flags & 2 == 0 { sealed } else { sealed.encrypted() };
    if flags & 1 != 0 {
        // Nobody has a key but this pool's servers.
        assert!(cookies.open(&pool, NOW, octets).is_err(), "a cookie is forged");
        let plain = Cookies::plain().open(&pool, NOW, octets);
        let is_sealed = octets.starts_with(b"RSPc");
        let expected = if is_sealed { Err(Refusal::NoKey) } else { Ok(octets.to_vec()) };
        assert_eq!(plain, expected, "a plain cookie is its state");
        return;
    }
    let (state, changes) = octets.split_at(octets.len() / 2);
    let cookie = cookies.seal(&pool, NOW, state);
    assert_eq!(cookie.len() % 4, 0, "a cookie needs no padding");
    assert_eq!(cookies.open(&pool, NOW, &cookie).as_deref(), Ok(state));
    let mut changed = cookie.clone();
    for pair in changes.chunks_exact(2) {
        let at = usize::from(pair[0]) % changed.len();
        changed[at] ^= pair[1];
    }
    let opened = cookies.open(&pool, NOW, &changed);
    assert_eq!(opened.is_ok(), changed == cookie, "a change is noticed");
}
