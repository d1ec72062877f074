//! What can go wrong, and what people do to nodes.

use std::fmt;
use std::time::Duration;

use crate::network::Impairment;
use crate::program::NodeId;

/// Something that happens to a world from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// A process starts; nothing where it runs.
    Start(NodeId),
    /// kill -9: the process is gone, its host is not.
    Kill(NodeId),
    /// The host is gone without a word.
    PowerOff(NodeId),
    /// SIGSTOP: the process does nothing.
    Freeze(NodeId),
    /// SIGCONT: it goes on, and everything is late.
    Thaw(NodeId),
    /// The process takes so long for each round.
    Slow(NodeId, Duration),
    /// Packets between these and all others are lost.
    Isolate(Vec<NodeId>),
    /// Packets from the first to the second are lost, not those the other way.
    CutOneWay(NodeId, NodeId),
    /// All links work again.
    Heal,
    /// Packets fare otherwise.
    Impairment(Impairment),
    /// The application wants the element to leave its pool, or the registrar to hand over.
    Leave(NodeId),
    /// The application wants the element in its pool again.
    Join(NodeId),
    /// The element has another load, in 1/100.
    Load(NodeId, u8),
}

impl Fault {
    /// Words for it; `name` tells what nodes are called.
    pub fn describe(&self, name: impl Fn(NodeId) -> String) -> String {
        match self {
            Self::Start(node) => format!("{} starts", name(*node)),
            Self::Kill(node) => format!("{} is killed", name(*node)),
            Self::PowerOff(node) => format!("{} loses power", name(*node)),
            Self::Freeze(node) => format!("{} freezes", name(*node)),
            Self::Thaw(node) => format!("{} thaws", name(*node)),
            Self::Slow(node, cost) => format!("{} takes {cost:?} a round", name(*node)),
            Self::Isolate(nodes) => {
                let names: Vec<String> = nodes.iter().map(|node| name(*node)).collect();
                format!("{} cut off from all others", names.join(", "))
            }
            Self::CutOneWay(from, to) => {
                format!("nothing gets from {} to {}", name(*from), name(*to))
            }
            Self::Heal => "all links work".into(),
            Self::Impairment(weather) => Sky(weather).to_string(),
            Self::Leave(node) => format!("{} wants to leave", name(*node)),
            Self::Join(node) => format!("{} wants to join", name(*node)),
            Self::Load(node, percent) => format!("{} has a load of {percent} %", name(*node)),
        }
    }
}

struct Sky<'a>(&'a Impairment);

impl fmt::Display for Sky<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Impairment { delay, jitter, loss, duplication } = self.0;
        write!(f, "links take {delay:?} to {:?}", *delay + *jitter)?;
        write!(f, ", lose {:.1} %, double {:.1} %", 100.0 * loss, 100.0 * duplication)
    }
}
