//! How long things may take: everything from timer values, in one place.

use std::time::Duration;

use rserpool_proto::dialect::Dialect;
use rserpool_proto::registrar;
use rserpool_proto::session::KeepAlive;
use rserpool_proto::timing::{Profile, Timing};

use crate::network::Impairment;
use crate::session::Calling;

/// The bounds of one world.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    timing: Timing,
    round_trip: Duration,
    /// How far clocks may be off, in millionths.
    clock_error: u32,
    /// How long an element may stay where it is though another registrar is better for it.
    suggestion: Duration,
}

/// Waits that are extended because a registrar was late: `registrar::supervision`.
const EXTENSIONS_MAX: u32 = 8;
/// The longest pause between two dials to a configured registrar: `registrar::dialing`.
const REDIAL_MAX: Duration = Duration::from_secs(5);
/// The longest pause between two suggestions of one element, in shortest ones:
/// `registrar::suggestion`.
const SUGGESTION_PAUSES_MAX: u32 = 64;
/// How long a session waits for registrars, and its first pause: `session::search`.
const RESOLUTION_MAX: Duration = Duration::from_millis(250);
const SEARCH_PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest pause of a session that nobody accepts: `session::search`.
const SEARCH_PAUSE_MAX: Duration = Duration::from_secs(1);
/// The longest pause between two audits of one that never agrees: `registrar::presence`.
const AUDIT_PAUSE_MAX: Duration = Duration::from_secs(60);

impl Bounds {
    /// The bounds of a world with these timers, in this weather, with clocks off by so many
    /// millionths.
    pub fn new(timing: Timing, weather: Impairment, clock_error: u32) -> Self {
        let (round_trip, suggestion) = (weather.round_trip_max(), Duration::ZERO);
        Self { timing, round_trip, clock_error, suggestion }
    }

    /// There is a registrar like this, too.
    pub fn allow(&mut self, config: &registrar::Config) {
        // Only rsplib's dialect makes timers different, all of them longer.
        if config.dialect == Dialect::Rsplib {
            self.timing = config.timing;
        }
        if config.takeover_suggestion {
            let pause = config.suggestion_pause * (SUGGESTION_PAUSES_MAX + 2);
            self.suggestion = self.suggestion.max(pause);
        }
    }

    /// A transport has given up a peer that is silent: every heartbeat in a row failed, each after
    /// its longest timeout.
    pub fn association_death(&self) -> Duration {
        let Timing { heartbeat_interval, rto_max, association_retransmits_max, .. } = self.timing;
        (heartbeat_interval + rto_max + self.round_trip) * (association_retransmits_max + 1)
    }

    /// A registrar has found out that an element of its own is dead or silent: its turn comes, and
    /// the wait for the answer was extended as often as it may be.
    pub fn element_death(&self) -> Duration {
        let Timing { keep_alive_interval, keep_alive_timeout_cap, .. } = self.timing;
        keep_alive_interval + keep_alive_timeout_cap * (EXTENSIONS_MAX + 1)
    }

    /// An element has a home again, where registrars can be reached: the round of the hunt that is
    /// under way ends, which has doubled up to what the hunt has lasted so far; then it dials, and
    /// registers; one refusal is tried again by the application.
    pub fn homecoming(&self, outage: Duration) -> Duration {
        let Timing { hunt_timeout, registration_timeout, backoff_max, .. } = self.timing;
        let hunted = outage + self.association_death();
        (hunted + hunt_timeout).min(backoff_max) + hunt_timeout + 3 * registration_timeout
    }

    /// Registrars agree on who is dead, and the elements of the dead have another home or are out:
    /// silence, a question, a takeover, another one where the winner dies before it is done, and the
    /// time that an orphan has to answer.
    pub fn succession(&self) -> Duration {
        let Timing { peer_silence_max, response_timeout, takeover_timeout, .. } = self.timing;
        let takeover = 3 * takeover_timeout + response_timeout;
        let grace = registrar::Config::default().adoption_grace;
        peer_silence_max + 2 * response_timeout + 2 * takeover + 2 * grace
    }

    /// Registrars that can reach each other have met and have the same handlespace: one dials the
    /// other, fetches what it lacks, and is audited; pauses between dials and audits have grown
    /// with the time in which these were in vain.
    pub fn reunion(&self, outage: Duration) -> Duration {
        let Timing { presence_interval, peer_silence_max, response_timeout, .. } = self.timing;
        let redial = peer_silence_max.min(REDIAL_MAX) + self.dial_timeout();
        let start = registrar::Config::default().start_timeout + 4 * response_timeout;
        let audit = outage.min(AUDIT_PAUSE_MAX) + 4 * presence_interval + 2 * response_timeout;
        redial + start + audit
    }

    /// After a time of faults of this length, everybody knows how things are: associations that
    /// only one side believes in are found out, the dead are found dead, the living have a home,
    /// and registrars agree.
    pub fn settlement(&self, outage: Duration) -> Duration {
        let found_out = self.association_death().max(self.element_death());
        let registrars = self.succession() + self.reunion(outage);
        let all = found_out + registrars + self.homecoming(outage) + self.suggestion;
        let all = all + 10 * self.round_trip;
        self.by_any_clock(all)
    }

    /// How long the transport takes to give up a dial.
    fn dial_timeout(&self) -> Duration {
        self.timing.hunt_timeout.max(Duration::from_millis(200))
    }

    /// A request of a user has ended: T1 has expired as often as it may, and once more for each
    /// registrar that was found meanwhile and is given its time.
    pub fn answer(&self, repetitions: u32, homes_found: u32) -> Duration {
        let waits = repetitions + 1 + homes_found;
        self.by_any_clock(self.timing.request_timeout * waits) + LATENESS
    }

    /// A session has found a server, where registrars agree and one of these elements lives: the
    /// question that is under way ends, all elements of an older answer are dialed in vain, and
    /// after a pause another answer names one that lives.
    pub fn resumption(&self, calling: &Calling, repetitions: u32, elements: usize) -> Duration {
        let dials = self.dial_timeout() * u32::try_from(elements).unwrap_or(u32::MAX);
        let silence = calling.session.keep_alive.map_or(Duration::ZERO, |it| self.silence(it));
        let search = self.by_any_clock(dials + SEARCH_PAUSE_MAX) + 2 * self.answer(repetitions, 1);
        silence + calling.patience.unwrap_or_default() + search + self.reply(calling.period)
    }

    /// A session whose server was killed, where its host says so, has a reply of another one: the
    /// first answer may still name nobody else, so may the next after pauses, and a business card
    /// may name elements that are no more.
    pub fn failover(&self, calling: &Calling, card: usize) -> Duration {
        let dials = self.dial_timeout() * u32::try_from(card).unwrap_or(u32::MAX);
        let search = self.by_any_clock(dials + RESOLUTION_MAX + 8 * SEARCH_PAUSE_MIN);
        search + 16 * self.round_trip + 2 * self.reply(calling.period)
    }

    /// A reply has come to an application that has its turn so often, and its server is well.
    pub fn reply(&self, period: Duration) -> Duration {
        3 * period + 2 * self.round_trip + LATENESS
    }

    /// A server that has answered keep-alives is left, when it was not heard of for so long.
    pub fn silence(&self, keep_alive: KeepAlive) -> Duration {
        let deadline = keep_alive.deadline.max(2 * keep_alive.interval);
        self.by_any_clock(deadline) + LATENESS
    }

    /// How much more traffic than by default there may be.
    pub fn traffic_scale(&self) -> u64 {
        let usual = Timing::of(Profile::Fast).keep_alive_interval.as_millis();
        let own = self.timing.keep_alive_interval.as_millis().max(1);
        u64::try_from(usual / own).unwrap_or(u64::MAX).max(1)
    }

    /// What the slowest clock makes of a span.
    fn by_any_clock(&self, span: Duration) -> Duration {
        span.mul_f64(1e6 / (1e6 - f64::from(self.clock_error)))
    }
}

/// What rounds of drivers add.
const LATENESS: Duration = Duration::from_millis(5);
