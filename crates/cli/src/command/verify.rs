//! `rserpool verify`: whether all registrars know the same.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::admin::{Admin, AdminArgs, cell, yes_or_no};
use crate::output::{Format, Output};
use crate::runtime;

/// Say whether all registrars know the same.
///
/// Every registrar that --admin names is asked what it knows of the elements of each other one, whether
/// that is what the other one says itself, and which elements operators hold. What is on its way is
/// waited for. Exit code 1 where they differ after that, with what differs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long they may take to agree.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    wait: Duration,

    #[command(flatten)]
    admin: AdminArgs,
}

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// What one registrar says.
#[derive(Debug, Default)]
struct Said {
    id: String,
    peers: Vec<Value>,
    /// Holds and bans: kind, pool, element.
    holds: BTreeSet<[String; 3]>,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let admins = self.admin.open()?.singly();
        let (said, differences) = runtime::block_on(async {
            let begun = Instant::now();
            loop {
                let (said, mut found) = look(&admins).await?;
                found.extend(differences(&said));
                if found.is_empty() || begun.elapsed() >= self.wait {
                    return anyhow::Ok((said, found));
                }
                sleep(PAUSE).await;
            }
        })?;
        if output.format() == Format::Json {
            let ids: Vec<&str> = said.iter().map(|it| it.id.as_str()).collect();
            let agree = differences.is_empty();
            output.json(&serde_json::json!({
                "registrars": ids, "agree": agree, "differences": differences,
            }))?;
        } else {
            let headings = ["REGISTRAR", "OF", "ELEMENTS", "CHECKSUM", "AGREES"];
            output.rows(&headings, said.iter().flat_map(rows))?;
        }
        match differences.is_empty() {
            true => Ok(()),
            false => bail!("{}", differences.join("; ")),
        }
    }
}

fn rows(said: &Said) -> impl Iterator<Item = Vec<String>> + '_ {
    said.peers.iter().map(|peer| {
        let [of, elements, checksum] =
            ["id", "elements", "checksum_here"].map(|name| cell(&peer[name]));
        vec![said.id.clone(), of, elements, checksum, yes_or_no(&peer["agrees"])]
    })
}

/// What each of them says; also who says nothing.
async fn look(admins: &[Admin]) -> anyhow::Result<(Vec<Said>, Vec<String>)> {
    let (mut said, mut silent): (Vec<Said>, Vec<String>) = (Vec::new(), Vec::new());
    let mut last = None;
    for admin in admins {
        match ask(admin).await {
            // One may be there twice: at its socket, and at a port.
            Ok(one) if said.iter().any(|other| other.id == one.id) => {}
            Ok(one) => said.push(one),
            Err(error) if admin.is_given() => {
                silent.push(format!("{error:#}"));
                last = Some(error);
            }
            Err(error) => last = Some(error),
        }
    }
    match (said.is_empty(), last) {
        (true, Some(error)) => Err(error),
        _ => Ok((said, silent)),
    }
}

async fn ask(admin: &Admin) -> anyhow::Result<Said> {
    let id = cell(&admin.get("/v1/registrar").await?["id"]);
    let peers = admin.list("/v1/peers?").await?;
    let holds = admin.list("/v1/holds?").await?;
    let hold = |hold: &Value| ["kind", "pool", "id"].map(|name| cell(&hold[name]));
    Ok(Said { id, peers, holds: holds.iter().map(hold).collect() })
}

/// What differs, in words.
fn differences(said: &[Said]) -> Vec<String> {
    let mut found = Vec::new();
    for one in said {
        for other in said.iter().filter(|other| other.id != one.id) {
            if !one.peers.iter().any(|peer| peer["id"] == *other.id) {
                found.push(format!("{} does not know {}", one.id, other.id));
            }
            for [kind, pool, id] in one.holds.difference(&other.holds) {
                let (here, there) = (&one.id, &other.id);
                found.push(format!("{here} has a {kind} of {id} in {pool}, {there} has not"));
            }
        }
        for peer in &one.peers {
            let (id, of, state) = (&one.id, cell(&peer["id"]), cell(&peer["state"]));
            if state != "active" {
                found.push(format!("for {id} the registrar {of} is {state}"));
            } else if peer["agrees"] != true {
                let [here, told] = ["checksum_here", "checksum_told"].map(|name| cell(&peer[name]));
                let count = cell(&peer["elements"]);
                found.push(format!(
                    "{id} knows {count} elements of {of} with the checksum {here}, and was told {told}"
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(id: &str, peers: &[Value], holds: &[&str]) -> Said {
        let hold = |id: &&str| ["hold".into(), "p".into(), (*id).to_owned()];
        Said { id: id.into(), peers: peers.to_vec(), holds: holds.iter().map(hold).collect() }
    }

    #[test]
    fn what_differs_is_named() {
        let peer = |id: &str, agrees| {
            json!({ "id": id, "state": "active", "elements": 2, "checksum_here": "0x1",
                    "checksum_told": "0x2", "agrees": agrees })
        };
        let same = [said("a", &[peer("b", true)], &["1"]), said("b", &[peer("a", true)], &["1"])];
        assert_eq!(differences(&same), Vec::<String>::new());
        let other = [said("a", &[peer("b", false)], &["1", "2"]), said("b", &[], &["1"])];
        let expected = [
            "a has a hold of 2 in p, b has not",
            "a knows 2 elements of b with the checksum 0x1, and was told 0x2",
            "b does not know a",
        ];
        assert_eq!(differences(&other), expected);
        let mut dead = peer("b", true);
        dead["state"] = "dead".into();
        assert_eq!(differences(&[said("a", &[dead], &[])]), ["for a the registrar b is dead"]);
    }
}
