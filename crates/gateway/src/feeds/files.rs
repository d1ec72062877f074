//! Files that say who is in a pool.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use rserpool::PoolHandle;
use rserpool::user::Element;
use serde_json::{Value, json};

use crate::dns::label;

/// The form of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FileFormat {
    /// As `/etc/hosts`: a line for each address, with the pool's name, and a name for each element.
    Hosts,
    /// Targets for the `file_sd_configs` of Prometheus.
    PrometheusSd,
}

/// What is the name of no form.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("hosts or prometheus-sd")]
pub struct FileFormatParseError;

impl FromStr for FileFormat {
    type Err = FileFormatParseError;

    fn from_str(text: &str) -> Result<Self, FileFormatParseError> {
        match text {
            "hosts" => Ok(Self::Hosts),
            "prometheus-sd" => Ok(Self::PrometheusSd),
            _ => Err(FileFormatParseError),
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hosts => "hosts",
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
