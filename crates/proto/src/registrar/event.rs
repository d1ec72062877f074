//! What an application may ask of a registrar, and what it is told.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rserpool_wire::param::{Cause, PeId, PoolHandle, RegistrarId};

use super::access::{Denial, Rules, Verb};
use super::evidence::Evidence;
use super::holds::Hold;
use super::misbehaviour::Misbehaviour;
use super::reload::Reloadable;
use super::sync::SyncFailure;
use crate::identity::Identity;
use crate::machine::{Malformed, Peer, Source};

/// What the application may ask of a registrar.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Join the scope: dial the configured registrars, fetch the handlespace from one of them, then
    /// serve, and announce where announces are configured. Without it a registrar that knows of
    /// others answers nobody.
    Start,
    /// Leave the scope: hand the elements over to the others, as far as these take them within
    /// [`Config::leave_timeout`](super::Config::leave_timeout), then end every association.
    /// [`Event::Departed`] tells when.
    Leave,
    /// Go by these values from now on, all of them at once. [`Event::Reconfigured`] tells what that
    /// changed.
    Reconfigure(Box<Reloadable>),
    /// These rules hold from now on, in the place of
    /// [`Config::access`](super::Config::access); none opens the scope. The associations of whoever
    /// has something that they do not allow end.
    Rules(Option<Arc<Rules>>),
    /// Do not list this element for a while, whether it is there or comes. It stays registered, and
    /// others know nothing of it. One that is held already is held for so long from now on.
    Hold {
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
        /// For how long, and on whose word.
        hold: Hold,
    },
    /// List this element again.
    Release {
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
    },
    /// Take this element out where this registrar is its home, and refuse its registrations for a
    /// while in any case.
    Evict {
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
        /// For how long, and on whose word.
        ban: Hold,
    },
}

/// What a registrar tells the application.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An element joined a pool here, or moved here from another registrar.
    Joined {
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
    },
    /// An element of this registrar is gone.
    Left {
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
        /// Why.
        reason: LeaveReason,
        /// What was known of it then.
        evidence: Box<Evidence>,
    },
    /// An element of this registrar has another home now.
    Moved {
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
        /// Its new home.
        to: RegistrarId,
    },
    /// A registration was rejected.
    Rejected {
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
        /// Why.
        cause: Cause,
        /// Where it came from, as far as the transport knows.
        from: Option<SocketAddr>,
    },
    /// Somebody may not do what it wanted. Told once a minute for each one and each thing to do; all
    /// of it is counted.
    Refused {
        /// Who it has proved to be.
        who: Option<Identity>,
        /// Where it is, as far as the transport knows.
        from: Option<SocketAddr>,
        /// What it wanted to do.
        verb: Verb,
        /// In which pool, where it is about one.
        handle: Option<PoolHandle>,
        /// Why not.
        denial: Denial,
    },
    /// A message could not be read, or not all of it.
    Malformed {
        /// The association that it came over.
        peer: Peer,
        /// Where it came from, as far as the transport knows.
        from: Option<SocketAddr>,
        /// What is wrong with it.
        malformed: Malformed,
    },
    /// Something was refused because of a limit, told once a minute for each limit and source, and
    /// of 64 of them at most; all of it is counted.
    LimitReached {
        /// The limit, as in the configuration file.
        limit: &'static str,
        /// Who wanted more, where that is known.
        by: Option<Source>,
    },
    /// The registrar serves from now on.
    Serving {
        /// It has the handlespace of another registrar. False: it found none to ask, and begins
        /// with what it has; differences are found by the audit once it meets others.
        synchronised: bool,
    },
    /// Another registrar is there.
    PeerUp(RegistrarId),
    /// Another registrar is silent, or its last association ended; it is asked whether it lives.
    PeerSuspected(RegistrarId),
    /// A suspected registrar lives.
    PeerBack(RegistrarId),
    /// Another registrar is dead.
    PeerLost(RegistrarId),
    /// This registrar wants to take over the elements of a dead one.
    TakeoverBegun {
        /// The dead one.
        target: RegistrarId,
    },
    /// This registrar took them over, and asks each whether it lives.
    TakeoverWon {
        /// The dead one.
        target: RegistrarId,
        /// How many they are.
        elements: usize,
    },
    /// This registrar leaves the takeover to another one.
    TakeoverLost {
        /// The dead one.
        target: RegistrarId,
        /// Who takes over.
        to: RegistrarId,
    },
    /// The one that was thought dead lives: it keeps its elements.
    TakeoverStopped {
        /// Who lives.
        target: RegistrarId,
    },
    /// Another registrar took over the elements of a dead one.
    TakenOver {
        /// The dead one.
        target: RegistrarId,
        /// Who took over.
        by: RegistrarId,
        /// How many elements changed their home in this handlespace.
        elements: usize,
    },
    /// Another registrar took over this one, which lives: it asks its elements back.
    TakenForDead {
        /// Who took over.
        by: RegistrarId,
    },
    /// The handlespace, or what another registrar has of it, was fetched.
    Synchronised {
        /// From whom.
        peer: RegistrarId,
        /// How many elements it told.
        elements: usize,
        /// How many elements were removed because it did not tell them.
        removed: usize,
    },
    /// That did not work; it is tried again. Of a resynchronisation, told again only once one has
    /// come to its end, or where another reason is new.
    SyncFailed {
        /// From whom.
        peer: RegistrarId,
        /// Why.
        reason: SyncFailure,
    },
    /// Somebody else uses this registrar's identifier. Told once for each address; neither believes
    /// the other, and the operator has to give one of them another identifier.
    DuplicateId {
        /// Where the other one is.
        addresses: Vec<IpAddr>,
        /// Its port there; `None` where it was heard by multicast.
        port: Option<u16>,
    },
    /// Another registrar does what it should not. Told once for each registrar and each kind of
    /// it, and for so many at most; all of it is counted.
    Misbehaviour {
        /// Who, where that is known.
        peer: Option<RegistrarId>,
        /// Where it is.
        addresses: Vec<IpAddr>,
        /// The port of its association.
        port: Option<u16>,
        /// What it does.
        what: Misbehaviour,
    },
    /// Another registrar has an element that does not go with the rest of its pool here. Told once
    /// for each registrar.
    Conflict {
        /// The registrar.
        peer: RegistrarId,
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
        /// What is wrong with it.
        cause: Cause,
        /// Where the registrar is.
        from: Option<SocketAddr>,
    },
    /// There are as many registrars as [`Config::peers_max`](super::Config::peers_max) allows;
    /// others are turned away. Told once.
    PeersFull,
    /// A registrar speaks as rsplib does, and this one does not
    /// ([`Config::dialect`](super::Config::dialect)): they misunderstand each other's lifetimes and
    /// takeovers. Told once.
    OtherDialect {
        /// The registrar.
        peer: RegistrarId,
        /// Where it is.
        from: Option<SocketAddr>,
    },
    /// This registrar goes by other values from now on, as it was asked to.
    Reconfigured {
        /// The settings that changed, as in the configuration file; none where all were the same.
        changed: Vec<&'static str>,
    },
    /// An element is not listed here any more, as an operator wanted.
    Held {
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
        /// For how long.
        lasting: Duration,
    },
    /// It may be listed again.
    Released {
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
        /// Its time was over; else an operator wanted it.
        has_run_out: bool,
    },
    /// An element may not register here, as an operator wanted.
    Banned {
        /// The pool.
        handle: PoolHandle,
        /// The element.
        id: PeId,
        /// For how long.
        lasting: Duration,
    },
    /// This registrar has left the scope as it was asked to. It does nothing more.
    Departed {
        /// Elements that another registrar took.
        handed_over: usize,
        /// Elements that have to look for another registrar themselves.
        left_behind: usize,
    },
}

impl fmt::Display for LeaveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deregistered => "deregistered",
            Self::AssociationLost => "association lost",
            Self::Silent => "silent",
            Self::Reported => "reported as unreachable",
            Self::Expired => "registration expired",
            Self::Orphaned => "its registrar died, and it did not answer the next one",
            Self::Evicted => "evicted by an operator",
        })
    }
}

/// Why an element is no longer in its pool.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LeaveReason {
    /// It asked for it.
    Deregistered,
    /// Its association ended.
    AssociationLost,
    /// It did not answer a keep-alive.
    Silent,
    /// Users reported it as unreachable more often than is allowed.
    Reported,
    /// Its Registration Life ran out.
    Expired,
    /// Its home died, and it neither answered this registrar, which took it over, nor registered
    /// anywhere.
    Orphaned,
    /// An operator wanted it.
    Evicted,
}
