//! What operators have registrars do with elements, and what each registrar says to it.

use std::net::IpAddr;

use anyhow::{Context as _, bail};
use rserpool::wire::param::{PeId, PoolHandle};
use rserpool_web::Method;
use serde_json::{Value, json};

use crate::admin::{Admin, encoded};
use crate::command::resolve::pool_handle;
use crate::output::{Format, Output};

/// Which elements are meant.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The pool handle.
    #[arg(value_parser = pool_handle, required_unless_present = "host")]
    pool: Option<PoolHandle>,

    /// The element's identifier, such as 0xb268716b. Without it all elements of the pool are meant.
    id: Option<PeId>,

    /// All elements at this address, of this pool or of all: a host is to be looked after.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "id")]
    host: Option<IpAddr>,
}

/// An element as requests name it.
pub(crate) struct Target {
    pool: String,
    id: String,
}

impl Which {
    /// The elements that are there, as far as they are not named.
    pub(crate) async fn targets(&self, admin: &Admin) -> anyhow::Result<Vec<Target>> {
        if let (Some(pool), Some(id)) = (&self.pool, self.id) {
            return Ok(vec![Target { pool: pool.to_string(), id: id.to_string() }]);
        }
        let path = match &self.pool {
            Some(pool) => format!("/v1/pools/{}/elements?", encoded(pool.to_string().as_bytes())),
            None => "/v1/elements?".to_owned(),
        };
        let elements = admin.list(&path).await?;
        let targets: Vec<Target> = elements.iter().filter_map(|it| self.target(it)).collect();
        if targets.is_empty() {
            bail!(
                "there is no element at {}",
                self.host.map(|it| it.to_string()).unwrap_or_default()
            );
        }
        Ok(targets)
    }

    fn target(&self, element: &Value) -> Option<Target> {
        let addresses = element["addresses"].as_array()?.iter().filter_map(Value::as_str);
        let mut addresses = addresses.filter_map(|it| it.parse::<IpAddr>().ok());
        let is_meant = self.host.is_none_or(|host| addresses.any(|ip| ip == host));
        let text = |name: &str| element[name].as_str().map(ToOwned::to_owned);
        is_meant.then_some(Target { pool: text("pool")?, id: text("id")? })
    }
}

/// Has every registrar do this with each of the elements, and shows what came of it in words: what
/// `said` makes of an answer.
///
/// # Errors
///
/// Exit code 69 where nobody answers, 77 where it is not allowed, 1 where a registrar did not do it:
/// the others have.
pub(crate) async fn act(
    admin: &Admin,
    targets: Vec<Target>,
    (method, verb): (Method, &str),
    body: &Value,
    said: impl Fn(&Value) -> String,
    output: &mut Output,
) -> anyhow::Result<()> {
    let (mut rows, mut answers, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for Target { pool, id } in targets {
        let path = format!("/v1/pools/{}/elements/{id}/{verb}", encoded(pool.as_bytes()));
        for (registrar, answer) in admin.act((method.clone(), &path), body).await? {
            let outcome = match &answer {
                Ok(answer) => said(answer),
                // Who says so has a column of its own.
                Err(error) => error.to_string().replace(&format!("{registrar}: "), ""),
            };
            let row = [registrar.clone(), pool.clone(), id.clone(), outcome.clone()];
            rows.push(row.to_vec());
            match answer {
                Ok(answer) => answers.push(answer),
                Err(error) => {
                    answers.push(json!({
                        "registrar": registrar, "pool": pool, "id": id, "error": outcome,
                    }));
                    failed.push((registrar, error));
                }
            }
        }
    }
    if output.format() == Format::Json {
        output.json(&answers)?;
    } else {
        output.rows(&["REGISTRAR", "POOL", "ELEMENT", "OUTCOME"], rows)?;
    }
    let count = failed.len();
    match failed.into_iter().next() {
        None => Ok(()),
        Some((_, error)) if answers.len() == count => Err(error),
        Some((registrar, error)) => {
            Err(error).with_context(|| format!("{registrar} has not done it; others have"))
        }
    }
}
