//! Which back ends work on this host, and what to type where one does not.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use crate::endpoint::Backend;

/// Whether something works here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What was tried.
    pub subject: Subject,
    /// Why it does not work and what to type; `None` where it works.
    pub missing: Option<String>,
}

/// What [`probe`] tries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Subject {
    /// A back end.
    Backend(Backend),
    /// Receiving multicast, which announces use.
    Multicast,
    /// Addresses that come and go while associations of the kernel's SCTP are up (RFC 5061).
    AddressChanges,
}

/// Tries what this host can do. Binds loopback sockets for a moment; leaves nothing behind.
pub fn probe() -> Vec<Finding> {
    let backend = |backend, missing| Finding { subject: Subject::Backend(backend), missing };
    vec![
        backend(Backend::KernelSctp, kernel_sctp_available().err()),
        backend(Backend::UserlandSctp, udp().err().map(|e| format!("no UDP sockets: {e}"))),
        backend(Backend::Tcp, tcp().err().map(|e| format!("no TCP sockets: {e}"))),
        Finding { subject: Subject::Multicast, missing: multicast().err().map(no_multicast) },
        Finding { subject: Subject::AddressChanges, missing: no_address_changes() },
    ]
}

/// Tries a socket of the kernel's SCTP: it must open, take its options, bind and listen.
///
/// # Errors
///
/// Why it does not work here and what to type.
#[cfg(target_os = "linux")]
pub fn kernel_sctp_available() -> Result<(), String> {
    let loopback = Ipv4Addr::LOCALHOST.into();
    match crate::kernel::Socket::listen(&[loopback], 0, &crate::Options::default()) {
        Ok(_) => Ok(()),
        Err(e) => Err(missing_sctp(&e).unwrap_or_else(|| format!("a test socket fails: {e}"))),
    }
}

/// SCTP of other kernels is not used.
///
/// # Errors
///
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn kernel_sctp_available() -> Result<(), String> {
    Err("SCTP of the kernel is used on Linux only".into())
}

/// What is missing where an error says that the kernel has no usable SCTP.
#[cfg(target_os = "linux")]
pub(crate) fn missing_sctp(error: &io::Error) -> Option<String> {
    let what = match error.raw_os_error()? {
        // One for each style of socket.
        libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT => {
            "the kernel has no SCTP; where it has the module: modprobe sctp"
        }
        // A cipher of the cookies or of AUTH is a module of its own, and is missing.
        libc::ENOMEM => "SCTP finds no HMAC: modprobe hmac, or sysctl net.sctp.auth_enable=0",
        libc::ENOSYS => {
            "SCTP finds no cipher for its cookies: sysctl net.sctp.cookie_hmac_alg=sha1, or =none"
        }
        libc::ENOPROTOOPT => "the SCTP of this kernel is too old; it takes Linux 5.0 or later",
        _ => return None,
    };
    Some(format!("{what} ({error})"))
}

/// Why addresses cannot change while associations are up, and what to type.
fn no_address_changes() -> Option<String> {
    let is_off = |name: &str| setting(name).is_none_or(|value| value == 0);
    if setting("addip_enable").is_none() {
        return Some("the kernel has no SCTP".into());
    }
    let mut wanted = Vec::new();
    if is_off("addip_enable") {
        wanted.push("net.sctp.addip_enable=1");
    }
    // Without authentication it needs another setting, which the RFC does not want.
    if is_off("auth_enable") && is_off("addip_noauth_enable") {
        wanted.push("net.sctp.auth_enable=1");
    }
    (!wanted.is_empty()).then(|| format!("peers are not told: sysctl -w {}", wanted.join(" ")))
}

/// A setting of the kernel's SCTP, where it has one.
fn setting(name: &str) -> Option<u16> {
    let text = std::fs::read_to_string(format!("/proc/sys/net/sctp/{name}")).ok()?;
    text.trim().parse().ok()
}

/// Who has a UDP port that SCTP in userland wants, where it is the kernel itself, and what to type.
pub(crate) fn taken_by_kernel(error: &io::Error, udp: u16) -> Option<String> {
    let is_taken = error.kind() == io::ErrorKind::AddrInUse && setting("udp_port") == Some(udp);
    is_taken.then(|| {
        format!("the kernel's own SCTP in UDP has port {udp}: sysctl -w net.sctp.udp_port=0")
    })
}

fn udp() -> io::Result<()> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(drop)
}

fn tcp() -> io::Result<()> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop)
}

fn multicast() -> io::Result<()> {
    /// Of the scope that an organisation gives out itself (RFC 2365 §6.2).
    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 192, 0, 1);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED)
}

fn no_multicast(error: io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENODEV | libc::ENETUNREACH) => {
            format!("no route to groups: ip route add 224.0.0.0/4 dev INTERFACE ({error})")
        }
        _ => format!("cannot join a group: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn each_way_to_miss_sctp_says_what_to_type() {
        for (errno, hint) in [
            (libc::EPROTONOSUPPORT, "modprobe sctp"),
            (libc::ESOCKTNOSUPPORT, "modprobe sctp"),
            (libc::ENOMEM, "modprobe hmac"),
            (libc::ENOSYS, "net.sctp.cookie_hmac_alg"),
            (libc::ENOPROTOOPT, "Linux 5.0"),
        ] {
            let why = missing_sctp(&io::Error::from_raw_os_error(errno)).unwrap();
            assert!(why.contains(hint), "{why}");
        }
        let in_use = io::Error::from_raw_os_error(libc::EADDRINUSE);
        assert_eq!(missing_sctp(&in_use), None, "that is not SCTP's fault");
    }

    #[test]
    fn tells_about_each_back_end() {
        let findings = probe();
        assert_eq!(findings.len(), 5);
        let kernel = findings.iter().find(|f| f.subject == Subject::Backend(Backend::KernelSctp));
        assert_eq!(kernel.unwrap().missing, kernel_sctp_available().err());
    }
}
