//! A registrar and its admin thread, asked as operators do.

mod acts;
mod document;
mod live;
mod monitoring;
mod page;

use std::time::Duration;

use rserpool::element::{self, PoolElement};
use rserpool::registrar::{self, Registrar};
use rserpool::wire::param::{
    PeId, PoolHandle, RegistrarId, SctpTransport, Transport, TransportUse,
};
use rserpool_web::Method;
use rserpool_web::access::{Role, Tokens};
use rserpool_web::client::{Client, Reply};
use rserpool_web::listen::Endpoint;
use serde_json::Value;

use super::{Admin, AdminConfig, Setup};

/// No result depends on it: what hangs is stopped.
const LIMIT: Duration = Duration::from_secs(60);

/// A registrar with two elements, one of which has a name that nobody would give.
struct Lab {
    registrar: Registrar,
    admin: Admin,
    client: Client,
    elements: Vec<PoolElement>,
}

/// Markup, a quote, a backslash, a line end, an octet that is no UTF-8, and what turns text around.
const HOSTILE: &[u8] = b"<img src=x>\"\\\n\xff\xe2\x80\xae";
/// The same as it is shown.
const HOSTILE_SHOWN: &str = "<img src=x>\"\\\\\\x0a\\xff\\xe2\\x80\\xae";

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap()
}

/// Somebody with a token.
struct Operator(Client);

/// What the token is.
const TOKEN: &str = "t0";

impl Operator {
    /// A lab whose registrar knows the token of `ops`, who may operate, and of `eve`, who may look.
    async fn lab() -> Lab {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let lines = [("ops", Role::Operate, TOKEN), ("eve", Role::View, "t1")];
        let lines = lines.map(|(name, role, token)| Tokens::line(name, role, token));
        std::fs::write(&path, lines.join("\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        Lab::with(AdminConfig { tokens: Some(path), ..AdminConfig::default() }).await
    }

    fn of(lab: &Lab) -> Self {
        Self::with(lab, Some(TOKEN))
    }

    fn with(lab: &Lab, token: Option<&str>) -> Self {
        Self(Client::new(lab.endpoint().clone(), token.map(ToOwned::to_owned), LIMIT))
    }

    /// Does something with an element.
    async fn act(&self, method: Method, pool: &str, id: &str, act: &str, body: &str) -> Reply {
        let path = format!("/v1/pools/{pool}/elements/{id}/{act}");
        soon(self.0.send(method, &path, body.to_owned())).await.unwrap()
    }
}

impl Lab {
    async fn new() -> Self {
        Self::with(AdminConfig::default()).await
    }

    async fn with(config: AdminConfig) -> Self {
        let asap = vec!["tcp://127.0.0.1:0".parse().unwrap()];
        let enrp = vec!["tcp://127.0.0.1:0".parse().unwrap()];
        let mut library = registrar::Config::new(asap).enrp(enrp).id(RegistrarId::new(0x11));
        // A busy machine does not make elements dead.
        library.protocol.timing.keep_alive_timeout_floor = LIMIT;
        library.protocol.timing.keep_alive_timeout_cap = LIMIT;
        let registrar = Registrar::start(library).unwrap();
        let config = AdminConfig { listen: vec!["http://127.0.0.1:0".into()], ..config };
        let (orders, _) = tokio::sync::mpsc::channel(1);
        let (profile, dialect, has_peers) = ("fast", "rfc", false);
        let setup = Setup { config: &config, profile, dialect, has_peers, orders };
        let admin = soon(Admin::start(&registrar, setup)).await.unwrap().unwrap();
        let client = Client::new(admin.endpoints()[0].clone(), None, LIMIT);
        let mut lab = Self { registrar, admin, client, elements: Vec::new() };
        lab.join(b"EchoPool", 1).await;
        lab.join(HOSTILE, 2).await;
        lab
    }

    async fn join(&mut self, pool: &[u8], id: u32) {
        let transport = Transport::Sctp(SctpTransport {
            port: 7,
            transport_use: TransportUse::DataOnly,
            addresses: ["127.0.0.1".parse().unwrap()].into_iter().collect(),
        });
        let handle = PoolHandle::new(pool).unwrap();
        let registrars = self.registrar.urls().to_vec();
        let mut config = element::Config::new(registrars, handle, transport);
        config.id = Some(PeId(id));
        let element = PoolElement::start(config).unwrap();
        soon(element.registered()).await.unwrap();
        self.elements.push(element);
        // The other thread takes the event when it does; who follows from now on is not told of it.
        soon(async {
            loop {
                let events = self.json("/v1/events?type=joined").await;
                let joined = format!("0x{id:08x}");
                if events["items"].as_array().unwrap().iter().any(|it| it["id"] == *joined) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Another registrar of the scope.
    async fn peer(&self) -> Registrar {
        let asap = vec!["tcp://127.0.0.1:0".parse().unwrap()];
        let peers = self.registrar.enrp_urls().to_vec();
        let library = registrar::Config::new(asap).peers(peers).id(RegistrarId::new(0x22));
        let peer = Registrar::start(library).unwrap();
        soon(peer.serving()).await.unwrap();
        peer
    }

    async fn get(&self, path: &str) -> Reply {
        soon(self.client.get(path)).await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        serde_json::from_slice(&reply.body).unwrap()
    }

    fn endpoint(&self) -> &Endpoint {
        &self.admin.endpoints()[0]
    }
}
