//! What a node runs, what it is told to do, and what it says.

use rserpool_proto::{element, registrar, user};

use crate::crowd;
use crate::hostile;

/// The number of a node in its world.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodeId(pub usize);

/// What a node runs.
#[derive(Clone, Debug)]
pub enum Program {
    /// A registrar.
    Registrar(registrar::Config),
    /// A pool element.
    Element(element::Config),
    /// A pool user.
    User(user::Config),
    /// Very many elements.
    Crowd(crowd::Config),
    /// Who means no good.
    Hostile(hostile::Config),
}

/// A command for a machine.
#[derive(Clone, Debug)]
pub enum MachineCommand {
    /// For a registrar.
    Registrar(registrar::Command),
    /// For a pool element.
    Element(element::Command),
    /// For a pool user.
    User(user::Command),
    /// The application of a session has its turn.
    Session,
}

/// What a machine tells its application.
#[derive(Clone, Debug)]
pub(crate) enum MachineEvent {
    Registrar(registrar::Event),
    Element(element::Event),
    User(user::Event),
}
