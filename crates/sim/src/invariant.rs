//! What has to hold, whatever happens.

use std::fmt;

use rserpool_proto::time::Time;

/// Something that has to hold.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Invariant {
    /// At every step: no machine panics.
    NoPanic,
    /// At every step: time never runs backwards, and no timer stays due however often it is
    /// handed in.
    TimeAdvances,
    /// At every step: what a machine wants done after one round is bounded
    /// ([`OUTPUTS_PER_ROUND_MAX`], and one more for each input).
    OutputsAreBounded,
    /// At every step: the machines of no node send more than [`MESSAGES_PER_SECOND_MAX`].
    TrafficIsBounded,
    /// At every step: a machine never uses the name of an association twice.
    NamesAreUsedOnce,
    /// At every step: nothing is sent over, and nothing done to, an association that the machine
    /// has ended, or was told to be gone.
    NothingToTheDeparted,
    /// At every step: a registrar that was taken over gets presences at most, until it is heard of
    /// again (design 9.13).
    TakenOverAreLeftAlone,
    /// At every step: what one machine sends another can read.
    MessagesAreLegible,
    /// At every step: the associations that a registrar believes in are those that its driver has.
    AssociationsAreCounted,
    /// At every step of a world in which nothing worse happens to living elements than what their
    /// transports repair ([`forbid_removals`](crate::world::World::forbid_removals)): no registrar takes one of them out.
    LivingStay,
    /// At every step: nothing that a registrar holds is more than there may be
    /// ([`Registrar::sizes`](rserpool_proto::registrar::Registrar::sizes)).
    SizesAreBounded,
    /// At every step: a user's request ends within [`Bounds::answer`](crate::bounds::Bounds).
    RequestsEnd,
    /// At every step: a user's request ends once.
    RequestsEndOnce,
    /// In quiet: an element that wants to be in its pool and has a path to a registrar is known to
    /// every registrar.
    LivingAreKnown,
    /// In quiet: an element that is dead or has left is known to no registrar.
    DeadAreNowhere,
    /// In quiet: all registrars, and the element, agree on one home that lives.
    OneHome,
    /// In quiet: every registrar has an element that lives at the address of its host.
    EntriesAreTrue,
    /// In quiet: every registrar serves, and knows all others and nobody else.
    RegistrarsKnowEachOther,
    /// In quiet: all registrars have the same checksum for each of them.
    ChecksumsAgree,
    /// In quiet: of two registrars with one identifier each has told its application.
    TwinsAreTold,
    /// In quiet: what users are told is how things are, by answers and by updates.
    AnswersAreTrue,
    /// In quiet: no node has more associations than it needs.
    NothingLeaks,
    /// At every step: the replies that the application of a session gets have no gap and no repeat,
    /// whichever servers they are of.
    RepliesInSequence,
    /// At every step: a client has an association with one server at most, the one that it believes
    /// to have its session or that it dials.
    OneServerAtOnce,
    /// At every step: a cookie has at most [`COOKIE_OCTETS_MAX`], after however many failovers.
    CookiesAreBounded,
    /// At every step: the cookie of one server is taken by the next, and comes before all else.
    CookiesAreTaken,
    /// At every step: a server that has answered keep-alives and falls silent is left within
    /// [`Bounds::silence`](crate::bounds::Bounds::silence).
    SilentAreLeft,
    /// At every step: a session that finds no server asks for its pool less often than
    /// [`SESSION_QUESTIONS_MAX`] in a second.
    SearchesRest,
    /// From quiet: a session whose server is killed, and nothing else, goes on with another one
    /// within [`Bounds::failover`](crate::bounds::Bounds::failover).
    FailoversAreQuick,
    /// In quiet: a session with a pool that has members is with one of them and gets replies.
    SessionsGoOn,
    /// In quiet: the server of a session with keep-alives has answered one, however much else it
    /// has to say.
    KeepAlivesAreAnswered,
    /// In quiet: a session stays with its server.
    SessionsStay,
}

/// Besides one for each input: outputs of a machine in one round.
pub const OUTPUTS_PER_ROUND_MAX: usize = 1000;

/// Outputs of the machine of a session for one input.
pub const SESSION_OUTPUTS_MAX: usize = 8;

/// Questions about its pool of one session in a second: pauses double from 20 ms, and begin anew
/// with each search that the application wants.
pub const SESSION_QUESTIONS_MAX: u32 = 150;

/// Octets of the longest cookie that the service of a world makes: 16 of state, sealed, encrypted,
/// in a pool with a handle of up to 32 octets.
pub const COOKIE_OCTETS_MAX: usize = 16 + (20 + 32 + 32 + 3) + (24 + 16);

/// At the default timers; quicker ones allow more in proportion, and so do the elements of crowds.
pub const MESSAGES_PER_SECOND_MAX: u64 = 2000;

/// So much more for each element of a crowd.
pub const MESSAGES_PER_SECOND_AND_ELEMENT_MAX: u64 = 40;

/// So many outputs in one round more for each element of a crowd.
pub const OUTPUTS_PER_ROUND_AND_ELEMENT_MAX: usize = 8;

/// For each message of a hostile node, others may send so many in the same second or the next.
pub(crate) const ANSWERS_TO_STRANGERS_MAX: u64 = 8;

/// So often a timeout may be handed in at one time.
pub(crate) const TIMEOUTS_AT_ONCE_MAX: u32 = 100;

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{self:?}");
        for (place, letter) in name.char_indices() {
            if letter.is_uppercase() && place > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{}", letter.to_lowercase())?;
        }
        Ok(())
    }
}

/// Something that did not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// What.
    pub invariant: Invariant,
    /// When.
    pub at: Time,
    /// Whom it concerned, and how.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.since_origin().as_secs_f64();
        write!(f, "{} at {at:.3} s: {}", self.invariant, self.detail)
    }
}
