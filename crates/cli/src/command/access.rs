//! `rserpool access`: which rule decides.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use rserpool::proto::identity::Identity;
use rserpool::registrar::access::{Denial, Request, Verb, Who};
use rserpool::wire::param::{PeId, Policy, PoolHandle, RegistrarId};
use rserpool_registrar::Access;
use serde_json::json;

use crate::exit::Failure;
use crate::output::{Format, Output};

/// Say what a file of rules allows.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say which rule decides what somebody may do.
    ///
    /// Exit code 0 where it is allowed, 77 where it is not, 78 where the file cannot be used: then all
    /// that is wrong with it is said.
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// The file; access.example.toml shows every key.
    file: PathBuf,

    /// Who: spki: and a key, san: and a name, or anonymous. Repeated for a key and names that are one's.
    #[arg(long, value_name = "WHO", required = true)]
    who: Vec<Who>,

    /// What: register, resolve, report, administer or peer.
    #[arg(long = "do", value_name = "VERB")]
    verb: Verb,

    /// In which pool.
    #[arg(long, value_name = "HANDLE")]
    pool: Option<PoolHandle>,

    /// With this identifier, as an element or as a registrar.
    #[arg(long, value_name = "NUMBER")]
    id: Option<RegistrarId>,

    /// With this policy, such as weighted-round-robin:3; with --id.
    #[arg(long, value_name = "POLICY", requires = "id")]
    policy: Option<Policy>,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let Command::Check(args) = self.command;
        args.run(output)
    }
}

impl CheckArgs {
    fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let access = Access::load(&self.file).context(Failure::Configuration)?;
        if self.verb.has_pool() && self.pool.is_none() {
            let error = anyhow::anyhow!("{} is about a pool: give --pool", self.verb);
            return Err(error.context(Failure::Usage));
        }
        let (line, allowed) = self.decide(&access);
        let file = self.file.display();
        let rule = match line {
            Some(line) => format!("{file}, line {line}"),
            None => format!("{file}, no rule"),
        };
        let why = allowed.err().map(|denial| denial.to_string());
        match (output.format(), &why) {
            (Format::Json, _) => output.json(&json!({
                "file": file.to_string(), "line": line, "allowed": why.is_none(), "why": why,
            }))?,
            (_, None) => output.line(format_args!("allowed by {rule}"))?,
            (_, Some(why)) => output.line(format_args!("refused by {rule}: {why}"))?,
        }
        match why {
            None => Ok(()),
            Some(why) => Err(anyhow::anyhow!(why).context(Failure::NotAllowed)),
        }
    }

    fn decide(&self, access: &Access) -> (Option<usize>, Result<(), Denial>) {
        let identity = identity(&self.who);
        let line = |rule: Option<usize>| rule.and_then(|rule| access.lines.get(rule).copied());
        let pool = self.pool.as_ref().map(PoolHandle::as_bytes);
        let mut request = Request::new(self.verb, pool);
        let decide = |request: &Request<'_>| access.rules.decide(identity.as_ref(), request);
        if let (Verb::Peer, Some(id)) = (self.verb, self.id) {
            let allowed = access.rules.decide_peer(identity.as_ref(), id);
            return (line(decide(&request).rule), allowed);
        }
        let policy = self.policy.clone().unwrap_or_else(Policy::round_robin);
        if let (Verb::Register, Some(pool), Some(id)) = (self.verb, pool, self.id) {
            request = Request::register(pool, PeId(id.get()), &policy);
        }
        let verdict = decide(&request);
        let resolve = Request::new(Verb::Resolve, pool);
        let allowed = match self.verb {
            Verb::Report => verdict.allowed.and_then(|()| decide(&resolve).allowed),
            _ => verdict.allowed,
        };
        (line(verdict.rule), allowed)
    }
}

/// Who has all of this; nobody who is known, where that is `anonymous`.
fn identity(who: &[Who]) -> Option<Identity> {
    let (mut key, mut names) = ([0; 32], Vec::new());
    for who in who {
        match who {
            Who::Key(of) => key = *of,
            Who::Name(name) => names.push(name.clone()),
            Who::Anonymous => return None,
            _ => {}
        }
    }
    Some(Identity::new(key, names))
}
