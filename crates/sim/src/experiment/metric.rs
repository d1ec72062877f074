use crate::calcapp::Measures;

/// A number that comes of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Metric {
    /// [`Measures::utilisation`], in per cent.
    Utilisation,
    /// [`Measures::handling_speed`], in per cent.
    HandlingSpeed,
    /// [`Measures::resolutions_per_job`].
    ResolutionsPerJob,
    /// [`Measures::rejects_per_accept`].
    RejectsPerAccept,
    /// [`Measures::elements_used`].
    ElementsUsed,
    /// [`Measures::failover_seconds`].
    FailoverSeconds,
    /// [`Measures::asap_rate`].
    AsapRate,
    /// [`Measures::update_rate`].
    UpdateRate,
    /// [`Measures::share_of_first`], in per cent.
    ShareOfFirst,
    /// [`Measures::takeovers_per_hour`].
    Takeovers,
}

impl Metric {
    /// Its value.
    pub fn of(self, measures: &Measures) -> f64 {
        match self {
            Self::Utilisation => 100.0 * measures.utilisation,
            Self::HandlingSpeed => 100.0 * measures.handling_speed,
            Self::ResolutionsPerJob => measures.resolutions_per_job,
            Self::RejectsPerAccept => measures.rejects_per_accept,
            Self::ElementsUsed => measures.elements_used,
            Self::FailoverSeconds => measures.failover_seconds,
            Self::AsapRate => measures.asap_rate,
            Self::UpdateRate => measures.update_rate,
            Self::ShareOfFirst => 100.0 * measures.share_of_first,
            Self::Takeovers => measures.takeovers_per_hour,
        }
    }

    /// In kebab case, as in names of files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utilisation => "utilisation",
            Self::HandlingSpeed => "handling-speed",
            Self::ResolutionsPerJob => "resolutions-per-job",
            Self::RejectsPerAccept => "rejects-per-accept",
            Self::ElementsUsed => "elements-used",
            Self::FailoverSeconds => "failover-time",
            Self::AsapRate => "asap-rate",
            Self::UpdateRate => "update-rate",
            Self::ShareOfFirst => "share-of-first",
            Self::Takeovers => "takeovers",
        }
    }

    /// For people, with its unit.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Utilisation => "System utilisation [%]",
            Self::HandlingSpeed => "Request handling speed [% of capacity]",
            Self::ResolutionsPerJob => "Handle resolutions per request",
            Self::RejectsPerAccept => "Rejects per accepted request",
            Self::ElementsUsed => "Pool elements used",
            Self::FailoverSeconds => "Failover time [s]",
            Self::AsapRate => "ASAP messages per second",
            Self::UpdateRate => "ENRP updates per second",
            Self::ShareOfFirst => "Elements at registrar 1 [%]",
            Self::Takeovers => "Takeovers per hour",
        }
    }
}
