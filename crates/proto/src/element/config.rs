use std::time::Duration;

use rserpool_wire::param::{Cause, Load, PeId, Policy, PoolHandle, RegistrarId, Transport};

use crate::dialect::{Dialect, Lifetime};
use crate::machine::{Link, Target};
use crate::timing::Timing;

/// What a pool element is, and how long it waits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The pool to join. Registrars take up to 32 octets by default.
    pub handle: PoolHandle,
    /// Its identifier; `None` (and 0, which registrars refuse) draws one from the seed. A drawn one
    /// is drawn anew where another element of the pool has it. A given one is kept: an element that
    /// was in the pool tries to get it back, with longer and longer pauses; a new one is
    /// [`Event::Rejected`].
    pub id: Option<PeId>,
    /// Where it serves. Its addresses have to be among those of the associations to registrars
    /// (RFC 5352 §2.2.1); an unspecified one stands for the own addresses of that association.
    pub user_transport: Transport,
    /// The pool's policy, and what this element gives it. Default: round robin.
    pub policy: Policy,
    /// How long a registration stands without being renewed. Default: 300 s.
    pub lifetime: Lifetime,
    /// T4-reregistration (RFC 5352 §7.1); `None` is min(10 min, lifetime − 20 s), and half of a
    /// lifetime below 40 s.
    pub reregistration_interval: Option<Duration>,
    /// How many registrars the driver has in its list.
    pub registrars: usize,
    /// MAX-REG-ATTEMPT (RFC 5352 §7.3): after so many registrations in a row without answer
    /// [`Event::NoRegistrar`] is told. The RFC lets it end there; we go on, for a service has to
    /// come back by itself, and three fruitless homes make the hunt rest. Default: 2.
    pub registration_attempts_max: u32,
    /// How long it waits.
    pub timing: Timing,
    /// How it speaks with registrars.
    pub dialect: Dialect,
}

impl Config {
    /// An element of the pool `handle` that serves at `user_transport`, with the default of
    /// everything else and one configured registrar.
    pub fn new(handle: PoolHandle, user_transport: Transport) -> Self {
        Self {
            handle,
            id: None,
            user_transport,
            policy: Policy::round_robin(),
            lifetime: Lifetime::For(Duration::from_secs(300)),
            reregistration_interval: None,
            registrars: 1,
            registration_attempts_max: 2,
            timing: Timing::default(),
            dialect: Dialect::default(),
        }
    }

    /// T4-reregistration, as it applies.
    pub fn reregistration_interval(&self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(600);
        const MARGIN: Duration = Duration::from_secs(20);
        let of_lifetime = match self.lifetime {
            Lifetime::Forever => LONGEST,
            Lifetime::For(life) => life.saturating_sub(MARGIN).max(life / 2).min(LONGEST),
        };
        self.reregistration_interval.unwrap_or(of_lifetime)
    }
}

/// What the application asks of a pool element.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Join the pool and stay in it. Nothing where it is in, or about to be.
    Register,
    /// Leave the pool; ends in [`Event::Deregistered`], [`Event::DeregistrationRefused`] or
    /// [`Event::Abandoned`].
    Deregister,
    /// Give the policy other values: told at once while registered, the newest wins. Another policy
    /// than the pool's is refused.
    SetPolicy(Policy),
    /// The load has changed. Told at once where the policy looks at it, else nothing.
    SetLoad(Load),
    /// The element serves elsewhere, or at other addresses: told at once while registered.
    SetTransport(Transport),
    /// End all associations without a word. A registrar takes that as loss.
    Stop,
}

/// What a pool element tells the application.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// It is in the pool: for the first time, or again after its home was lost.
    Registered {
        /// Under this identifier; another one than before where that was taken.
        id: PeId,
        /// Where.
        home: Home,
    },
    /// It is out of the pool until the next [`Command::Register`], which succeeds only if the cause
    /// is gone (RFC 5352 §3.1: never retried unchanged): it does not fit, another element has its
    /// identifier, or all registrars refuse it. Not of an element that was accepted as it is: that
    /// one tries on.
    Rejected {
        /// Why, of the last registrar; may be empty.
        causes: Vec<Cause>,
        /// The registrars that refused it, the last one last; none where none was asked.
        by: Vec<Home>,
    },
    /// A registrar refused it; it tries others, and this one when there is no other, with pauses.
    Refused {
        /// Why; may be empty.
        causes: Vec<Cause>,
        /// The registrar.
        by: Home,
    },
    /// Another element of the pool has its identifier. It draws another one, or tries again later
    /// where the identifier was given; [`Event::Registered`] follows.
    IdTaken {
        /// The identifier.
        id: PeId,
        /// The registrar that says so.
        by: Home,
    },
    /// It is in the pool, but not as asked for (RFC 5352 §2.2.3).
    Warned {
        /// What was changed.
        causes: Vec<Cause>,
    },
    /// Another registrar has taken it over, or the home's identifier became known.
    HomeChanged {
        /// The home as it is now.
        home: Home,
    },
    /// Its home is gone or silent; it looks for another one. It may still be in the pool.
    HomeLost,
    /// No registrar can be reached, or those that can do not answer. Told once, then when it has
    /// changed; the search goes on.
    NoRegistrar,
    /// It is out of the pool, as asked for.
    Deregistered,
    /// It is still in the pool.
    DeregistrationRefused {
        /// Why.
        causes: Vec<Cause>,
    },
    /// It wanted to leave, but no registrar answered: its registration will run out by itself.
    Abandoned,
    /// The registrar let its registration run out; it registers again.
    Expired,
}

/// The registrar that looks after an element.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Home {
    /// Its identifier; not known before its first keep-alive.
    pub id: Option<RegistrarId>,
    /// What was dialed; `None` where the registrar came to the element.
    pub target: Option<Target>,
    /// The ends of the association.
    pub link: Link,
}
