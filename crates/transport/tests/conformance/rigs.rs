//! How each back end is opened for the suite.

use std::any::Any;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::OnceLock;

use rserpool_transport::userland::UserlandEndpoint;
use rserpool_transport::{
    Address, Endpoint, Error, Framing, KernelEndpoint, MemoryNetwork, Options, Ppid, Remote,
    Scheme, SctpEndpoint, TcpEndpoint, Tls, kernel_sctp_available,
};

use crate::Rig;
use crate::keys::Authority;

/// A network inside the process.
pub(crate) struct Memory(MemoryNetwork);

impl Rig for Memory {
    const NAME: &'static str = "memory";
    const KNOWS_ITS_SCHEMES: bool = false;
    const SCHEME: Scheme = Scheme::Sctp;

    fn new() -> Result<Self, String> {
        Ok(Self(MemoryNetwork::new()))
    }

    fn bind(&self, address: &Address, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
        Ok(Box::new(self.0.bind(address, options)?))
    }

    fn dialer(&self, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
        Ok(Box::new(self.0.dialer(options)))
    }
}

/// TCP, framed as ASAP is.
pub(crate) struct Tcp;

impl Rig for Tcp {
    const NAME: &'static str = "tcp";
    const SCHEME: Scheme = Scheme::Tcp;
    const KEEPS_PPIDS: bool = false;
    const DIALS_FROM_ITS_PORT: bool = false;

    fn new() -> Result<Self, String> {
        Ok(Self)
    }

    fn bind(&self, address: &Address, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
        Ok(Box::new(TcpEndpoint::bind(address, Framing::Message(Ppid::ASAP), options)?))
    }

    fn dialer(&self, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
        Ok(Box::new(TcpEndpoint::dialer(Framing::Message(Ppid::ASAP), options)))
    }

    /// A listener whose queue is full: Linux drops what comes then.
    fn black_hole(&self) -> Option<(Remote, Box<dyn Any>)> {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let listener = listener.ok()?;
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).ok()?;
        listener.listen(0).ok()?;
        let socket = listener.local_addr().ok()?.as_socket()?;
        let filler = std::net::TcpStream::connect(socket).ok()?;
        let remote = Remote {
            scheme: Scheme::Tcp,
            addresses: vec![socket.ip()],
            port: socket.port(),
            encapsulation: None,
            zone: 0,
            expected: Default::default(),
        };
        Some((remote, Box::new((listener, filler))))
    }
}

/// TLS over TCP, framed as ASAP is; both ends have certificates of one authority.
pub(crate) struct TlsOverTcp {
    authority: Authority,
    tls: Tls,
}

impl TlsOverTcp {
    fn options(&self, options: &Options) -> Options {
        Options { tls: Some(self.tls.clone()), ..options.clone() }
    }
}

impl Rig for TlsOverTcp {
    const NAME: &'static str = "tls";
    const SCHEME: Scheme = Scheme::Tls;
    const KEEPS_PPIDS: bool = false;
    const DIALS_FROM_ITS_PORT: bool = false;

    fn new() -> Result<Self, String> {
        let authority = Authority::new();
        Ok(Self { tls: authority.node("node"), authority })
    }

    fn bind(&self, address: &Address, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
        let framing = Framing::Message(Ppid::ASAP);
        Ok(Box::new(TcpEndpoint::bind(address, framing, &self.options(options))?))
    }

    fn dialer(&self, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
        // Each has a key of its own, as others do.
        let options = Options { tls: Some(self.authority.node("dialer")), ..options.clone() };
        Ok(Box::new(TcpEndpoint::tls_dialer(Framing::Message(Ppid::ASAP), &options)?))
    }

    fn black_hole(&self) -> Option<(Remote, Box<dyn Any>)> {
        let (remote, guard) = Tcp.black_hole()?;
        Some((Remote { scheme: Scheme::Tls, ..remote }, guard))
    }
}

/// SCTP in userland, over UDP.
pub(crate) struct Userland;

impl Rig for Userland {
    const NAME: &'static str = "userland";
    const SCHEME: Scheme = Scheme::UserlandSctp;

    fn new() -> Result<Self, String> {
        Ok(Self)
    }

    fn bind(&self, address: &Address, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
        Ok(Box::new(UserlandEndpoint::bind(address, options)?))
    }

    fn dialer(&self, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
        Ok(Box::new(UserlandEndpoint::dialer(options)?))
    }

    /// A UDP port whose owner reads nothing.
    fn black_hole(&self) -> Option<(Remote, Box<dyn Any>)> {
        let silent = std::net::UdpSocket::bind(("127.0.0.1", 0)).ok()?;
        let socket = silent.local_addr().ok()?;
        let remote = Remote {
            scheme: Scheme::UserlandSctp,
            addresses: vec![socket.ip()],
            port: socket.port(),
            encapsulation: None,
            zone: 0,
            expected: Default::default(),
        };
        Some((remote, Box::new(silent)))
    }
}

/// SCTP of the kernel. `cargo xtask uml-test` runs it on one that has it.
pub(crate) struct Kernel;

impl Rig for Kernel {
    const NAME: &'static str = "kernel";
    const SCHEME: Scheme = Scheme::KernelSctp;

    fn new() -> Result<Self, String> {
        let available = kernel_sctp_available();
        assert!(available.is_ok() || !in_guest(), "the guest has SCTP, but {available:?}");
        available?;
        // Before anything is bound: endpoints tell their peers about new addresses of the host.
        HOLE.get_or_init(|| in_guest() && dig_hole());
        Ok(Self)
    }

    fn bind(&self, address: &Address, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
        Ok(Box::new(KernelEndpoint::bind(address, options)?))
    }

    fn dialer(&self, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
        Ok(Box::new(KernelEndpoint::dialer(options)?))
    }

    /// An address behind an interface that leads nowhere.
    fn black_hole(&self) -> Option<(Remote, Box<dyn Any>)> {
        let remote = Remote {
            scheme: Scheme::KernelSctp,
            addresses: vec!["10.99.99.2".parse().ok()?],
            port: 3863,
            encapsulation: None,
            zone: 0,
            expected: Default::default(),
        };
        HOLE.get().copied().unwrap_or_default().then(|| (remote, Box::new(()) as Box<dyn Any>))
    }
}

/// Both kinds of SCTP as one, where the kernel has it; else userland behind the common front.
pub(crate) struct Sctp;

impl Rig for Sctp {
    const NAME: &'static str = "sctp";
    const SCHEME: Scheme = Scheme::Sctp;

    fn new() -> Result<Self, String> {
        // Only for the hole, which must be there before anything is bound.
        let _ = Kernel::new();
        Ok(Self)
    }

    fn bind(&self, address: &Address, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
        Ok(Box::new(SctpEndpoint::bind(address, options)?))
    }

    fn dialer(&self, options: &Options) -> Result<Box<dyn Endpoint>, Error> {
        Ok(Box::new(SctpEndpoint::dialer(options)?))
    }

    /// A UDP port whose owner reads nothing; the kernel's way is refused before.
    fn black_hole(&self) -> Option<(Remote, Box<dyn Any>)> {
        let (remote, guard) = Userland.black_hole()?;
        Some((Remote { scheme: Scheme::Sctp, ..remote }, guard))
    }
}

static HOLE: OnceLock<bool> = OnceLock::new();

/// Only there a test may change the network.
fn in_guest() -> bool {
    std::env::var_os("UML_RUN").is_some()
}

/// Makes an interface that drops all it is to send.
fn dig_hole() -> bool {
    let ip = |args: &str| {
        Command::new("ip").args(args.split(' ')).status().is_ok_and(|status| status.success())
    };
    ip("link add hole type dummy")
        && ip("link set hole addrgenmode none")
        && ip("addr add 10.99.99.1/24 dev hole")
        && ip("link set hole up")
}
