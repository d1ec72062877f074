//! Which own address a dial leaves from, where that matters to the peer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::endpoint::{Error, Options};

/// Those of `remotes` that are to be dialed, each with the own address to leave from; `None` leaves
/// the choice to the system.
///
/// `bound` is where the endpoint listens: dials leave from there where they can. With
/// [`Options::dial_from`] they do or are not made.
pub(crate) fn ways(
    remotes: &[IpAddr],
    bound: &[IpAddr],
    options: &Options,
) -> Result<Vec<(IpAddr, Option<IpAddr>)>, Error> {
    let from = |wanted: &[IpAddr], to: IpAddr| {
        wanted.iter().copied().find(|from| !from.is_unspecified() && leads(*from, to))
    };
    let wanted = &options.dial_from;
    if wanted.is_empty() {
        return Ok(remotes.iter().map(|to| (*to, from(bound, *to))).collect());
    }
    let ways: Vec<_> =
        remotes.iter().filter_map(|to| Some((*to, Some(from(wanted, *to)?)))).collect();
    if ways.is_empty() {
        return Err(Error::Unsupported {
            what: "a dial from the address of the service",
            why: format!(
                "{} cannot be reached from {}, and a registrar takes an element only at the address \
                 that it comes from: listen at another address of this host, or \
                 advertise this one where the registrar allows it",
                list(remotes),
                list(wanted)
            ),
        });
    }
    Ok(ways)
}

/// The own address that the system sends to `remote` from; `None` where there is no way.
pub(crate) fn of_the_system(remote: SocketAddr) -> Option<IpAddr> {
    let any = match remote {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    // Nothing is sent by that.
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}

/// Whether a packet with this source can get to `to`: nothing leaves the host from a loopback
/// address.
fn leads(from: IpAddr, to: IpAddr) -> bool {
    from.is_ipv4() == to.is_ipv4()
        && (!from.is_loopback() || to.is_loopback() || UdpSocket::bind((to, 0)).is_ok())
}

fn list(addresses: &[IpAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const HERE_TOO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    #[test]
    fn a_listener_dials_from_its_address_where_it_can() {
        let options = Options::default();
        let ways = |bound: &[IpAddr]| ways(&[HERE, ELSEWHERE, V6], bound, &options).unwrap();
        assert_eq!(ways(&[HERE_TOO]), [(HERE, Some(HERE_TOO)), (ELSEWHERE, None), (V6, None)]);
        let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
        assert_eq!(ways(&any), [(HERE, None), (ELSEWHERE, None), (V6, None)]);
        assert_eq!(ways(&[V6, ELSEWHERE])[1], (ELSEWHERE, Some(ELSEWHERE)));
    }

    #[test]
    fn the_system_says_where_it_would_leave_from() {
        assert_eq!(of_the_system((HERE, 9).into()), Some(HERE));
        assert_eq!(of_the_system((Ipv4Addr::BROADCAST, 9).into()), None, "nobody may");
    }

    #[test]
    fn who_has_to_leave_from_an_address_leaves_from_there_or_says_why_not() {
        let options = Options { dial_from: vec![HERE_TOO], ..Options::default() };
        let found = ways(&[V6, ELSEWHERE, HERE], &[HERE], &options).unwrap();
        assert_eq!(found, [(HERE, Some(HERE_TOO))]);
        let error = ways(&[V6, ELSEWHERE], &[HERE], &options).unwrap_err().to_string();
        for part in ["192.0.2.1", "127.0.0.2", "a registrar takes an element only at the address"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
