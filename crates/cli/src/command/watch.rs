//! `rserpool watch`: a pool, as its clients are told of it.

mod feeds;
mod http;

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Context as _;
use rserpool::PoolUser;
use rserpool::user::{Event, ResolveError};
use rserpool::wire::param::{PeId, PoolElement, PoolHandle};
use serde_json::json;
use tokio::signal::ctrl_c;
use tokio::sync::broadcast::error::RecvError;

use crate::command::resolve::pool_handle;
use crate::exit::no_registrar;
use crate::output::{Format, Output};
use crate::pools::{element_with_home, with_pool};
use crate::registrars::RegistrarArgs;
use crate::runtime;

use feeds::{FeedArgs, Feeds};

/// Show who comes into a pool and who leaves it.
///
/// Each element that comes, changes or leaves is a line, as clients of the pool are told, until it is
/// interrupted. It needs no admin API, and works with registrars of other makes that send updates. A
/// file and the servers of HAProxy can follow the pool with it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The pool handle.
    #[arg(value_parser = pool_handle)]
    pool: PoolHandle,

    #[command(flatten)]
    feeds: FeedArgs,

    #[command(flatten)]
    registrars: RegistrarArgs,
}

const EXAMPLES: &str = "\
Examples:
  rserpool watch web
  rserpool watch web --haproxy /run/haproxy/admin.sock --backend web
  rserpool watch web --file /etc/prometheus/web.json --format prometheus-sd --target-port 9100";

/// The elements of a pool as they were told last.
type Members = BTreeMap<PeId, PoolElement>;

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        self.registrars.bear(&self.pool)?;
        runtime::block_on(async {
            tokio::select! {
                watched = self.watch(output) => watched,
                _ = ctrl_c() => Ok(()),
            }
        })
    }

    async fn watch(&self, output: &mut Output) -> anyhow::Result<()> {
        let config = self.registrars.user()?;
        let mut feeds = Feeds::new(&self.feeds, &self.pool).await?;
        let user = PoolUser::start(config)?;
        let mut events = user.events();
        user.subscribe(&self.pool);
        // Whether there is a registrar at all. An unknown pool may come into being.
        match user.resolve(&self.pool, None).await {
            Err(error) if error != ResolveError::UnknownPool => {
                let tried = self.registrars.describe_after(&user.attempts());
                let failed = no_registrar(error, &tried);
                return Err(failed).with_context(|| format!("cannot watch {}", self.pool));
            }
            _ => {}
        }
        let mut members = Members::new();
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = feeds.again() => continue,
            };
            let now = match event {
                Ok(Event::Updated { handle, resolution }) if handle == self.pool => resolution,
                // What is told next is the whole pool again.
                Ok(_) | Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return Ok(()),
            };
            feeds.follow(now.clone()).await?;
            let elements = now.iter().flat_map(|resolution| &resolution.elements);
            let now: Members = elements.map(|element| (element.id, element.clone())).collect();
            for (sign, element) in changes(&members, &now) {
                self.show(sign, element, now.len(), output)?;
            }
            members = now;
        }
    }

    fn show(
        &self,
        sign: char,
        element: &PoolElement,
        left: usize,
        output: &mut Output,
    ) -> anyhow::Result<()> {
        let at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let change = match sign {
            '+' => "joined",
            '-' => "left",
            _ => "changed",
        };
        if output.format() == Format::Json {
            let mut json = with_pool(&self.pool, element_with_home(element));
            (json["at"], json["change"]) = (at.into(), change.into());
            json["elements"] = json!(left);
            return Ok(output.json(&json)?);
        }
        let transport = &element.user_transport;
        let address = transport.addresses().first().map(ToString::to_string).unwrap_or_default();
        let port = transport.port().map(|port| port.to_string()).unwrap_or_default();
        let place = match address.contains(':') {
            true => format!("[{address}]:{port}"),
            false => format!("{address}:{port}"),
        };
        let (id, policy) = (element.id, &element.policy);
        if output.format() == Format::Plain {
            return Ok(
                output.line(format_args!("{at}\t{change}\t{id}\t{place}\t{policy}\t{left}"))?
            );
        }
        let time = at.get(11..23).unwrap_or(&at);
        let place = format!("{place:<22}");
        Ok(output
            .line(format_args!("{time}  {sign} {id} {place}  {policy}  {left} in the pool"))?)
    }
}

/// What is other than before: who left, who came, who changed.
fn changes<'a>(before: &'a Members, now: &'a Members) -> Vec<(char, &'a PoolElement)> {
    let left = before.iter().filter(|(id, _)| !now.contains_key(id)).map(|(_, it)| ('-', it));
    let came = now.iter().filter_map(|(id, element)| match before.get(id) {
        None => Some(('+', element)),
        Some(old) if old != element => Some(('~', element)),
        Some(_) => None,
    });
    left.chain(came).collect()
}

#[cfg(test)]
mod tests {
    use rserpool::wire::param::{Policy, RegistrationLife, Transport, TransportUse};

    use super::*;

    fn members(ids: &[(u32, u16)]) -> Members {
        let element = |&(id, port): &(u32, u16)| PoolElement {
            id: PeId(id),
            home: None,
            life: RegistrationLife(1),
            user_transport: Transport::Tcp {
                port,
                transport_use: TransportUse::DataOnly,
                address: [10, 0, 0, 1].into(),
            },
            policy: Policy::round_robin(),
            asap_transport: None,
        };
        ids.iter().map(|it| (PeId(it.0), element(it))).collect()
    }

    #[test]
    fn who_left_comes_before_who_came() {
        let (before, now) =
            (members(&[(1, 7), (2, 7), (3, 7)]), members(&[(1, 7), (3, 8), (4, 7)]));
        let told: Vec<(char, u32)> =
            changes(&before, &now).into_iter().map(|(sign, it)| (sign, it.id.0)).collect();
        assert_eq!(told, [('-', 2), ('~', 3), ('+', 4)]);
        assert!(changes(&now, &now).is_empty());
    }
}
