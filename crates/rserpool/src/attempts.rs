//! What came of the dials to the registrars that the application named: for its user, where none
//! can be reached.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rserpool_transport::Address;

pub use rserpool_transport::DownReason;

/// What came of the last dial to a registrar.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Attempt {
    /// It was not dialed yet.
    None,
    /// It has not answered yet.
    Dialing,
    /// It accepted the association; what it is asked it may not answer.
    Up,
    /// The association could not be set up, or has ended.
    Down(DownReason),
    /// This host cannot dial it: its name has no address, or there is no such transport.
    Impossible(String),
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("not tried yet"),
            Self::Dialing => f.write_str("no answer"),
            Self::Up => f.write_str("accepts, and does not answer"),
            Self::Down(reason) => reason.fmt(f),
            Self::Impossible(why) => f.write_str(why),
        }
    }
}

/// The attempts of one machine, shared with its owner.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    registrars: Arc<[Address]>,
    made: Arc<Mutex<BTreeMap<usize, Attempt>>>,
}

impl Attempts {
    /// None yet, to any of these.
    pub(crate) fn of(registrars: Arc<[Address]>) -> Self {
        Self { registrars, made: Arc::default() }
    }

    /// There are further registrars, after those that were there. Owners that have the attempts
    /// already do not hear of these.
    pub(crate) fn resize(&mut self, registrars: Arc<[Address]>) {
        self.registrars = registrars;
    }

    /// Notes what came of the dial to the registrar of this number.
    pub(crate) fn note(&self, number: usize, attempt: Attempt) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        // Another try is no news until something comes of it.
        if attempt != Attempt::Dialing || made.get(&number).is_none_or(|it| *it == Attempt::Up) {
            made.insert(number, attempt);
        }
    }

    /// All registrars with what came of their dials.
    pub(crate) fn list(&self) -> Vec<(Address, Attempt)> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = |number| made.get(&number).cloned().unwrap_or(Attempt::None);
        let numbered = self.registrars.iter().enumerate();
        numbered.map(|(number, url)| (url.clone(), attempt(number))).collect()
    }
}
