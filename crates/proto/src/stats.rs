//! What the machines count. Each machine hands out a copy; who shows it is not their concern.

/// What a [`Hunt`](crate::hunt::Hunt) has seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HuntStats {
    /// Associations asked for.
    pub dials: u64,
    /// Rounds that ended without an association (T5 expired).
    pub dry_rounds: u64,
    /// Rounds spent waiting, because registrars took associations but never answered.
    pub rests: u64,
    /// Announces heard.
    pub announces: u64,
    /// Announced transports not taken: no address, no port, or the table was full.
    pub announced_ignored: u64,
}

/// What a pool element has seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ElementStats {
    /// Its search for registrars.
    pub hunt: HuntStats,
    /// Registrations sent, renewals included.
    pub registrations: u64,
    /// Registrations accepted, renewals included.
    pub accepted: u64,
    /// Registrations refused.
    pub rejected: u64,
    /// Registrations and deregistrations that nobody answered in time (T2, T3).
    pub unanswered: u64,
    /// Registrations that ran out at the registrar.
    pub expired: u64,
    /// Times that an association to the home was lost.
    pub homes_lost: u64,
    /// Times that a home was given up because it had fallen silent.
    pub homes_silent: u64,
    /// Times that another registrar claimed the element and got it.
    pub adoptions: u64,
    /// Keep-alives answered.
    pub keep_alives: u64,
    /// Keep-alives dropped because they were for another pool or element, or came while out.
    pub keep_alives_ignored: u64,
    /// Messages that could not be read, or not all of them.
    pub malformed: u64,
    /// Errors received that belong to no request.
    pub errors: u64,
    /// Messages that do not belong here.
    pub unexpected: u64,
}

/// What a pool user has seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct UserStats {
    /// Its search for registrars.
    pub hunt: HuntStats,
    /// Requests of the application.
    pub requests: u64,
    /// Requests answered from the cache.
    pub cache_hits: u64,
    /// Requests that shared a question that was already on its way.
    pub shared: u64,
    /// Questions sent to a registrar, repetitions included.
    pub questions: u64,
    /// Questions sent again, to the same or another registrar.
    pub repeated: u64,
    /// Requests answered with elements.
    pub resolved: u64,
    /// Requests answered from stale entries, because no registrar answered.
    pub resolved_stale: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Answers that came without a question: pushed ones, and those to repeated questions.
    pub unasked: u64,
    /// Times that an association to the home was lost.
    pub homes_lost: u64,
    /// Times that a home was given up because it did not answer.
    pub homes_silent: u64,
    /// Reports of unreachable elements sent.
    pub reports: u64,
    /// Reports not sent: just reported, or too many at once.
    pub reports_suppressed: u64,
    /// Messages that could not be read, or not all of them.
    pub malformed: u64,
    /// Errors received that belong to no question.
    pub errors: u64,
    /// Messages that do not belong here.
    pub unexpected: u64,
}

/// What a user has seen of one session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SessionStats {
    /// Times that another server, or the same one again, took the session.
    pub failovers: u64,
    /// Cookies stored.
    pub cookies: u64,
    /// Cookies echoed to a new server.
    pub cookies_echoed: u64,
    /// Business cards taken.
    pub cards: u64,
    /// Keep-alives sent.
    pub keep_alives: u64,
    /// Answers to keep-alives, and such answers without a question: the server lives.
    pub keep_alives_answered: u64,
    /// Cookies echoed that the server refused: the session began anew there.
    pub cookies_refused: u64,
    /// Messages of the control channel that could not be read, or not all of them.
    pub malformed: u64,
    /// Messages of the control channel that do not belong there.
    pub unexpected: u64,
}
