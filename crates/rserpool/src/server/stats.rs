//! What a server counts.

/// What a server has seen; counts only grow but for the first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Sessions at the moment.
    pub sessions: usize,
    /// Sessions so far.
    pub sessions_begun: u64,
    /// Sessions refused: too many, or the element leaves.
    pub sessions_refused: u64,
    /// Sessions that went on from a cookie.
    pub resumed: u64,
    /// Cookies refused, which began their sessions anew.
    pub cookies_refused: u64,
    /// Cookies that came in mid-session, and were ignored.
    pub cookies_late: u64,
    /// Messages of control channels that could not be read, or do not belong there.
    pub malformed: u64,
    /// Sessions cut off because they sent more than their service took, where they could not be
    /// slowed down, or where it took nothing for the stall timeout.
    pub overrun: u64,
    /// How often a client was slowed down for its service.
    pub paused: u64,
    /// Sessions ended because nothing was heard of them in time, or to make room for others.
    pub silent: u64,
    /// Sessions ended before all was delivered, for their clients took nothing any more.
    pub undelivered: u64,
    /// Datagrams refused: of servers, or more than one source may send.
    pub datagrams_refused: u64,
}
