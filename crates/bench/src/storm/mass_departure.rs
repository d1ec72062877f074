//! Elements in a process of their own, so that they can vanish at once.

use std::collections::VecDeque;

use anyhow::Context as _;
use rserpool::proto::timing::Profile;
use rserpool::transport::{Address, Scheme};
use rserpool::{PoolUser, ResolveError};

use super::{Crowd, POOLS, Plan, Setting, pool};
use crate::Output;
use crate::process::{Cause, Process, end_of_stdin};

/// Keeps elements alive until standard input ends.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where they register.
    #[arg(long)]
    registrar: Address,

    /// How many there are.
    #[arg(long)]
    elements: u32,
}

/// Their pools.
const NAME: &str = "Vanishing";

impl Args {
    pub(crate) async fn run(self, output: &mut dyn Output) -> anyhow::Result<()> {
        let setting = Setting { scheme: Scheme::Tcp, profile: Profile::default() };
        let Self { registrar, elements } = self;
        let crowd =
            Crowd::start(Plan { setting, registrars: vec![registrar], elements, name: NAME })?;
        crowd.registered(elements).await?;
        output.json(&elements.into())?;
        end_of_stdin(true).await;
        Ok(())
    }
}

/// The process.
pub(super) struct Vanishing(Process);

impl Vanishing {
    /// Starts it, and waits until all have registered.
    pub(super) async fn start(registrar: &Address, elements: u32) -> anyhow::Result<Self> {
        let (registrar, elements) = (registrar.to_string(), elements.to_string());
        let arguments = ["bench", "crowd", "--registrar", &registrar, "--elements", &elements];
        let mut process = Process::start(&arguments)?;
        let _: u32 = process.line().await.context("the elements did not register")?;
        Ok(Self(process))
    }

    pub(super) fn strike(&self, cause: Cause) -> anyhow::Result<u64> {
        self.0.strike(cause)
    }
}

/// Waits until none of their pools is known.
pub(super) async fn gone(user: &PoolUser) -> anyhow::Result<()> {
    let mut left: VecDeque<_> = (0..POOLS).map(|number| pool(NAME, number)).collect();
    while let Some(handle) = left.pop_front() {
        let handle = handle?;
        match user.resolve(&handle, Some(1)).await {
            Ok(_) => left.push_back(Ok(handle)),
            Err(ResolveError::UnknownPool) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
