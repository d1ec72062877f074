//! What no operator can mean: it is refused at the start, with the reason, all of it at once.

use std::collections::BTreeSet;
use std::time::Duration;

use rserpool::proto::timing::Timing;
use rserpool::registrar;
use rserpool::transport::{Address, Scheme};
use rserpool::wire::param::PoolHandle;

use crate::Config;

/// The least and the greatest value of a timer: less than that is a busy loop, and more is never.
const TIMERS: (Duration, Duration) =
    (Duration::from_millis(1), Duration::from_secs(30 * 24 * 3600));
/// How often elements may be looked through for suggestions.
const SUGGESTION_PAUSE_MIN: Duration = Duration::from_millis(100);

/// The least time that a peer has for something: less ends peers that are only far away.
const PEER_TIME_MIN: Duration = Duration::from_secs(1);

/// What is wrong with a configuration; nothing where it can be used.
pub(crate) fn complaints(config: &Config, library: &registrar::Config) -> Vec<String> {
    let mut found = Vec::new();
    urls(config, library, &mut found);
    keys(config, library, &mut found);
    groups(config, &mut found);
    timing(&library.protocol.timing, &mut found);
    pauses(library, &mut found);
    limits(library, &mut found);
    config.admin.complaints(&mut found);
    found
}

fn urls(config: &Config, library: &registrar::Config, found: &mut Vec<String>) {
    if config.asap.as_ref().is_some_and(Vec::is_empty) {
        let remedy = "leave it out to serve this host only";
        found.push(format!("asap is empty, so nobody could reach this registrar: {remedy}"));
    }
    let mut ends = BTreeSet::new();
    for url in config.asap.iter().flatten().chain(&config.enrp) {
        if url.port != 0 && !ends.insert(url.to_string()) {
            found.push(format!("{url} is given twice"));
        }
    }
    // Those of the rules, too.
    for url in library.peers.iter().filter(|url| url.port == 0) {
        found.push(format!("peers: {url} has port 0, which nobody listens at"));
    }
    for url in library.peers.iter().filter(|url| is_unspecified(url)) {
        found.push(format!("peers: {url} is no address of a host"));
    }
}

/// What keys do not protect, and what there are no keys for.
fn keys(config: &Config, library: &registrar::Config, found: &mut Vec<String>) {
    let own = library.asap.iter().chain(&library.enrp);
    let all = own.clone().chain(&library.peers);
    match config.tls.key.is_some() {
        false => found.extend(all.filter(|url| url.scheme == Scheme::Tls).map(|url| {
            format!("{url} needs keys: a section [tls] with key and ca, or --tls-key and --tls-ca")
        })),
        true if !config.tls.plaintext_ok => {
            found.extend(all.filter(|url| url.scheme != Scheme::Tls).map(|url| {
                format!(
                    "{url} is not protected by the keys of [tls]: write tls:// in it, or set \
                     tls.plaintext_ok"
                )
            }));
        }
        true => {}
    }
    if config.access.file.is_some() && config.tls.key.is_none() {
        found
            .push("[access] says who may do what, but without keys ([tls]) nobody is known".into());
    }
    let tls = &config.tls;
    if tls.key.is_none() && (!tls.ca.is_empty() || tls.cert.is_some() || !tls.pins.is_empty()) {
        found.push("[tls] says whom to trust, but there is no own key in it".into());
    }
}

fn is_unspecified(url: &Address) -> bool {
    url.literal().is_some_and(|remote| remote.addresses.iter().any(|ip| ip.is_unspecified()))
}

fn groups(config: &Config, found: &mut Vec<String>) {
    let announce = &config.announce;
    let named = |key| move |group| (key, group);
    let groups = announce.groups.iter().map(named("groups"));
    for (key, group) in groups.chain(announce.enrp_groups.iter().map(named("enrp_groups"))) {
        if !group.ip().is_multicast() {
            found.push(format!("announce.{key}: {group} is no multicast group"));
        } else if group.port() == 0 {
            found.push(format!("announce.{key}: {group} has no port"));
        }
    }
}

fn timing(timing: &Timing, found: &mut Vec<String>) {
    let named = crate::timing::named(timing);
    for (name, value) in named {
        within(&format!("timing.{name}"), value, TIMERS.0, found);
    }
    let mut ordered = |low: (&str, Duration), high: (&str, Duration)| {
        if low.1 > high.1 {
            let (low_name, low, high_name, high) = (low.0, low.1, high.0, high.1);
            found.push(format!(
                "timing.{low_name} ({low:?}) is above timing.{high_name} ({high:?})"
            ));
        }
    };
    ordered(
        ("keep_alive_timeout_floor", timing.keep_alive_timeout_floor),
        ("keep_alive_timeout_cap", timing.keep_alive_timeout_cap),
    );
    ordered(
        ("presence_interval", timing.presence_interval),
        ("peer_silence_max", timing.peer_silence_max),
    );
    ordered(
        ("announce_interval", timing.announce_interval),
        ("announce_lifetime", timing.announce_lifetime),
    );
    ordered(("rto_min", timing.rto_min), ("rto_initial", timing.rto_initial));
    ordered(("rto_initial", timing.rto_initial), ("rto_max", timing.rto_max));
    if timing.association_retransmits_max == 0 {
        found.push("timing.association_retransmits_max is 0: one lost packet would end it".into());
    }
}

fn pauses(library: &registrar::Config, found: &mut Vec<String>) {
    let protocol = &library.protocol;
    within("suggestion_pause", protocol.suggestion_pause, SUGGESTION_PAUSE_MIN, found);
    // Not to wait at all can be meant.
    within("start_timeout", protocol.start_timeout, Duration::ZERO, found);
    within("adoption_grace", protocol.adoption_grace, Duration::ZERO, found);
    within("leave_timeout", protocol.leave_timeout, Duration::ZERO, found);
    let transport = &library.transport;
    for (name, value) in [
        ("limits.stall_timeout", transport.stall_timeout),
        ("limits.message_timeout", transport.message_timeout),
        ("limits.close_timeout", transport.close_timeout),
    ] {
        value.into_iter().for_each(|value| within(name, value, PEER_TIME_MIN, found));
    }
}

fn within(name: &str, value: Duration, least: Duration, found: &mut Vec<String>) {
    if value.is_zero() && !least.is_zero() {
        found.push(format!("{name} is zero"));
    } else if value < least {
        found.push(format!("{name} ({value:?}) is below {least:?}"));
    } else if value > TIMERS.1 {
        found.push(format!("{name} is above 30 days"));
    }
}

fn limits(library: &registrar::Config, found: &mut Vec<String>) {
    let protocol = &library.protocol;
    let handlespace = &protocol.handlespace;
    let limits = &handlespace.limits;
    let none = [
        ("limits.pools", limits.pools_max == 0),
        ("limits.elements_per_pool", limits.elements_per_pool_max == 0),
        ("limits.elements", limits.elements_max == 0),
        ("limits.addresses_per_transport", limits.addresses_per_transport_max == 0),
        ("limits.handle_octets", limits.handle_octets_max == 0),
        ("limits.peers", protocol.peers_max == 0),
        ("limits.subscriptions", protocol.subscriptions_max == 0),
    ];
    for (name, _) in none.iter().filter(|(_, is_zero)| *is_zero) {
        found.push(format!("{name} is 0: everything would be refused"));
    }
    if limits.handle_octets_max as usize > PoolHandle::MAX_LEN {
        let most = PoolHandle::MAX_LEN;
        found.push(format!("limits.handle_octets is above {most}, which no message has room for"));
    }
    if let Some(default) = handlespace.items_default
        && default > handlespace.items_max
    {
        let most = handlespace.items_max;
        found.push(format!("items_default ({default}) is above items_max ({most})"));
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn complaint(text: &str) -> Option<String> {
        let config: Config = toml::from_str(text).unwrap();
        config.to_library().err().map(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_reason() {
        for (text, reason) in [
            ("asap = []", "asap is empty"),
            ("asap = ['tcp://10.0.0.1:1', 'tcp://10.0.0.1:1']", "tcp://10.0.0.1:1 is given twice"),
            ("asap = ['tcp://10.0.0.1:1']\nenrp = ['tcp://10.0.0.1:1']", "given twice"),
            ("peers = ['tcp://10.0.0.1:0']", "port 0"),
            ("peers = ['tcp://0.0.0.0:9901']", "no address of a host"),
            ("announce.groups = ['10.0.0.1:3863']", "10.0.0.1:3863 is no multicast group"),
            ("announce.enrp_groups = ['239.0.0.51:0']", "239.0.0.51:0 has no port"),
            ("timing.keep_alive_interval = '1ns'", "keep_alive_interval (1ns) is below 1ms"),
            ("timing.announce_interval = '0s'", "announce_interval is zero"),
            ("timing.backoff_max = '1year'", "backoff_max is above 30 days"),
            (
                "timing.keep_alive_timeout_floor = '2s'",
                "keep_alive_timeout_floor (2s) is above timing.keep_alive_timeout_cap (900ms)",
            ),
            ("timing.presence_interval = '1min'", "is above timing.peer_silence_max (1s)"),
            ("timing.announce_lifetime = '100ms'", "is above timing.announce_lifetime (100ms)"),
            ("timing.rto_min = '3s'", "rto_min (3s) is above timing.rto_initial (250ms)"),
            ("timing.rto_max = '200ms'", "is above timing.rto_max (200ms)"),
            ("timing.association_retransmits_max = 0", "association_retransmits_max is 0"),
            ("suggestion_pause = '1ms'", "suggestion_pause (1ms) is below 100ms"),
            ("leave_timeout = '2months'", "leave_timeout is above 30 days"),
            ("limits.pools = 0", "limits.pools is 0"),
            ("limits.elements_per_pool = 0", "limits.elements_per_pool is 0"),
            ("limits.elements = 0", "limits.elements is 0"),
            ("limits.addresses_per_transport = 0", "limits.addresses_per_transport is 0"),
            ("limits.handle_octets = 0", "limits.handle_octets is 0"),
            ("limits.handle_octets = 100000", "limits.handle_octets is above 65000"),
            ("limits.peers = 0", "limits.peers is 0"),
            ("limits.subscriptions = 0", "limits.subscriptions is 0"),
            ("limits.stall_timeout = '1ms'", "stall_timeout (1ms) is below 1s"),
            ("asap = ['tls://10.0.0.1']", "tls://10.0.0.1:3864 needs keys"),
            ("tls.ca = 'ca.pem'", "no own key"),
            ("peers = ['tls://10.0.0.1']", "tls://10.0.0.1:9902 needs keys"),
            (
                "enrp = ['tcp://10.0.0.1']\ntls.key = 'none'",
                "tcp://10.0.0.1:9901 is not protected by the keys",
            ),
            ("items_default = 5\nitems_max = 4", "items_default (5) is above items_max (4)"),
        ] {
            let said = complaint(text).unwrap_or_default();
            assert!(said.contains(reason), "{text}: {said}");
        }
    }

    #[test]
    fn registrars_of_the_rules_are_looked_at_as_those_of_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("access.toml");
        let text = |url| format!("[[peer]]\nid = 2\nwho = 'san:r'\nurl = '{url}'\n");
        for (url, reason) in [
            ("tls://10.0.0.1:0", "peers: tls://10.0.0.1:0 has port 0"),
            ("tls://0.0.0.0", "peers: tls://0.0.0.0:9902 is no address of a host"),
        ] {
            std::fs::write(&file, text(url)).unwrap();
            let said = complaint(&format!("access.file = '{}'", file.display())).unwrap();
            assert!(said.contains(reason), "{url}: {said}");
        }
    }

    #[test]
    fn all_of_it_is_said_at_once() {
        let said = complaint("asap = []\nlimits.pools = 0\ntiming.rto_min = '0s'").unwrap();
        assert!(said.contains("asap") && said.contains("pools") && said.contains("rto_min"));
    }

    #[test]
    fn every_profile_can_be_meant() {
        for profile in ["minimal", "fast", "wan", "rsplib", "rfc"] {
            for dialect in ["rfc", "rsplib"] {
                let text = format!("profile = '{profile}'\ndialect = '{dialect}'");
                assert_eq!(complaint(&text), None, "{text}");
            }
        }
    }
}
