//! What `rserpool bench` reports. How quick anything was is no matter of a test.

use crate::programs::run;

#[test]
fn a_killed_registrar_fails_no_resolution_and_the_report_says_so() {
    let args = ["bench", "failover", "--rounds", "2", "--scenario", "killed"];
    let report = run(&[&args[..], &["--transport", "tcp", "-o", "json"]].concat()).json();
    assert_eq!(report["rounds"], 2);
    assert!(report["floor"]["tcp_echo_us"]["median"].is_number());
    let results = report["results"].as_array().unwrap();
    let [killed] = &results[..] else { panic!("{results:?}") };
    assert_eq!(killed["scenario"], "killed");
    assert_eq!(killed["transport"], "tcp");
    assert_eq!(killed["profile"], "fast");
    assert_eq!(killed["measures"]["failed"]["max"], 0.0);
    let gaps = ["resolution_gap_ms", "registration_gap_ms"];
    has_measures(killed, &[&gaps[..], &["noticed_ms", "changed_ms"]].concat());
}

/// What is told of a measure, each a number.
fn has_measures(result: &serde_json::Value, measures: &[&str]) {
    for measure in measures {
        let series = &result["measures"][measure];
        for part in ["median", "min", "max"] {
            assert!(series[part].is_number(), "{measure}: {result}");
        }
    }
}

fn has_two_processors() -> bool {
    std::thread::available_parallelism().is_ok_and(|count| count.get() > 1)
}

#[test]
fn a_registrar_is_measured_beside_the_floor_or_not_at_all() {
    let args = ["bench", "registrar", "--rounds", "1", "--seconds", "1", "--case", "resolve-3"];
    let ended = run(&[&args[..], &["--transport", "tcp", "-o", "json"]].concat());
    if !has_two_processors() {
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
        return;
    }
    let report = ended.json();
    let results = report["results"].as_array().unwrap();
    let clients: Vec<&str> = results.iter().filter_map(|it| it["clients"].as_str()).collect();
    assert_eq!(clients, ["1", "50", "8"]);
    for result in results {
        has_measures(result, &["rate_per_s", "floor_per_s", "p99_us", "server_us", "resident_mb"]);
    }
}

#[test]
fn a_registrar_is_measured_over_tls_beside_tcp() {
    let cases = ["--case", "resolve-3", "--case", "handshake", "--case", "reconnect", "--case"];
    let args = ["bench", "registrar", "--rounds", "1", "--seconds", "1", "--transport", "tls"];
    if !has_two_processors() {
        return;
    }
    let report = run(&[&args[..], &cases, &["idle", "-o", "json"]].concat()).json();
    let results = report["results"].as_array().unwrap();
    let kinds: Vec<&str> = results.iter().filter_map(|it| it["case"].as_str()).collect();
    let resolve = ["resolve-3"; 3];
    assert_eq!(kinds, [&resolve[..], &["handshake", "reconnect", "idle"]].concat());
    for result in results {
        assert_eq!(result["transport"], "tls");
        let measure = |name: &str| result["measures"][name]["median"].as_f64();
        match result["case"].as_str().unwrap() {
            "resolve-3" => has_measures(result, &["rate_per_s", "tcp_per_s", "tcp_part"]),
            "handshake" => {
                has_measures(result, &["rate_per_s", "per_core_per_s"]);
                assert_eq!(measure("resumed_part"), Some(0.0));
            }
            "reconnect" => {
                has_measures(result, &["rate_per_s", "per_core_per_s", "tcp_part"]);
                assert!(measure("resumed_part") > Some(0.5), "{result}");
            }
            _ => has_measures(result, &["kb_each", "resident_mb"]),
        }
    }
}

#[test]
fn a_registrar_is_measured_without_a_network() {
    let args = ["bench", "registrar", "--rounds", "1", "--seconds", "1", "--transport", "none"];
    if !has_two_processors() {
        return;
    }
    let report = run(&[&args[..], &["-o", "json"]].concat()).json();
    let results = report["results"].as_array().unwrap();
    let cases: Vec<&str> = results.iter().filter_map(|it| it["case"].as_str()).collect();
    assert_eq!(cases, ["resolve-3", "register"]);
    results.iter().for_each(|result| has_measures(result, &["rate_per_s", "server_us"]));
}

#[test]
fn a_handlespace_is_measured_in_each_size() {
    let args = ["bench", "handlespace", "--rounds", "2", "--elements", "10", "--elements", "1000"];
    let policy = ["--policy", "least-used", "--pools", "1", "-o", "json"];
    let report = run(&[&args[..], &policy].concat()).json();
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    for result in results {
        assert_eq!(result["policy"], "least-used");
        has_measures(result, &["register", "renew", "resolve_3", "expire", "table"]);
    }
}

#[test]
fn a_footprint_has_sizes_and_times() {
    let args = ["bench", "footprint", "--rounds", "1", "--elements", "0", "--elements", "500"];
    let report = run(&[&args[..], &["-o", "json"]].concat()).json();
    has_measures(&report["results"][0], &["binary_mb", "ready_ms", "resident_mb"]);
    has_measures(&report["results"][1], &["resident_mb", "octets", "registered_s"]);
}

#[test]
fn in_a_storm_those_who_vanish_are_gone_and_those_who_stay_are_there() {
    if !has_two_processors() {
        return;
    }
    let args = ["bench", "storm", "--rounds", "1", "--elements", "2000", "--seconds", "1"];
    let report = run(&[&args[..], &["-o", "json"]].concat()).json();
    let results = report["results"].as_array().unwrap();
    for (result, scenario) in results.iter().zip(["killed", "frozen", "busy"]) {
        assert_eq!(result["scenario"], scenario);
        has_measures(result, &["resolution_p99_ms", "removed"]);
        assert_eq!(result["measures"]["failed"]["max"], 0.0, "{result}");
    }
    has_measures(&results[0], &["gone_s", "detection_s"]);
}

#[test]
fn sessions_lose_nothing_with_their_servers_and_the_report_says_so() {
    let args = ["bench", "session", "--rounds", "1", "--transport", "tcp", "-o", "json"];
    let report = run(&[&args[..], &["--sessions", "50", "--kills", "3"]].concat()).json();
    let results = report["results"].as_array().unwrap();
    let scenarios: Vec<&str> = results.iter().filter_map(|it| it["scenario"].as_str()).collect();
    assert_eq!(scenarios, ["killed", "frozen", "crowd", "kills"]);
    has_measures(&results[0], &["answer_ms", "calm_answer_ms"]);
    has_measures(&results[1], &["answer_ms", "calm_answer_ms"]);
    has_measures(&results[2], &["sessions", "moved_ms"]);
    has_measures(&results[3], &["kills", "questions", "lost", "repeated", "gaps", "restarts"]);
    assert_eq!(results[2]["measures"]["sessions"]["median"], 50.0);
    assert_eq!(results[3]["measures"]["kills"]["median"], 3.0);
}

#[test]
fn an_attack_is_played_beside_honest_elements_and_users() {
    if !has_two_processors() {
        return;
    }
    let args = ["bench", "attack", "--seconds", "1", "--scenario", "rejected", "-o", "json"];
    let report = run(&args).json();
    let [result] = &report["results"].as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!(result["scenario"], "rejected");
    has_measures(result, &["honest_p50_ms", "honest_p99_ms", "quiet_p50_ms", "quiet_p99_ms"]);
    has_measures(result, &["failed", "resident_mb", "grown_mb", "log_octets_min"]);
    assert_eq!(result["measures"]["missing"]["max"], 0.0);
    for count in ["looks", "attacks"] {
        assert!(result["measures"][count]["min"].as_f64().unwrap() > 0.0, "{count}: {result}");
    }
}
