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
    for measure in ["resolution_gap_ms", "registration_gap_ms", "noticed_ms", "changed_ms"] {
        let series = &killed["measures"][measure];
        for part in ["median", "min", "max"] {
            assert!(series[part].is_number(), "{measure}: {series}");
        }
    }
}
