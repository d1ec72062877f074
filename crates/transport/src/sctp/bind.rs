//! Opening both ways.

use std::net::{Ipv4Addr, SocketAddr};

use super::SctpEndpoint;
use crate::address::{Address, Scheme};
use crate::endpoint::{Endpoint, Error, Local, Options};
use crate::userland::UserlandEndpoint;

/// Ports that are tried when any will do: one that SCTP has free may be taken in UDP.
const PORT_ATTEMPTS: usize = 16;

impl SctpEndpoint {
    /// Listens at `url` by all ways that work here. Port 0 becomes one that is free in SCTP and UDP.
    ///
    /// Where the kernel itself encapsulates at the URL's `encap` port, it serves those peers, and
    /// userland stays closed.
    ///
    /// # Errors
    ///
    /// - [`Error::Bind`] where one of the ways exists, but the port is taken.
    /// - [`Error::Resolve`] for a name without address.
    /// - [`Error::System`] where there is no randomness.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with IO and time.
    pub fn bind(url: &Address, options: &Options) -> Result<Self, Error> {
        for _ in 1..PORT_ATTEMPTS {
            match Self::bind_once(url, options) {
                Err(Error::Bind { .. }) if url.port == 0 => {}
                bound => return bound,
            }
        }
        Self::bind_once(url, options)
    }

    /// Only dials.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`] where no port is to be had, [`Error::System`] where there is no randomness.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with IO and time.
    pub fn dialer(options: &Options) -> Result<Self, Error> {
        let kernel = kernel(None, options)?;
        let userland = UserlandEndpoint::dialer(options)?;
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let url = Address::from((Scheme::Sctp, any));
        let local = Local { url, addresses: Vec::new(), port: 0 };
        Ok(Self::over(kernel, Some(Box::new(userland)), local, options))
    }

    fn bind_once(url: &Address, options: &Options) -> Result<Self, Error> {
        let as_asked = |error| match error {
            Error::Bind { source, .. } => Error::Bind { url: url.clone(), source },
            other => other,
        };
        let kernel =
            kernel(Some(&url.with_scheme(Scheme::KernelSctp)), options).map_err(as_asked)?;
        let port = kernel.as_ref().map_or(url.port, |kernel| kernel.local().port);
        let in_udp = url.with_scheme(Scheme::UserlandSctp).with_port(port);
        let userland: Option<Box<dyn Endpoint>> = match UserlandEndpoint::bind(&in_udp, options) {
            Ok(userland) => Some(Box::new(userland)),
            Err(error) if kernel.is_some() && may_be_kernels(url, &error) => {
                tracing::warn!(%url, %error, "no SCTP in UDP but what the kernel has itself");
                None
            }
            Err(error) => return Err(as_asked(error)),
        };
        let bound = userland.as_ref().or(kernel.as_ref()).map(|endpoint| endpoint.local());
        let (addresses, port) = bound.map_or((Vec::new(), port), |l| (l.addresses, l.port));
        let local = Local { url: url.with_port(port), addresses, port };
        Ok(Self::over(kernel, userland, local, options))
    }
}

/// True where userland SCTP could not be opened because the kernel may have its UDP port.
fn may_be_kernels(url: &Address, error: &Error) -> bool {
    match error {
        Error::Unsupported { .. } => true,
        Error::Bind { .. } => url.encapsulation.is_some(),
        _ => false,
    }
}

/// The kernel's endpoint, where it has SCTP: at `url`, or one that only dials.
#[cfg(target_os = "linux")]
fn kernel(url: Option<&Address>, options: &Options) -> Result<Option<Box<dyn Endpoint>>, Error> {
    use crate::kernel::KernelEndpoint;
    let endpoint = match url {
        Some(url) => KernelEndpoint::bind(url, options),
        None => KernelEndpoint::dialer(options),
    };
    match endpoint {
        Ok(endpoint) => Ok(Some(Box::new(endpoint))),
        Err(Error::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// SCTP of other kernels is not used.
#[cfg(not(target_os = "linux"))]
fn kernel(_: Option<&Address>, _: &Options) -> Result<Option<Box<dyn Endpoint>>, Error> {
    Ok(None)
}
