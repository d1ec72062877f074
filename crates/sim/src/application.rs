//! What the application of a node wants, and how far it got.

use std::collections::BTreeMap;
use std::time::Duration;

use rserpool_proto::time::Time;
use rserpool_proto::user::RequestId;
use rserpool_wire::param::{PeId, PoolHandle};

/// What the application of a node wants, and how far it got.
#[derive(Clone, Debug)]
pub(crate) enum Application {
    /// To serve.
    Registrar(Membership),
    /// To be in a pool.
    Element(Membership),
    /// To know elements.
    User(Asking, Asked),
    /// What its program does by itself.
    Nothing,
}

/// The application of an element or a registrar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    /// It is to be in its pool, or in its scope.
    pub(crate) wanted: bool,
}

/// The application of a user.
#[derive(Clone, Debug, Default)]
pub struct Asking {
    /// It asks about so often, with some spread; `None` for never.
    pub period: Option<Duration>,
    /// Pools to ask for, in turn.
    pub pools: Vec<PoolHandle>,
    /// A pool to be kept up to date about.
    pub subscribed: Option<PoolHandle>,
    /// It reports elements that it cannot reach.
    pub reports: bool,
}

/// What came of a user's wishes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Numbers the requests.
    pub(crate) count: u64,
    pub(crate) open: BTreeMap<RequestId, Open>,
    /// Associations to registrars that came up.
    pub(crate) homes: u32,
    /// What was told last of the subscribed pool.
    pub(crate) told: Option<Vec<PeId>>,
}

/// A request without an end.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) since: Time,
    pub(crate) homes: u32,
    /// Everybody had to know already.
    pub(crate) is_exam: bool,
    /// The question of a session that it answers.
    pub(crate) question: Option<u64>,
    pub(crate) handle: PoolHandle,
}
