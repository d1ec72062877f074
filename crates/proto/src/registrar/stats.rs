/// What a registrar counted since it was made. Counters only grow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Registrations and re-registrations accepted.
    pub registrations: u64,
    /// Registrations rejected.
    pub rejections: u64,
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
    /// Keep-alives answered.
    pub keep_alive_acks: u64,
    /// Waits for an answer that were extended because this registrar itself was late.
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
    /// Subscriptions refused because of a limit.
    pub subscriptions_refused: u64,
    /// Announces sent.
    pub announces: u64,
    /// Messages that could not be read, or not all of them.
    pub malformed: u64,
    /// Messages that a registrar does not expect, or from nobody.
    pub unexpected: u64,
    /// ASAP_ERROR messages received.
    pub errors_received: u64,
}
