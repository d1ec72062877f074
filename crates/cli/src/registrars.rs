//! Which registrars a command turns to.

use std::env::VarError;
use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::ensure;
use clap::Args;
use rserpool::proto::dialect::Dialect;
use rserpool::proto::timing::{Profile, Timing};
use rserpool::transport::multicast::Group;
use rserpool::transport::{Address, ParseError, Scheme, Tls};
use rserpool::wire::param::PoolHandle;
use rserpool::{Attempt, PoolUser, user};

use crate::exit::Failure;
use crate::keys::KeyArgs;

/// The environment variable with the registrars of this host's user.
pub(crate) const VARIABLE: &str = "RSERPOOL_REGISTRARS";

/// Where to find registrars, and how patient to be with them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Registrars")]
pub(crate) struct RegistrarArgs {
    /// A registrar, such as sctp://10.0.0.1:3863 or tls://registrar.example; may be repeated. The
    /// environment variable may have several, separated by blanks or commas.
    #[arg(
        long = "registrar",
        value_name = "URL",
        env = VARIABLE,
        required_unless_present = "groups"
    )]
    registrars: Vec<Urls>,

    /// A multicast group in which registrars announce themselves, such as 224.0.1.185:3863; may be
    /// repeated.
    #[arg(long = "group", value_name = "ADDRESS:PORT")]
    groups: Vec<SocketAddr>,

    /// The interface for these groups. By default the system chooses.
    #[arg(long, value_name = "NAME", requires = "groups")]
    interface: Option<String>,

    /// Timer values: minimal, fast, wan, rsplib or rfc.
    #[arg(long, value_name = "PROFILE", default_value = "fast", value_parser = profile)]
    profile: Profile,

    /// How the registrars speak: rfc or rsplib.
    #[arg(long, value_name = "DIALECT", default_value = "rfc", value_parser = dialect)]
    pub(crate) dialect: Dialect,

    #[command(flatten)]
    keys: KeyArgs,
}

/// URLs with blanks or commas between them, before and after; at least one.
#[derive(Clone, Debug)]
struct Urls(Vec<Address>);

impl FromStr for Urls {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let urls: Vec<Address> = split(text).map(str::parse).collect::<Result<_, _>>()?;
        match urls.is_empty() {
            true => Err(ParseError { text: text.into(), why: "there is no URL" }),
            false => Ok(Self(urls)),
        }
    }
}

/// The URLs of a list with blanks or commas between them. A comma within a URL, between the
/// addresses of one registrar, has no scheme behind it.
fn split(list: &str) -> impl Iterator<Item = &str> {
    let ends_url = |after: &str| {
        let word = after.trim_start_matches(',').split(',').next().unwrap_or_default();
        word.is_empty() || word.contains("://")
    };
    list.split_whitespace().flat_map(move |word| {
        let mut rest = word.trim_matches(',');
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let at = rest.match_indices(',').map(|(at, _)| at);
            let end = at.into_iter().find(|&at| ends_url(&rest[at..])).unwrap_or(rest.len());
            let (url, after) = rest.split_at(end);
            rest = after.trim_start_matches(',');
            Some(url)
        })
    })
}

/// That the environment variable with the registrars can be read: for who has no option for them.
///
/// # Errors
///
/// What is wrong with it, under its name.
pub(crate) fn check_variable() -> Result<(), String> {
    match std::env::var(VARIABLE) {
        Ok(text) => text.parse::<Urls>().map(drop).map_err(|error| format!("{VARIABLE}: {error}")),
        Err(VarError::NotPresent) => Ok(()),
        Err(error) => Err(format!("{VARIABLE}: {error}")),
    }
}

impl RegistrarArgs {
    /// The registrars' URLs.
    pub(crate) fn urls(&self) -> Vec<Address> {
        self.registrars.iter().flat_map(|urls| urls.0.iter().cloned()).collect()
    }

    /// That registrars can bear this pool's handle.
    ///
    /// # Errors
    ///
    /// They cannot.
    pub(crate) fn bear(&self, pool: &PoolHandle) -> anyhow::Result<()> {
        let most = self.dialect.handle_octets_max();
        ensure!(
            pool.as_bytes().len() <= most,
            "rsplib takes pool handles of at most {most} octets"
        );
        Ok(())
    }

    /// The keys for all that is dialed and served; `None` where none are given.
    ///
    /// # Errors
    ///
    /// Files that cannot be used, and registrars that they would not protect.
    pub(crate) fn keys(&self) -> anyhow::Result<Option<Tls>> {
        let keys = self.keys.read()?;
        let plain = self.urls().into_iter().find(|url| url.scheme != Scheme::Tls);
        match (&keys, plain) {
            (Some(_), Some(url)) => {
                Err(anyhow::Error::from(rserpool::StartError::PlainWithKeys(url))
                    .context(Failure::Configuration))
            }
            _ => Ok(keys),
        }
    }

    /// A pool user at these registrars.
    ///
    /// # Errors
    ///
    /// Those of [`keys`](Self::keys).
    pub(crate) fn user(&self) -> anyhow::Result<user::Config> {
        let config = user::Config::new(self.urls()).listen(self.listen());
        Ok(config.timing(self.timing()).tls(self.keys()?))
    }

    /// The timer values.
    pub(crate) fn timing(&self) -> Timing {
        Timing::of(self.profile)
    }

    /// The groups to listen to.
    pub(crate) fn listen(&self) -> Vec<Group> {
        groups(&self.groups, self.interface.as_deref())
    }

    /// The URLs in words, each with what came of it.
    pub(crate) fn describe_after(&self, attempts: &[(Address, Attempt)]) -> String {
        let urls = attempts.iter().map(|(url, attempt)| format!("{url} ({attempt})"));
        let groups = self.groups.iter().map(|group| format!("group {group} (no announce)"));
        urls.chain(groups).collect::<Vec<_>>().join(", ")
    }

    /// What a user that has no answer waits for, in words.
    pub(crate) fn waits_for(&self, user: &PoolUser) -> String {
        format!("a registrar: {}", self.describe_after(&user.attempts()))
    }

    /// The URLs in words, for messages.
    pub(crate) fn describe(&self) -> String {
        let urls = self.urls().into_iter().map(|url| url.to_string());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(text: &str) -> Option<Vec<String>> {
        let urls: Urls = text.parse().ok()?;
        Some(urls.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn blanks_separate_registrars_however_many_there_are() {
        let one = || vec!["tcp://10.0.0.1:3863".to_owned()];
        let two = vec!["tcp://10.0.0.1:3863".to_owned(), "sctp://10.0.0.2:5".to_owned()];
        assert_eq!(urls("tcp://10.0.0.1"), Some(one()));
        assert_eq!(urls(" tcp://10.0.0.1\n"), Some(one()));
        assert_eq!(urls("tcp://10.0.0.1  \t sctp://10.0.0.2:5 "), Some(two));
        let both =
            Some(vec!["sctp://10.0.0.1,10.0.1.1:7".to_owned(), "tcp://10.0.0.2:3863".into()]);
        assert_eq!(urls("sctp://10.0.0.1,10.0.1.1:7,tcp://10.0.0.2"), both);
        assert_eq!(urls(" ,sctp://10.0.0.1,10.0.1.1:7, tcp://10.0.0.2,"), both);
        assert_eq!(urls(" "), None);
        assert_eq!(urls(","), None);
        assert_eq!(urls("tcp://10.0.0.1 10.0.0.2"), None);
    }
}
