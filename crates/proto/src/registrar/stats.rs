use super::quota::QuotaCounts;

/// What a registrar counted since it was made. Counters only grow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Registrations and re-registrations accepted.
    pub registrations: u64,
    /// Registrations rejected.
    pub rejections: u64,
    /// Registrations with the identifier of an element that was asked first, because it has another
    /// association.
    pub contests: u64,
    /// Those of them that were rejected, because the element answered.
    pub contests_lost: u64,
    /// Those that were rejected at once, because too many were waiting.
    pub contests_refused: u64,
    /// Deregistrations done.
    pub deregistrations: u64,
    /// Deregistrations of other people's elements, refused.
    pub foreign_deregistrations: u64,
    /// Handle resolutions answered with elements.
    pub resolutions: u64,
    /// Handle resolutions of pools that are unknown or have no element to offer.
    pub unknown_pools: u64,
    /// Keep-alives sent.
    pub keep_alives: u64,
    /// Keep-alives sent again, because there was no answer for a while. Counted in
    /// [`keep_alives`](Self::keep_alives), too.
    pub keep_alives_repeated: u64,
    /// Keep-alives answered.
    pub keep_alive_acks: u64,
    /// Waits for an answer that were extended, because this registrar itself was late, or the other
    /// end of the association still answered earlier questions.
    pub keep_alive_extensions: u64,
    /// Reports of unreachable elements.
    pub reports: u64,
    /// Reports that did not count: unknown elements, elements of other registrars, repetitions.
    pub reports_ignored: u64,
    /// Elements removed because they did not answer.
    pub removed_silent: u64,
    /// Elements removed because their association ended.
    pub removed_lost: u64,
    /// Elements removed because of reports.
    pub removed_reported: u64,
    /// Elements removed because their registration ran out.
    pub removed_expired: u64,
    /// Updates pushed to subscribers.
    pub updates_pushed: u64,
    /// Updates not pushed at once because the subscriber took nothing: it is told of the newest
    /// state once it does.
    pub updates_postponed: u64,
    /// Subscriptions refused because of a limit.
    pub subscriptions_refused: u64,
    /// Announces sent.
    pub announces: u64,
    /// Messages that could not be read, or not all of them.
    pub malformed: u64,
    /// Messages that a registrar does not expect, or from nobody.
    pub unexpected: u64,
    /// ASAP_ERROR and ENRP_ERROR messages received.
    pub errors_received: u64,
    /// Requests held back while this registrar starts.
    pub held: u64,
    /// Requests not held back, because there were too many; their associations were ended.
    pub held_overflows: u64,
    /// Associations to other registrars asked for.
    pub peer_dials: u64,
    /// Updates sent to other registrars, each counted once.
    pub updates_sent: u64,
    /// Updates not made for a registrar because more waited for it than it took: it fetches what it
    /// lacks once that is gone.
    pub updates_withheld: u64,
    /// How often more waited for the other end of an association than it took.
    pub congestions: u64,
    /// Updates of other registrars that were entered.
    pub updates_received: u64,
    /// Updates that did not go with the pool or its limits here.
    pub updates_refused: u64,
    /// Updates about elements that are not their sender's.
    pub updates_foreign: u64,
    /// Elements that moved from this registrar to another one.
    pub moved_away: u64,
    /// Elements that were suggested to other registrars.
    pub suggestions_sent: u64,
    /// Elements that other registrars suggested to this one.
    pub suggestions_received: u64,
    /// Presences whose checksum was another one than that of this handlespace.
    pub checksum_mismatches: u64,
    /// Handle tables asked for.
    pub syncs: u64,
    /// Handle tables that did not come to an end.
    pub syncs_failed: u64,
    /// Elements in handle tables that others claim but that are this registrar's, or somebody
    /// else's.
    pub claims_ignored: u64,
    /// Elements that this registrar and another one both looked after, and that this one asked to
    /// decide.
    pub disputes: u64,
    /// Elements removed because their home did not tell of them any more.
    pub purged: u64,
    /// Parts of handle tables told.
    pub table_parts: u64,
    /// Requests for lists and tables rejected.
    pub table_rejections: u64,
    /// Of these, tables that those asked for who only look on: there were too many, or one took too
    /// long.
    pub observers_refused: u64,
    /// Registrars that were suspected.
    pub suspicions: u64,
    /// Registrars that were found dead.
    pub peers_lost: u64,
    /// Waits for other registrars extended because this one was late.
    pub peer_extensions: u64,
    /// Takeovers won.
    pub takeovers_won: u64,
    /// Takeovers left to others, or stopped because the target lives.
    pub takeovers_abandoned: u64,
    /// Elements that accepted this registrar as their new home.
    pub adopted: u64,
    /// Elements taken over that neither answered nor registered.
    pub orphaned: u64,
    /// Registrars turned away because there are too many.
    pub peers_refused: u64,
    /// Messages of registrars that had not introduced themselves by a presence.
    pub strangers: u64,
    /// Messages with another sender than the association had before.
    pub impostors: u64,
    /// Associations whose other end has the identifier of another registrar, as far as was known
    /// then.
    pub doubted: u64,
    /// Messages over such associations, which nobody listened to.
    pub doubted_messages: u64,
    /// Takeovers of registrars that live, told by others: nothing was changed.
    pub takeovers_refused: u64,
    /// Changes to elements that live, told by registrars which are not their home: nothing was
    /// changed.
    pub foreign_claims_refused: u64,
    /// Such changes that were not looked into, because there were too many.
    pub foreign_claims_overflows: u64,
    /// Registrars that others told of and that were not dialed: their addresses are out of scope,
    /// or there are too many.
    pub hearsay_refused: u64,
    /// Elements of dead registrars that were not dialed: nobody who is known vouched for their home.
    pub elements_not_dialed: u64,
    /// Associations ended because nobody said over them who it is.
    pub mutes: u64,
    /// Messages addressed to another registrar.
    pub misaddressed: u64,
    /// Messages with this registrar's identifier as their sender.
    pub own_id_heard: u64,
    /// Associations of elements and users ended because nobody used them.
    pub idle_ended: u64,
    /// How often something was refused because of each quota.
    pub quotas: QuotaCounts,
}
