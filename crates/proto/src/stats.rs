//! What the machines count. Each machine hands out a copy; who shows it is not their concern.
//! Metrics have the prefix of the program that shows them.

use rserpool_wire::counters;

counters! {
    /// What a [`Hunt`](crate::hunt::Hunt) has seen.
    pub struct HuntStats {
        /// Associations asked for.
        dials => "hunt_dials_total",
        /// Rounds that ended without an association (T5 expired).
        dry_rounds => "hunt_dry_rounds_total",
        /// Rounds spent waiting, because registrars took associations but never answered.
        rests => "hunt_rests_total",
        /// Announces heard.
        announces => "hunt_announces_total",
        /// Announced transports not taken: no address, no port, or the table was full.
        announced_ignored => "hunt_announced_ignored_total",
    }
    families {}
    with {}
}

counters! {
    /// What a pool element has seen.
    pub struct ElementStats {
        /// Registrations sent, renewals included.
        registrations => "registrations_total",
        /// Registrations accepted, renewals included.
        accepted => "accepted_total",
        /// Registrations refused.
        rejected => "rejected_total",
        /// Registrations and deregistrations that nobody answered in time (T2, T3).
        unanswered => "unanswered_total",
        /// Registrations that ran out at the registrar.
        expired => "expired_total",
        /// Times that an association to the home was lost.
        homes_lost => "homes_lost_total",
        /// Times that a home was given up because it had fallen silent.
        homes_silent => "homes_silent_total",
        /// Times that another registrar claimed the element and got it.
        adoptions => "adoptions_total",
        /// Keep-alives answered.
        keep_alives => "keep_alives_total",
        /// Keep-alives dropped because they were for another pool or element, or came while out.
        keep_alives_ignored => "keep_alives_ignored_total",
        /// Messages that could not be read, or not all of them.
        malformed => "messages_bad_total" [kind = "malformed"],
        /// Errors received that belong to no request.
        errors => "messages_bad_total" [kind = "error"],
        /// Messages that do not belong here.
        unexpected => "messages_bad_total" [kind = "unexpected"],
    }
    families {
        "messages_bad_total": "Messages that could not be read, were not expected, or reported an error.",
    }
    with {
        /// Its search for registrars.
        hunt: HuntStats,
    }
}

counters! {
    /// What a pool user has seen.
    pub struct UserStats {
        /// Requests of the application.
        requests => "requests_total",
        /// Requests answered from the cache.
        cache_hits => "cache_hits_total",
        /// Requests that shared a question that was already on its way.
        shared => "shared_total",
        /// Questions sent to a registrar, repetitions included.
        questions => "questions_total",
        /// Questions sent again, to the same or another registrar.
        repeated => "repeated_total",
        /// Requests answered with elements.
        resolved => "resolved_total",
        /// Requests answered from stale entries, because no registrar answered.
        resolved_stale => "resolved_stale_total",
        /// Requests that failed.
        failed => "failed_total",
        /// Answers that came without a question: pushed ones, and those to repeated questions.
        unasked => "unasked_total",
        /// Times that an association to the home was lost.
        homes_lost => "homes_lost_total",
        /// Times that a home was given up because it did not answer.
        homes_silent => "homes_silent_total",
        /// Reports of unreachable elements sent.
        reports => "reports_total",
        /// Reports not sent: just reported, or too many at once.
        reports_suppressed => "reports_suppressed_total",
        /// Messages that could not be read, or not all of them.
        malformed => "messages_bad_total" [kind = "malformed"],
        /// Errors received that belong to no question.
        errors => "messages_bad_total" [kind = "error"],
        /// Messages that do not belong here.
        unexpected => "messages_bad_total" [kind = "unexpected"],
    }
    families {
        "messages_bad_total": "Messages that could not be read, were not expected, or reported an error.",
    }
    with {
        /// Its search for registrars.
        hunt: HuntStats,
    }
}

counters! {
    /// What a user has seen of one session.
    pub struct SessionStats {
        /// Times that another server, or the same one again, took the session.
        failovers => "session_failovers_total",
        /// Cookies stored.
        cookies => "session_cookies_total",
        /// Cookies echoed to a new server.
        cookies_echoed => "session_cookies_echoed_total",
        /// Business cards taken.
        cards => "session_cards_total",
        /// Keep-alives sent.
        keep_alives => "session_keep_alives_total",
        /// Answers to keep-alives, and such answers without a question: the server lives.
        keep_alives_answered => "session_keep_alives_answered_total",
        /// Cookies echoed that the server refused: the session began anew there.
        cookies_refused => "session_cookies_refused_total",
        /// Messages of the control channel that could not be read, or not all of them.
        malformed => "session_messages_bad_total" [kind = "malformed"],
        /// Messages of the control channel that do not belong there.
        unexpected => "session_messages_bad_total" [kind = "unexpected"],
    }
    families {
        "session_messages_bad_total": "Messages that could not be read, were not expected, or reported an error.",
    }
    with {}
}
