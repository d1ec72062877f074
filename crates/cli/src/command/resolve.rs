//! `rserpool resolve`: which elements a pool has.

mod places;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, anyhow};
use rserpool::PoolUser;
use rserpool::proto::user::Answer;
use rserpool::wire::param::PoolHandle;

use crate::args::GLOBAL;
use crate::exit::{ExitWith, no_registrar};
use crate::output::{Form, Format, Output};
use crate::pools::{HEADINGS, element_with_home, pool_json, row};
use crate::registrars::RegistrarArgs;
use crate::runtime;
use crate::waiting;

use places::Place;

/// Ask which elements a pool has.
///
/// The elements are in the order of the pool's policy, as a client would use them. With --exec another
/// program gets the first one: its exit code is this one's then.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The pool handle.
    #[arg(value_parser = pool_handle)]
    pool: PoolHandle,

    /// The most elements to list, 1 or more. By default all, up to the items_max of the registrar
    /// (1000).
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    items: Option<u32>,

    /// Become COMMAND, which is all that follows: {host}, {port}, {addr}, {url} and {id} in it are
    /// those of the first element, and its environment has the variables of -o env.
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true, conflicts_with = "output")]
    exec: Vec<OsString>,

    #[command(flatten)]
    registrars: RegistrarArgs,

    /// The form of standard output. By default table.
    #[arg(short, long, value_enum, value_name = "FORMAT", help_heading = GLOBAL)]
    output: Option<Form>,
}

const EXAMPLES: &str = "\
Examples:
  rserpool resolve web
  eval \"$(rserpool resolve web -o env)\"; curl \"http://$WEB_ADDR/\"
  rserpool resolve db --exec psql -h {host} -p {port}";

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        self.registrars.bear(&self.pool)?;
        if self.exec.is_empty() {
            let answer = self.ask()?;
            return print(output, self.output.unwrap_or_default(), &answer);
        }
        // The command gets what this program was given.
        let limit = runtime::DescriptorLimit::now();
        let place = first(&self.ask()?)?;
        limit.restore();
        let mut words = self.exec.iter().map(|word| place.fill(word));
        let program = words.next().unwrap_or_default();
        let variables = place.variables(&self.pool);
        let error = Command::new(&program).args(words).envs(variables).exec();
        let code =
            if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NO_PROGRAM };
        Err(anyhow!("cannot start {}: {error}", program.display()).context(ExitWith(code)))
    }

    fn ask(&self) -> anyhow::Result<Answer> {
        runtime::block_on(async {
            let user = PoolUser::start(self.registrars.user()?)?;
            let resolving = user.resolve(&self.pool, self.items);
            let answer = waiting::aloud(resolving, || self.registrars.waits_for(&user)).await;
            answer
                .map_err(|error| {
                    no_registrar(error, &self.registrars.describe_after(&user.attempts()))
                })
                .with_context(|| format!("cannot resolve {}", self.pool))
        })
    }
}

/// A pool handle as an argument.
pub(crate) fn pool_handle(text: &str) -> Result<PoolHandle, String> {
    PoolHandle::from_text(text).ok_or_else(|| "a pool handle has 1 to 65000 octets".into())
}

/// What shells say of a program that cannot be started, and of one that is not there.
const NO_PROGRAM: u8 = 126;
pub(crate) const NOT_FOUND: u8 = 127;

/// Where the first element is that is anywhere.
fn first(answer: &Answer) -> anyhow::Result<Place> {
    let place = answer.in_order().find_map(Place::of);
    place.ok_or_else(|| anyhow!("no element of {} has an address", answer.resolution.handle))
}

fn print(output: &mut Output, form: Form, answer: &Answer) -> anyhow::Result<()> {
    let resolution = &answer.resolution;
    let mut places = answer.in_order().filter_map(Place::of);
    match form {
        Form::Env => {
            let variables = first(answer)?.variables(&resolution.handle);
            let mut lines = variables.iter();
            return Ok(
                lines.try_for_each(|(name, value)| output.line(format_args!("{name}={value}")))?
            );
        }
        Form::Hostport => return Ok(places.try_for_each(|place| output.line(place.hostport()))?),
        Form::Url => return Ok(places.try_for_each(|place| output.line(place.url()))?),
        Form::General(_) => {}
    }
    if output.format() == Format::Json {
        let (handle, policy) = (&resolution.handle, &resolution.policy_type);
        return Ok(output.json(&pool_json(
            handle,
            policy,
            answer.in_order().map(element_with_home),
        ))?);
    }
    Ok(output.rows(&HEADINGS, answer.in_order().map(row))?)
}
