//! State cookies (RFC 9260 §5.1.3): a whole future association, which its peer keeps for us.
//!
//! An INIT leaves nothing behind here. What its answer carries is authentic by an HMAC-SHA256 under
//! a key that only this endpoint has, names the peer's address, and is good for a time.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::auth::Vector;
use crate::parameter::Parameters;
use crate::read::{u16_at, u32_at, u64_at};

/// Octets of the MAC.
const MAC: usize = 32;

/// What a cookie says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Cookie {
    /// When it was made.
    pub(crate) created: Duration,
    /// Where the INIT came from.
    pub(crate) remote: SocketAddr,
    /// Ports of SCTP, own and peer's.
    pub(crate) ports: [u16; 2],
    pub(crate) own_tag: u32,
    pub(crate) peer_tag: u32,
    pub(crate) own_tsn: u32,
    pub(crate) peer_tsn: u32,
    /// What the peer takes, in octets.
    pub(crate) window: u32,
    /// Streams that we may send on, and the peer.
    pub(crate) streams: [u16; 2],
    /// What stands for the tags of the association that there was; 0 for none.
    pub(crate) tie: u64,
    /// The peer can change addresses.
    pub(crate) asconf: bool,
    /// The peer's other addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// Random octets of ours and the peer's vector, where both can do AUTH.
    pub(crate) auth: Option<([u8; 32], Vector)>,
}

impl Cookie {
    fn write(&self, octets: &mut Vec<u8>) {
        octets.extend_from_slice(&millis(self.created).to_be_bytes());
        octets.extend_from_slice(&v6(self.remote.ip()).octets());
        octets.extend_from_slice(&self.remote.port().to_be_bytes());
        for half in self.ports.iter().chain(&self.streams) {
            octets.extend_from_slice(&half.to_be_bytes());
        }
        for word in [self.own_tag, self.peer_tag, self.own_tsn, self.peer_tsn, self.window] {
            octets.extend_from_slice(&word.to_be_bytes());
        }
        octets.extend_from_slice(&self.tie.to_be_bytes());
        let count = u8::try_from(self.addresses.len()).unwrap_or(u8::MAX);
        octets.extend_from_slice(&[u8::from(self.asconf), count]);
        for address in self.addresses.iter().take(usize::from(count)) {
            octets.extend_from_slice(&v6(*address).octets());
        }
        if let Some((random, vector)) = &self.auth {
            octets.extend_from_slice(random);
            vector.write(octets);
        }
    }

    fn read(octets: &[u8]) -> Option<Self> {
        let ip = |at: usize| {
            let octets: [u8; 16] = *octets.get(at..)?.first_chunk()?;
            Some(IpAddr::from(octets).to_canonical())
        };
        let [asconf, count] = *octets.get(62..)?.first_chunk()?;
        let list = 64;
        let addresses = (0..usize::from(count)).map(|n| ip(list + 16 * n));
        let rest = octets.get(list + 16 * usize::from(count)..)?;
        let auth = match rest.split_first_chunk::<32>() {
            None => None,
            Some((random, parameters)) => {
                let mut vector = Vector::default();
                Parameters::new(parameters).for_each(|parameter| vector.take(&parameter));
                Some((*random, vector))
            }
        };
        Some(Self {
            created: Duration::from_millis(u64_at(octets, 0)?),
            remote: SocketAddr::new(ip(8)?, u16_at(octets, 24)?),
            ports: [u16_at(octets, 26)?, u16_at(octets, 28)?],
            streams: [u16_at(octets, 30)?, u16_at(octets, 32)?],
            own_tag: u32_at(octets, 34)?,
            peer_tag: u32_at(octets, 38)?,
            own_tsn: u32_at(octets, 42)?,
            peer_tsn: u32_at(octets, 46)?,
            window: u32_at(octets, 50)?,
            tie: u64_at(octets, 54)?,
            asconf: asconf != 0,
            addresses: addresses.collect::<Option<_>>()?,
            auth,
        })
    }
}

/// Why a cookie is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CookieError {
    /// This endpoint did not make it.
    Forged,
    /// It is older than it may be: by so much.
    Stale(Duration),
}

/// Makes the cookies of one endpoint and knows them again.
pub(crate) struct Cookies {
    mac: Hmac<Sha256>,
    life: Duration,
}

impl Cookies {
    /// Under this key; a cookie is good for `life`.
    pub(crate) fn new(key: &[u8; 32], life: Duration) -> Self {
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        // The length of SHA-256's block, which HMAC takes as it is.
        Self { mac: Hmac::new(&block.into()), life }
    }

    /// Appends a cookie.
    pub(crate) fn bake(&self, cookie: &Cookie, octets: &mut Vec<u8>) {
        let start = octets.len();
        cookie.write(octets);
        let mut mac = self.mac.clone();
        mac.update(octets.get(start..).unwrap_or_default());
        octets.extend_from_slice(&mac.finalize().into_bytes());
    }

    /// Reads a cookie that came back.
    pub(crate) fn open(&self, octets: &[u8], now: Duration) -> Result<Cookie, CookieError> {
        let body = octets.len().checked_sub(MAC).ok_or(CookieError::Forged)?;
        let (body, found) = octets.split_at_checked(body).ok_or(CookieError::Forged)?;
        let mut mac = self.mac.clone();
        mac.update(body);
        mac.verify_slice(found).map_err(|_| CookieError::Forged)?;
        let cookie = Cookie::read(body).ok_or(CookieError::Forged)?;
        let age = now.saturating_sub(cookie.created);
        if age > self.life {
            return Err(CookieError::Stale(age - self.life));
        }
        Ok(cookie)
    }

    /// The peer's tag in a cookie that [`open`](Self::open) found stale.
    pub(crate) fn peer_tag(&self, octets: &[u8]) -> Option<u32> {
        u32_at(octets, 38)
    }

    /// What stands for the tags of an association in a cookie (its tie tags, RFC 9260 §5.2.2): who
    /// reads it does not learn them.
    pub(crate) fn tie(&self, own_tag: u32, peer_tag: u32) -> u64 {
        let mut mac = self.mac.clone();
        mac.update(b"tie");
        mac.update(&own_tag.to_be_bytes());
        mac.update(&peer_tag.to_be_bytes());
        u64_at(&mac.finalize().into_bytes(), 0).unwrap_or(1).max(1)
    }
}

fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie() -> Cookie {
        Cookie {
            created: Duration::from_secs(5),
            remote: "10.0.0.1:9899".parse().unwrap(),
            ports: [3863, 5000],
            own_tag: 1,
            peer_tag: 2,
            own_tsn: 3,
            peer_tsn: 4,
            window: 5,
            streams: [6, 7],
            tie: 8,
            asconf: true,
            addresses: vec!["10.0.1.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            auth: Some(([9; 32], Vector::own(&[10; 32]))),
        }
    }

    #[test]
    fn what_comes_back_is_what_was_given() {
        let cookies = Cookies::new(&[1; 32], Duration::from_secs(60));
        let plain = Cookie { auth: None, addresses: Vec::new(), ..cookie() };
        for cookie in [cookie(), plain] {
            let mut octets = Vec::new();
            cookies.bake(&cookie, &mut octets);
            let now = Duration::from_secs(65);
            assert_eq!(cookies.open(&octets, now), Ok(cookie));
            let late = CookieError::Stale(Duration::from_secs(1));
            assert_eq!(cookies.open(&octets, Duration::from_secs(66)), Err(late));
        }
    }

    #[test]
    fn no_octet_can_be_changed_and_no_other_endpoint_can_make_one() {
        let cookies = Cookies::new(&[1; 32], Duration::from_secs(60));
        let mut octets = Vec::new();
        cookies.bake(&cookie(), &mut octets);
        for at in 0..octets.len() {
            let mut forged = octets.clone();
            forged[at] ^= 1;
            assert_eq!(cookies.open(&forged, Duration::ZERO), Err(CookieError::Forged));
            assert_eq!(cookies.open(&octets[..at], Duration::ZERO), Err(CookieError::Forged));
        }
        let other = Cookies::new(&[2; 32], Duration::from_secs(60));
        assert_eq!(other.open(&octets, Duration::ZERO), Err(CookieError::Forged));
        assert_ne!(cookies.tie(1, 2), cookies.tie(2, 1));
    }
}
