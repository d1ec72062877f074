//! Metrics, and what is shipped to watch them.

use std::collections::{BTreeMap, BTreeSet};

use rserpool::proto::handlespace::LimitCounts;
use rserpool::proto::registrar::Stats;
use rserpool::transport::Counters;
use serde_json::Value;

use super::Lab;

const ALERTS: &str = include_str!("../../../../../packaging/prometheus/alerts.yml");
const GRAFANA: &str = include_str!("../../../../../packaging/grafana/rserpool.json");

/// The names with their types, and all lines that are values.
fn parsed(text: &str) -> (BTreeMap<&str, &str>, Vec<&str>) {
    let (mut types, mut helps, mut values) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(types.insert(name, kind).is_none(), "{name} is there twice");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(help.len() > 3, "{line}");
            helps.insert(name);
        } else {
            values.push(line);
        }
    }
    assert_eq!(helps, types.keys().copied().collect());
    (types, values)
}

fn name_of(line: &str) -> &str {
    line.split(['{', ' ']).next().unwrap()
}

async fn metrics(lab: &Lab) -> String {
    String::from_utf8(lab.get("/metrics").await.body.to_vec()).unwrap()
}

#[tokio::test]
async fn each_counter_is_one_value_of_one_metric() {
    let lab = Lab::new().await;
    let text = metrics(&lab).await;
    let (types, values) = parsed(&text);
    let distinct: BTreeSet<&str> =
        values.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    assert_eq!(distinct.len(), values.len());
    assert!(values.iter().all(|line| types.contains_key(name_of(line))));
    for (name, kind) in &types {
        assert_eq!(*kind == "counter", name.ends_with("_total"), "{name}");
    }
    let (own, limits, transport) = (Stats::default(), LimitCounts::default(), Counters::default());
    let own = own.counters().chain(limits.counters()).map(|it| ("", it));
    for (prefix, counter) in own.chain(transport.counters().map(|it| ("transport_", it))) {
        let label = counter.label.map(|(label, value)| format!("{{{label}=\"{value}\"}}"));
        let series = format!("rserpool_{prefix}{}{} ", counter.metric, label.unwrap_or_default());
        let found = values.iter().filter(|line| line.starts_with(&series)).count();
        assert_eq!(found, 1, "{series}");
    }
    let value = |series: &str| values.iter().find_map(|line| line.strip_prefix(series)).unwrap();
    assert_eq!(value("rserpool_registrations_total{result=\"accepted\"} "), "2");
    assert_eq!(value("rserpool_elements{home=\"own\"} "), "2");
    assert_eq!(value("rserpool_state{state=\"serving\"} "), "1");
}

#[tokio::test]
async fn only_the_largest_pools_have_metrics_of_their_own() {
    let config = super::AdminConfig { metrics_pools_max: 1, ..super::AdminConfig::default() };
    let mut lab = Lab::with(config).await;
    lab.join(b"EchoPool", 3).await;
    let text = metrics(&lab).await;
    assert!(text.contains("rserpool_pool_elements{pool=\"EchoPool\"} 2\n"), "{text}");
    assert_eq!(text.matches("rserpool_pool_elements{").count(), 1);
    assert!(text.contains("rserpool_pools_without_series 1\n"));
    let without = lab.get("/metrics?pools=none").await.body;
    assert!(!String::from_utf8_lossy(&without).contains("rserpool_pool_elements"));
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c));
    let ours = words.filter(|word| word.starts_with("rserpool_") || word.starts_with("process_"));
    ours.map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn alerts_and_dashboards_ask_for_metrics_that_there_are() {
    let lab = Lab::new().await;
    let peer = lab.peer().await;
    super::soon(async {
        while lab.json("/v1/peers").await["items"][0]["checksum_told"].is_null() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let text = metrics(&lab).await;
    let (types, _) = parsed(&text);
    for name in names(ALERTS).union(&names(GRAFANA)) {
        assert!(types.contains_key(name.as_str()), "{name}");
    }
    let dashboard: Value = serde_json::from_str(GRAFANA).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    super::soon(peer.stop()).await;
}
