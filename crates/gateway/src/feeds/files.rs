//! Files that say who is in a pool.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use rserpool::PoolHandle;
use rserpool::user::Element;
use serde_json::{Value, json};

use crate::dns::{Order, Server, label, servers};

/// The form of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FileFormat {
    /// As `/etc/hosts`: a line for each address, with the pool's name, and a name for each element.
    Hosts,
    /// Servers of an `upstream` of nginx, to be included there.
    Nginx,
    /// Endpoints for Envoy, as a file that it watches (`path_config_source`).
    Eds,
    /// Targets for the `file_sd_configs` of Prometheus.
    PrometheusSd,
}

/// What is the name of no form.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("eds, hosts, nginx or prometheus-sd")]
pub struct FileFormatParseError;

impl FromStr for FileFormat {
    type Err = FileFormatParseError;

    fn from_str(text: &str) -> Result<Self, FileFormatParseError> {
        match text {
            "eds" => Ok(Self::Eds),
            "hosts" => Ok(Self::Hosts),
            "nginx" => Ok(Self::Nginx),
            "prometheus-sd" => Ok(Self::PrometheusSd),
            _ => Err(FileFormatParseError),
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eds => "eds",
            Self::Hosts => "hosts",
            Self::Nginx => "nginx",
            Self::PrometheusSd => "prometheus-sd",
        })
    }
}

impl FileFormat {
    /// The file. `port`, where it is given, takes the place of the elements' own. `None`: the pool has
    /// no name that a host may have.
    pub fn text(
        self,
        pool: &PoolHandle,
        elements: &[Element],
        port: Option<u16>,
    ) -> Option<String> {
        match self {
            Self::Hosts => hosts(&label(pool)?, elements),
            Self::Nginx => nginx(elements),
            Self::Eds => Some(eds(pool, elements)),
            Self::PrometheusSd => {
                let targets = elements.iter().filter_map(|element| target(pool, element, port));
                let text = Value::Array(targets.collect()).to_string();
                Some(text + "\n")
            }
        }
    }
}

fn hosts(name: &str, elements: &[Element]) -> Option<String> {
    let mut text = String::from("# Written by rserpool watch; changes are lost.\n");
    for element in elements {
        for ip in element.user_transport.addresses() {
            writeln!(text, "{ip}\t{name} {:08x}.{name}", element.id.0).ok()?;
        }
    }
    Some(text)
}

/// The greatest weight that is told: what is above says nothing more, and Envoy adds them up.
const WEIGHT_MAX: u32 = 100;

/// A weight from 1 to [`WEIGHT_MAX`]; `None`: nothing at all.
fn weight(server: &Server<'_>) -> Option<u32> {
    let weight = (u32::from(server.weight) * WEIGHT_MAX).div_ceil(u32::from(u16::MAX));
    (weight > 0).then_some(weight)
}

fn nginx(elements: &[Element]) -> Option<String> {
    let mut text = String::from("# Written by rserpool watch; changes are lost.\n");
    let servers = servers(elements, None, Order::Weight);
    for server in &servers {
        let Some(at) = server.element.user_transport.socket_addrs().next() else { continue };
        // Who is not of the highest priority is there for when that is gone.
        let backup = if server.priority > 0 { " backup" } else { "" };
        match weight(server) {
            Some(weight) => writeln!(text, "server {at} weight={weight}{backup};").ok()?,
            None => writeln!(text, "server {at} down;").ok()?,
        }
    }
    if servers.is_empty() {
        // An upstream has at least one.
        text.push_str("server 0.0.0.1:1 down;\n");
    }
    Some(text)
}

fn eds(pool: &PoolHandle, elements: &[Element]) -> String {
    let servers = servers(elements, None, Order::Weight);
    let last = servers.iter().map(|server| server.priority).max();
    let endpoints = (0..=last.unwrap_or_default()).map(|priority| {
        let of_priority = servers.iter().filter(|server| server.priority == priority);
        let endpoint = |server: &Server<'_>| {
            let at = server.element.user_transport.socket_addrs().next()?;
            let address = json!({ "address": at.ip().to_string(), "port_value": at.port() });
            Some(json!({
                "endpoint": { "address": { "socket_address": address } },
                "load_balancing_weight": weight(server)?,
            }))
        };
        let endpoints: Vec<Value> = of_priority.filter_map(endpoint).collect();
        json!({ "priority": priority, "lb_endpoints": endpoints })
    });
    let assignment = json!({
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": pool.to_string(),
        "endpoints": endpoints.collect::<Vec<_>>(),
    });
    let version = format!("{:08x}", crc32c::crc32c(assignment.to_string().as_bytes()));
    json!({ "version_info": version, "resources": [assignment] }).to_string() + "\n"
}

fn target(pool: &PoolHandle, element: &Element, port: Option<u16>) -> Option<Value> {
    let mut at = element.user_transport.socket_addrs().next()?;
    if let Some(port) = port {
        at.set_port(port);
    }
    Some(json!({
        "targets": [at.to_string()],
        "labels": {
            "__meta_rserpool_pool": pool.to_string(),
            "__meta_rserpool_element": element.id.to_string(),
            "__meta_rserpool_policy": element.policy.to_string(),
        },
    }))
}

#[cfg(test)]
mod tests {
    use rserpool::wire::param::RegistrationLife;
    use rserpool::{PeId, Transport};

    use super::*;

    fn element(id: u32, at: &str) -> Element {
        Element {
            id: PeId(id),
            home: None,
            life: RegistrationLife(-1),
            user_transport: Transport::tcp(at.parse().unwrap()),
            policy: "round-robin".parse().unwrap(),
            asap_transport: None,
        }
    }

    #[test]
    fn each_address_is_a_line_and_each_element_a_target() {
        let pool: PoolHandle = "web".parse().unwrap();
        let elements = [element(0x11, "10.0.0.7:80"), element(0x22, "[2001:db8::1]:81")];
        let hosts = FileFormat::Hosts.text(&pool, &elements, None).unwrap();
        let lines: Vec<&str> = hosts.lines().skip(1).collect();
        assert_eq!(lines, ["10.0.0.7\tweb 00000011.web", "2001:db8::1\tweb 00000022.web"]);
        let targets = |port| -> Value {
            let text = FileFormat::PrometheusSd.text(&pool, &elements, port).unwrap();
            serde_json::from_str(&text).unwrap()
        };
        assert_eq!(targets(None)[1]["targets"], json!(["[2001:db8::1]:81"]));
        assert_eq!(targets(Some(9100))[0]["targets"], json!(["10.0.0.7:9100"]));
        assert_eq!(targets(None)[0]["labels"]["__meta_rserpool_element"], "0x00000011");
        assert_eq!(FileFormat::PrometheusSd.text(&pool, &[], None).unwrap(), "[]\n");
    }

    #[test]
    fn weights_and_priorities_are_as_each_program_has_them() {
        let pool: PoolHandle = "web".parse().unwrap();
        let mut elements = [element(1, "10.0.0.7:80"), element(2, "[2001:db8::1]:81")];
        let set = |elements: &mut [Element; 2], policies: [&str; 2]| {
            for (element, policy) in elements.iter_mut().zip(policies) {
                element.policy = policy.parse().unwrap();
            }
        };
        let lines = |elements: &[Element]| -> Vec<String> {
            let text = FileFormat::Nginx.text(&pool, elements, None).unwrap();
            text.lines().skip(1).map(str::to_owned).collect()
        };
        set(&mut elements, ["weighted-random:10", "weighted-random:0"]);
        let expected = ["server 10.0.0.7:80 weight=100;", "server [2001:db8::1]:81 down;"];
        assert_eq!(lines(&elements), expected);
        set(&mut elements, ["priority:1", "priority:2"]);
        assert_eq!(lines(&elements)[0], "server 10.0.0.7:80 weight=100 backup;");
        assert_eq!(lines(&[]), ["server 0.0.0.1:1 down;"]);
        let eds = |elements: &[Element]| -> Value {
            let text = FileFormat::Eds.text(&pool, elements, None).unwrap();
            serde_json::from_str(&text).unwrap()
        };
        let told = eds(&elements);
        let assignment = &told["resources"][0];
        assert_eq!(assignment["cluster_name"], "web");
        let address = |priority: usize| {
            let endpoint = &assignment["endpoints"][priority]["lb_endpoints"][0];
            assert_eq!(endpoint["load_balancing_weight"], 100);
            endpoint["endpoint"]["address"]["socket_address"].clone()
        };
        assert_eq!(address(0), json!({ "address": "2001:db8::1", "port_value": 81 }));
        assert_eq!(address(1), json!({ "address": "10.0.0.7", "port_value": 80 }));
        // Another content is another version, and the same one is the same.
        assert_eq!(told, eds(&elements));
        assert_ne!(told["version_info"], eds(&elements[..1])["version_info"]);
        assert_eq!(eds(&[])["resources"][0]["endpoints"][0]["lb_endpoints"], json!([]));
    }

    #[test]
    fn no_handle_ends_a_line() {
        let pool = PoolHandle::new(b"a b\n10.0.0.1 bank.example").unwrap();
        let elements = [element(1, "10.0.0.7:80")];
        let text = FileFormat::Hosts.text(&pool, &elements, None).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert_eq!(text.lines().last().unwrap().split_whitespace().count(), 3);
        let long = PoolHandle::new([b' '; 100]).unwrap();
        assert_eq!(FileFormat::Hosts.text(&long, &elements, None), None);
    }
}
