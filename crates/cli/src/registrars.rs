//! Which registrars a command turns to.

use std::net::SocketAddr;

use clap::Args;
use rserpool::proto::dialect::Dialect;
use rserpool::proto::timing::{Profile, Timing};
use rserpool::transport::Address;
use rserpool::transport::multicast::Group;

/// Where to find registrars, and how patient to be with them.
#[derive(Args, Clone, Debug)]
pub(crate) struct RegistrarArgs {
    /// A registrar, such as sctp://10.0.0.1:3863 or tcp://registrar.example; may be repeated. In
    /// the environment variable several are separated by blanks.
    #[arg(
        long = "registrar",
        value_name = "URL",
        env = "RSERPOOL_REGISTRARS",
        value_delimiter = ' ',
        required_unless_present = "groups"
    )]
    pub(crate) registrars: Vec<Address>,

    /// A multicast group in which registrars announce themselves, such as 224.0.1.185:3863; may be
    /// repeated.
    #[arg(long = "group", value_name = "ADDRESS:PORT")]
    groups: Vec<SocketAddr>,

    /// The interface for these groups. The system's choice by default.
    #[arg(long, value_name = "NAME", requires = "groups")]
    interface: Option<String>,

    /// Timer values.
    #[arg(long, value_name = "PROFILE", default_value = "fast", value_parser = profile)]
    profile: Profile,

    /// How the registrars speak.
    #[arg(long, value_name = "DIALECT", default_value = "rfc", value_parser = dialect)]
    pub(crate) dialect: Dialect,
}

impl RegistrarArgs {
    /// The timer values.
    pub(crate) fn timing(&self) -> Timing {
        Timing::of(self.profile)
    }

    /// The groups to listen to.
    pub(crate) fn listen(&self) -> Vec<Group> {
        groups(&self.groups, self.interface.as_deref())
    }

    /// The URLs in words, for messages.
    pub(crate) fn describe(&self) -> String {
        let urls = self.registrars.iter().map(ToString::to_string);
        let groups = self.groups.iter().map(|group| format!("group {group}"));
        urls.chain(groups).collect::<Vec<_>>().join(", ")
    }
}

/// Groups on an interface.
pub(crate) fn groups(addresses: &[SocketAddr], interface: Option<&str>) -> Vec<Group> {
    let group = |&address: &SocketAddr| match interface {
        Some(interface) => Group::new(address).through(interface),
        None => Group::new(address),
    };
    addresses.iter().map(group).collect()
}

/// A profile by its name.
pub(crate) fn profile(name: &str) -> Result<Profile, String> {
    one_of(name, Profile::ALL, Profile::label)
}

/// A dialect by its name.
pub(crate) fn dialect(name: &str) -> Result<Dialect, String> {
    one_of(name, &[Dialect::Rfc, Dialect::Rsplib], Dialect::label)
}

fn one_of<T: Copy>(name: &str, values: &[T], label: fn(T) -> &'static str) -> Result<T, String> {
    values.iter().copied().find(|value| label(*value) == name).ok_or_else(|| {
        let names: Vec<&str> = values.iter().map(|value| label(*value)).collect();
        format!("one of {}", names.join(", "))
    })
}
