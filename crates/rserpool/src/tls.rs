//! Keys, and whom they make trusted.
//!
//! # Examples
//!
//! Each node reads its own, and shares them with everything that it starts:
//!
//! ```no_run
//! use rserpool::tls::KeyFiles;
//! use rserpool::{PoolUser, Tls, UserConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut files = KeyFiles::new("alice.key");
//! files.ca = vec!["ca.pem".into()];
//! files.cert = Some("alice.pem".into());
//! let tls = Tls::new(files)?;
//! let config = UserConfig::new(vec!["tls://registrar.example".parse()?]).tls(tls.clone());
//! let user = PoolUser::start(config)?;
//! // Where the files have changed:
//! tls.reload()?;
//! # Ok(())
//! # }
//! ```

pub use rserpool_transport::tls::{
    Identity, IdentityError, KeyError, KeyFiles, KeyProblem, Name, Pin, PinError, Role, Tls,
};
