//! What a registrar counts, with the names of the metrics.

use rserpool_wire::counters;

use super::quota::QuotaCounts;

counters! {
    /// What a registrar counted since it was made. Counters only grow.
    pub struct Stats {
        /// Registrations and re-registrations accepted.
        registrations => "registrations_total" [result = "accepted"],
        /// Registrations rejected.
        rejections => "registrations_total" [result = "rejected"],
        /// Registrations with the identifier of an element that was asked first, because it has another
        /// association.
        contests => "contests_total",
        /// Of these contests, those that were rejected because the element answered.
        contests_lost => "contests_lost_total",
        /// Registrations rejected at once, because too many contests were waiting.
        contests_refused => "contests_refused_total",
        /// Registrations and deregistrations that rules do not allow, or that are about another
        /// identity's element.
        refused_register => "access_refused_total" [verb = "register"],
        /// Resolutions, and associations, that rules do not allow.
        refused_resolve => "access_refused_total" [verb = "resolve"],
        /// Reports that rules do not allow.
        refused_report => "access_refused_total" [verb = "report"],
        /// Requests for lists and tables that rules do not allow.
        refused_administer => "access_refused_total" [verb = "administer"],
        /// Associations whose other ends may not be the registrar that they say they are.
        refused_peer => "access_refused_total" [verb = "peer"],
        /// Deregistrations done.
        deregistrations => "deregistrations_total" [result = "done"],
        /// Deregistrations of other people's elements, refused.
        foreign_deregistrations => "deregistrations_total" [result = "refused"],
        /// Handle resolutions answered with elements.
        resolutions => "resolutions_total" [result = "answered"],
        /// Handle resolutions of pools that are unknown or have no element to offer.
        unknown_pools => "resolutions_total" [result = "unknown"],
        /// Keep-alives sent.
        keep_alives => "keep_alives_total",
        /// Keep-alives sent again, because there was no answer for a while. Counted in
        /// keep_alives, too.
        keep_alives_repeated => "keep_alives_repeated_total",
        /// Keep-alives answered.
        keep_alive_acks => "keep_alive_acks_total",
        /// Waits for an answer that were extended, because this registrar itself was late, or the other
        /// end of the association still answered earlier questions.
        keep_alive_extensions => "wait_extensions_total" [of = "element"],
        /// Reports of unreachable elements.
        reports => "reports_total",
        /// Reports that did not count: unknown elements, elements of other registrars, repetitions.
        reports_ignored => "reports_ignored_total",
        /// Elements removed because they did not answer.
        removed_silent => "removals_total" [reason = "silent"],
        /// Elements removed because their association ended.
        removed_lost => "removals_total" [reason = "association_lost"],
        /// Elements removed because of reports.
        removed_reported => "removals_total" [reason = "reported"],
        /// Elements removed because their registration ran out.
        removed_expired => "removals_total" [reason = "expired"],
        /// Updates pushed to subscribers.
        updates_pushed => "updates_pushed_total",
        /// Updates not pushed at once because the subscriber took nothing: it is told of the newest
        /// state once it does.
        updates_postponed => "updates_postponed_total",
        /// Subscriptions refused because of a limit.
        subscriptions_refused => "subscriptions_refused_total",
        /// Announces sent.
        announces => "announces_total",
        /// Messages that could not be read, or not all of them.
        malformed => "messages_bad_total" [kind = "malformed"],
        /// Messages that a registrar does not expect, or from nobody.
        unexpected => "messages_bad_total" [kind = "unexpected"],
        /// ASAP_ERROR and ENRP_ERROR messages received.
        errors_received => "messages_bad_total" [kind = "error"],
        /// Requests held back while this registrar starts.
        held => "requests_held_total",
        /// Requests not held back, because there were too many; their associations were ended.
        held_overflows => "requests_not_held_total",
        /// Associations to other registrars asked for.
        peer_dials => "peer_dials_total",
        /// Updates sent to other registrars, each counted once.
        updates_sent => "enrp_updates_total" [direction = "sent"],
        /// Updates not made for a registrar because more waited for it than it took: it fetches what it
        /// lacks once that is gone.
        updates_withheld => "enrp_updates_total" [direction = "withheld"],
        /// How often more waited for the other end of an association than it took.
        congestions => "congestions_total",
        /// Updates of other registrars that were entered.
        updates_received => "enrp_updates_total" [direction = "received"],
        /// Updates that did not go with the pool or its limits here.
        updates_refused => "enrp_updates_total" [direction = "refused"],
        /// Updates about elements that are not their sender's.
        updates_foreign => "enrp_updates_total" [direction = "foreign"],
        /// Elements that moved from this registrar to another one.
        moved_away => "elements_moved_total" [direction = "away"],
        /// Elements that were suggested to other registrars.
        suggestions_sent => "suggestions_total" [direction = "sent"],
        /// Elements that other registrars suggested to this one.
        suggestions_received => "suggestions_total" [direction = "received"],
        /// Presences whose checksum was another one than that of this handlespace.
        checksum_mismatches => "checksum_mismatches_total",
        /// Handle tables asked for.
        syncs => "syncs_total" [result = "asked"],
        /// Handle tables that did not come to an end.
        syncs_failed => "syncs_total" [result = "failed"],
        /// Elements in handle tables that others claim but that are this registrar's, or somebody
        /// else's.
        claims_ignored => "claims_ignored_total",
        /// Elements that this registrar and another one both looked after, and that this one asked to
        /// decide.
        disputes => "disputes_total",
        /// Elements removed because their home did not tell of them any more.
        purged => "purged_total",
        /// Parts of handle tables told.
        table_parts => "table_parts_total",
        /// Requests for lists and tables rejected.
        table_rejections => "table_rejections_total",
        /// Tables refused to those who only look on: there were too many, or one took too long. Counted
        /// in table_rejections, too.
        observers_refused => "observers_refused_total",
        /// Registrars that were suspected.
        suspicions => "peer_suspicions_total",
        /// Registrars that were found dead.
        peers_lost => "peers_lost_total",
        /// Waits for other registrars extended because this one was late.
        peer_extensions => "wait_extensions_total" [of = "peer"],
        /// Takeovers won.
        takeovers_won => "takeovers_total" [result = "won"],
        /// Takeovers left to others, or stopped because the target lives.
        takeovers_abandoned => "takeovers_total" [result = "abandoned"],
        /// Elements that accepted this registrar as their new home.
        adopted => "elements_moved_total" [direction = "adopted"],
        /// Elements taken over that neither answered nor registered.
        orphaned => "removals_total" [reason = "orphaned"],
        /// Elements removed because an operator wanted it.
        evicted => "removals_total" [reason = "evicted"],
        /// Registrars turned away because there are too many.
        peers_refused => "peers_refused_total",
        /// Messages of registrars that had not introduced themselves by a presence.
        strangers => "peer_misbehaviour_total" [kind = "stranger"],
        /// Messages with another sender than the association had before.
        impostors => "peer_misbehaviour_total" [kind = "impostor"],
        /// Associations whose other end has the identifier of another registrar, as far as was known
        /// then.
        doubted => "associations_doubted_total",
        /// Messages over doubted associations, which nobody listened to.
        doubted_messages => "doubted_messages_total",
        /// Takeovers of registrars that live, told by others: nothing was changed.
        takeovers_refused => "takeovers_refused_total",
        /// Changes to elements that live, told by registrars which are not their home: nothing was
        /// changed.
        foreign_claims_refused => "foreign_claims_refused_total",
        /// Changes to elements of others that were not looked into, because there were too many.
        foreign_claims_overflows => "foreign_claims_overflows_total",
        /// Registrars that others told of and that were not dialed: their addresses are out of scope,
        /// or there are too many.
        hearsay_refused => "hearsay_refused_total",
        /// Elements of dead registrars that were not dialed: nobody who is known vouched for their home.
        elements_not_dialed => "elements_not_dialed_total",
        /// Associations ended because nobody said over them who it is.
        mutes => "peer_misbehaviour_total" [kind = "mute"],
        /// Messages addressed to another registrar.
        misaddressed => "peer_misbehaviour_total" [kind = "misaddressed"],
        /// Messages with this registrar's identifier as their sender.
        own_id_heard => "peer_misbehaviour_total" [kind = "own_id"],
        /// Associations of elements and users ended because nobody used them.
        idle_ended => "associations_idle_ended_total",
    }
    families {
        "registrations_total": "Registrations and re-registrations, by what came of them.",
        "access_refused_total": "What somebody may not do, by what it is.",
        "deregistrations_total": "Deregistrations, by what came of them.",
        "resolutions_total": "Handle resolutions, by whether elements were found.",
        "wait_extensions_total": "Waits for an answer that were extended, by whose answer it was.",
        "removals_total": "Elements of this registrar that were removed without asking for it, by reason.",
        "messages_bad_total": "Messages that could not be read, were not expected, or reported an error.",
        "enrp_updates_total": "Updates between registrars, by direction and what came of them.",
        "elements_moved_total": "Elements that changed their home, away from this registrar or to it.",
        "suggestions_total": "Elements suggested to another registrar.",
        "syncs_total": "Handle tables asked for, and those that did not come to an end.",
        "takeovers_total": "Takeovers of other registrars, by what came of them.",
        "peer_misbehaviour_total": "What other registrars do that they should not, by kind.",
    }
    with {
        /// How often something was refused because of each quota.
        quotas: QuotaCounts,
    }
}
