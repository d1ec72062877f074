//! Who is asked: registrars with what a case needs, and a program that only answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rserpool::PoolElement;
use rserpool::proto::timing::Profile;
use rserpool::transport::{Address, Scheme, Tls};
use rserpool::wire::asap::{Asap, RegistrationResponse};
use rserpool::wire::param::{PeId, Policy};
use rserpool::wire::registry::AsapType;
use rserpool::wire::{Message, Protocol};

use super::{Setup, What};
use crate::echo;
use crate::generator::{self, Plan, Work};
use crate::keys::Keys;
use crate::load::{element_at_first, handle, resolution};
use crate::process::Process;
use crate::scope::{Scope, Setting};
use crate::usage::resident;

/// Registrars, and the elements that they have.
pub(super) struct Served {
    setup: Setup,
    scope: Scope,
    /// Over TLS: the keys of who asks.
    tls: Option<Tls>,
    /// Elements that are just there.
    _elements: Vec<PoolElement>,
    _configuration: Option<Configuration>,
    _keys: Option<Keys>,
}

/// Elements of the pool that is resolved.
const POOL: usize = 100;
/// Elements at each association that renew themselves.
const RENEWED: u32 = 100;
/// Elements at each association that are asked whether they live.
const ALIVE: u32 = 400;
/// Each of those is asked as often as it can be.
const RESTLESS: &str =
    "supervision_rate_max = 10000000\n[timing]\nkeep_alive_interval = \"60ms\"\n";

impl Served {
    pub(super) async fn open(scheme: Scheme, setup: Setup) -> anyhow::Result<Self> {
        let restless = setup.what == What::KeepAlive;
        let resolves = !matches!(setup.what, What::Register | What::KeepAlive);
        // Elements that are just there answer late where this process has no time for them.
        let profile = if resolves { Profile::Rfc } else { Profile::default() };
        let setting = Setting { scheme, profile };
        let configuration = restless.then(|| Configuration::write(RESTLESS)).transpose()?;
        let mut arguments: Vec<String> =
            configuration.iter().flat_map(Configuration::arguments).collect();
        let keys = match scheme {
            Scheme::Tls => Some(Keys::make().await?),
            _ => None,
        };
        arguments.extend(keys.iter().flat_map(Keys::arguments));
        let tls = keys.as_ref().map(Keys::own).transpose()?;
        let scope = Scope::open_with(setting, setup.registrars, arguments).await?;
        let mut elements = Vec::new();
        if resolves {
            for _ in 0..POOL {
                let (urls, policy) = (scope.urls(), Policy::round_robin());
                let (asked, tls) = (handle("Asked")?, tls.as_ref());
                elements.push(element_at_first(setting, &urls, asked, policy, tls).await?);
            }
        }
        Ok(Self {
            setup,
            scope,
            tls,
            _keys: keys,
            _elements: elements,
            _configuration: configuration,
        })
    }

    /// What is asked of them.
    pub(super) async fn plan(&self, span: Duration) -> anyhow::Result<Plan> {
        let address = self.scope.urls().first().context("no registrar")?.clone();
        let tls = self.tls.as_ref();
        let work = match self.setup.what {
            What::Resolve3 | What::Handshake | What::Reconnect | What::Idle => {
                asking(&address, tls, 3).await?
            }
            What::Resolve100 => asking(&address, tls, POOL).await?,
            What::Register => Work::Renew { handle: handle("Renewed")?, elements: RENEWED },
            What::KeepAlive => Work::Live { handle: handle("Alive")?, elements: ALIVE },
        };
        let servers =
            self.scope.nodes.iter().map(|node| node.process()).collect::<Result<_, _>>()?;
        let Setup { clients, outstanding, .. } = self.setup;
        let tls = self.tls.clone();
        Ok(Plan { address, tls, clients, outstanding, work, servers, span })
    }

    /// Memory of the first one.
    pub(super) fn resident(&self) -> anyhow::Result<u64> {
        resident(self.scope.nodes.first().context("no registrar")?.process()?)
    }
}

/// A resolution of so many elements, and what its answer has to look like: it is looked at once.
async fn asking(address: &Address, tls: Option<&Tls>, items: usize) -> anyhow::Result<Work> {
    let request = resolution(handle("Asked")?, u32::try_from(items)?).encode();
    let octets = generator::ask_once(address, tls, &request).await?;
    let Message::Asap(Asap::HandleResolutionResponse(answer)) =
        Message::decode(Protocol::Asap, &octets)?.message
    else {
        bail!("no answer to a resolution")
    };
    let count = answer.elements.len();
    ensure!(count == items, "{count} of {items} elements");
    let octets = octets.len();
    Ok(Work::Ask { request, answer: AsapType::HANDLE_RESOLUTION_RESPONSE.0, octets })
}

/// A program that only answers, with answers of the same sizes.
pub(super) struct Echo {
    process: Process,
    port: u16,
    /// What is sent to it, and of how many octets its answers are.
    request: Vec<u8>,
    answer: usize,
}

impl Echo {
    /// One that does what registrars do for this plan, as far as the network is concerned; `None`
    /// where nothing is asked.
    pub(super) async fn like(plan: &Plan) -> anyhow::Result<Option<Self>> {
        let (request, answer) = match &plan.work {
            Work::Ask { request, octets, .. } => (request.clone(), *octets),
            Work::Renew { handle, .. } => {
                let request = generator::registration(handle, PeId(1), 0);
                let (handle, id) = (handle.clone(), PeId(1));
                let answer =
                    RegistrationResponse { rejected: false, handle, id, causes: Vec::new() };
                let answer = Message::from(Asap::RegistrationResponse(answer)).encode();
                (request, answer.len())
            }
            Work::Live { .. } => return Ok(None),
        };
        let octets = [request.len().to_string(), answer.to_string()];
        let arguments = ["bench", "echo", "--request", &octets[0], "--answer", &octets[1]];
        let mut process = Process::start(&arguments)?;
        let port = process.line().await?;
        Ok(Some(Self { process, port, request, answer }))
    }

    /// The same for it.
    pub(super) fn plan(&self, plan: &Plan) -> anyhow::Result<Plan> {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let address = Address::from((Scheme::Tcp, here));
        let request = self.request.clone();
        let work = Work::Ask { request, answer: echo::ANSWER, octets: self.answer };
        Ok(Plan { address, tls: None, work, servers: vec![self.process.id()?], ..plan.clone() })
    }
}

/// A configuration file for registrars, as long as it is wanted.
struct Configuration(PathBuf);

impl Configuration {
    fn write(text: &str) -> anyhow::Result<Self> {
        let name = format!("rserpool-bench-{}.toml", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        std::fs::write(&file.0, text).context("cannot write a configuration")?;
        Ok(file)
    }

    fn arguments(&self) -> [String; 2] {
        ["--config".into(), self.0.to_string_lossy().into_owned()]
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        // Where it is gone already, that is what was wanted.
        let _ = std::fs::remove_file(&self.0);
    }
}
