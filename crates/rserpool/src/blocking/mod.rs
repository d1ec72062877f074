//! The same for programs without async: each call waits on the thread that makes it.
//!
//! The protocols run on a thread of their own, so that keep-alives are answered and sessions fail
//! over whatever the program does meanwhile. Each object that is started has such a thread; several
//! share one where they are started in the same [`Runtime`]. A thread ends with the last object that
//! runs on it.
//!
//! All types may be shared between threads: one may send in a [`Session`] while another one waits
//! for what it receives. No call panics. In an async task they block the thread that runs it: there
//! the types at the root of this crate are right.
//!
//! # Examples
//!
//! ```
//! use rserpool::blocking::{PoolElement, PoolUser, Registrar};
//! use rserpool::{ElementConfig, RegistrarConfig, Transport, UserConfig};
//!
//! # fn main() -> Result<(), rserpool::Error> {
//! let registrar = Registrar::start(RegistrarConfig::new(vec!["tcp://127.0.0.1:0".parse()?]))?;
//! let registrars = registrar.urls().to_vec();
//!
//! let at = Transport::tcp(([127, 0, 0, 1], 8080).into());
//! let config = ElementConfig::new(registrars.clone(), "WebPool".parse()?, at);
//! let element = PoolElement::start(config)?;
//! element.registered()?;
//!
//! let user = PoolUser::start(UserConfig::new(registrars))?;
//! let answer = user.resolve(&"WebPool".parse()?, None)?;
//! assert_eq!(answer.socket_addrs().next(), Some(([127, 0, 0, 1], 8080).into()));
//! element.stop();
//! # Ok(())
//! # }
//! ```

mod element;
mod registrar;
mod runtime;
mod session;
mod user;

pub use element::PoolElement;
pub use registrar::Registrar;
pub use runtime::Runtime;
pub use session::Session;
pub use user::PoolUser;
