//! Interoperability: whole programs against each other, on SCTP of a real kernel and without it,
//! with a capture that tshark judges.
//!
//! `cargo xtask interop [NAME...]` runs each scenario in a place of its own, where it is this
//! program again: a guest of User Mode Linux, or a network namespace of the host. What a scenario
//! that failed leaves (logs, capture, `result.json`) is in `interop/out/NAME`, and what one leaves
//! that was asked for by its name.

mod asap;
mod beside;
mod capture;
mod demo;
mod hostile;
mod hosts;
mod judge;
mod lab;
mod loss;
mod networks;
mod octets;
mod paths;
mod peers;
mod pool;
mod process;
mod rsplib;
mod scope;
mod services;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use self::lab::Lab;
use crate::root;

/// Where a scenario runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// User Mode Linux: SCTP of the kernel, one processor, slow system calls.
    Guest,
    /// A network namespace of this machine.
    Namespace,
}

/// Programs against each other.
struct Scenario {
    name: &'static str,
    /// Who serves whom.
    direction: &'static str,
    place: Place,
    /// Commands that it needs besides ours.
    needs: &'static [&'static str],
    /// No result depends on it: a scenario that hangs is stopped.
    limit: Duration,
    /// Which frames are ours, as a filter of tshark: none of them may be malformed.
    judged: &'static str,
    /// What tshark does not find out itself, as its option `-d` wants it.
    decode_as: &'static [&'static str],
    /// Somebody in it says what cannot be read.
    is_hostile: bool,
    /// Nobody says anything in it: there is no capture to judge.
    is_silent: bool,
    /// Its result are figures: it runs only when it is asked for, and as quick as we can.
    measures: bool,
    /// It takes minutes: it runs only when it is asked for.
    is_long: bool,
    run: fn(&mut Lab) -> anyhow::Result<Value>,
}

/// tshark does not know that SCTP may be in UDP. Nothing else is in most captures.
const ENCAPSULATED: &[&str] = &["udp.port==1-65535,sctp"];
const LIMIT: Duration = Duration::from_secs(300);

/// What a scenario in the guest needs.
const GUEST: &[&str] = &["linux.uml", "dumpcap", "tshark"];
/// What a scenario in a namespace needs.
const NAMESPACE: &[&str] = &["unshare", "dumpcap", "tshark"];
/// What a scenario with rsplib needs.
const RSPLIB: &[&str] =
    &["linux.uml", "dumpcap", "tshark", "rspregistrar", "rspserver", "rspterminal", "stdbuf"];

/// What a scenario needs that measures.
const MEASURING: &[&str] = &[
    "linux.uml",
    "dumpcap",
    "tshark",
    "rspregistrar",
    "rspserver",
    "rspterminal",
    "stdbuf",
    "valgrind",
    "strace",
];

/// What a scenario with rsplib's services needs.
const SERVICES: &[&str] = &[
    "linux.uml",
    "dumpcap",
    "tshark",
    "rspserver",
    "stdbuf",
    "pingpongclient",
    "calcappclient",
    "fractalpooluser",
];

/// A scenario in which all programs are ours.
const fn ours(
    name: &'static str,
    direction: &'static str,
    place: Place,
    run: fn(&mut Lab) -> anyhow::Result<Value>,
) -> Scenario {
    let needs = match place {
        Place::Guest => GUEST,
        Place::Namespace => NAMESPACE,
    };
    Scenario {
        name,
        direction,
        place,
        needs,
        limit: LIMIT,
        judged: "frame",
        decode_as: ENCAPSULATED,
        is_hostile: false,
        is_silent: false,
        measures: false,
        is_long: false,
        run,
    }
}

/// A scenario of minutes in the guest, in which all programs are ours.
const fn long(
    name: &'static str,
    direction: &'static str,
    run: fn(&mut Lab) -> anyhow::Result<Value>,
) -> Scenario {
    Scenario { is_long: true, ..ours(name, direction, Place::Guest, run) }
}

/// A scenario with rsplib, which needs SCTP of the kernel.
const fn with_rsplib(
    name: &'static str,
    direction: &'static str,
    judged: &'static str,
    run: fn(&mut Lab) -> anyhow::Result<Value>,
) -> Scenario {
    Scenario { judged, needs: RSPLIB, ..ours(name, direction, Place::Guest, run) }
}

/// A scenario with services of rsplib and ours in one pool.
const fn in_one_pool(name: &'static str, run: fn(&mut Lab) -> anyhow::Result<Value>) -> Scenario {
    let judged = "sctp.srcport == 3863 || ip.src == 10.0.0.3";
    Scenario { needs: SERVICES, ..with_rsplib(name, IN_ONE_POOL, judged, run) }
}

/// All scenarios, in the order in which they run.
const SCENARIOS: &[Scenario] = &[
    ours("pool-kernel", KERNEL, Place::Guest, pool::over_kernel_sctp),
    ours("pool-userland", USERLAND, Place::Namespace, pool::over_userland_sctp),
    ours("pool-tcp", TCP, Place::Namespace, pool::over_tcp),
    ours("scope-kernel", KERNEL, Place::Guest, scope::over_kernel_sctp),
    ours("scope-userland", USERLAND, Place::Namespace, scope::over_userland_sctp),
    ours("scope-tcp", TCP, Place::Namespace, scope::over_tcp),
    ours("both-killed-kernel", KERNEL, Place::Guest, scope::both_killed_over_kernel_sctp),
    ours("both-killed-userland", USERLAND, Place::Namespace, scope::both_killed_over_userland_sctp),
    ours("partition-kernel", KERNEL, Place::Guest, scope::partition_over_kernel_sctp),
    ours("partition-userland", USERLAND, Place::Namespace, scope::partition_over_userland_sctp),
    ours("partition-tcp", TCP, Place::Namespace, scope::partition_over_tcp),
    ours("demo-kernel", KERNEL, Place::Guest, demo::over_kernel_sctp),
    ours("demo-userland", USERLAND, Place::Namespace, demo::over_userland_sctp),
    ours("multihomed", KERNEL, Place::Guest, networks::multihomed),
    ours("addresses", KERNEL, Place::Guest, networks::addresses),
    ours("encapsulated", "userland SCTP and the kernel's", Place::Guest, networks::encapsulated),
    long("loss-kernel", "ours, kernel SCTP, 3 % loss", loss::over_kernel_sctp),
    long("loss-userland", "ours, SCTP over UDP, 3 % loss", loss::over_userland_sctp),
    long("loss-tcp", "ours, TCP, 3 % loss", loss::over_tcp),
    long("cut-tcp", "ours, TCP, a wire is cut", loss::cut_over_tcp),
    Scenario {
        // What is said in it is of no protocol that `decode` reads.
        is_hostile: true,
        ..ours("userland-paths", "SCTP with paths and the kernel's", Place::Guest, paths::run)
    },
    Scenario {
        decode_as: &["udp.port==3863,asap", "udp.port==9901,enrp"],
        ..with_rsplib("multicast", PEERS, networks::OURS_AT_2, networks::multicast)
    },
    with_rsplib("rsplib-to-ours", AT_OURS, "sctp.srcport == 3863", rsplib::at_our_registrar),
    with_rsplib(
        "rsplib-policies",
        AT_OURS,
        "sctp.srcport == 3863",
        rsplib::policies_at_our_registrar,
    ),
    with_rsplib("rsplib-from-ours", AT_THEIRS, "sctp.dstport == 3863", rsplib::at_their_registrar),
    with_rsplib(
        "rsplib-our-policies",
        AT_THEIRS,
        "sctp.dstport == 3863",
        rsplib::policies_at_their_registrar,
    ),
    Scenario { is_silent: true, ..ours("bad-input", KERNEL, Place::Guest, settings::run) },
    Scenario {
        judged: hostile::JUDGED,
        is_hostile: true,
        ..ours("hostile", ODD, Place::Guest, hostile::run)
    },
    with_rsplib("peers", PEERS, OURS_IN_PEERS, peers::share),
    with_rsplib("peers-takeover", PEERS, OURS_IN_PEERS, peers::take_over),
    with_rsplib("peers-arbitration", PEERS, OURS_IN_PEERS, peers::arbitration::run),
    Scenario {
        limit: Duration::from_secs(600),
        measures: true,
        needs: MEASURING,
        ..with_rsplib("beside", "rsplib's costs and ours", "sctp.srcport == 3863", beside::run)
    },
    in_one_pool("services-pingpong", services::pingpong),
    in_one_pool("services-failures", services::failures::run),
    in_one_pool("services-calcapp", services::calcapp),
    in_one_pool("services-fractal", services::fractal),
    in_one_pool("services-fractal-user", services::fractal_user),
];
const IN_ONE_POOL: &str = "rsplib and ours, services";
const KERNEL: &str = "ours, kernel SCTP";
const USERLAND: &str = "ours, SCTP over UDP";
const TCP: &str = "ours, TCP";
const PEERS: &str = "rsplib and ours, registrars";
/// What our registrar among those of rsplib sends.
const OURS_IN_PEERS: &str = "ip.src == 10.0.0.2 && (sctp.srcport == 9901 || sctp.srcport == 3863)";
const ODD: &str = "rsplib's and worse, to ours";
const AT_OURS: &str = "rsplib at our registrar";
const AT_THEIRS: &str = "ours at rsplib's registrar";

/// How a scenario went.
enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

/// Runs the scenarios of these names, or all that neither measure nor take minutes, and prints a
/// table.
pub(crate) fn run(names: &[&str]) -> anyhow::Result<()> {
    for name in names {
        find(name)?;
    }
    let is_named = |scenario: &Scenario| names.contains(&scenario.name);
    let chosen = |scenario: &&Scenario| match names.is_empty() {
        true => !scenario.measures && !scenario.is_long,
        false => is_named(scenario),
    };
    build("demo")?;
    if SCENARIOS.iter().filter(chosen).any(|scenario| scenario.measures) {
        build("release")?;
    }
    let mut table = Vec::new();
    let mut failed = 0;
    for scenario in SCENARIOS.iter().filter(chosen) {
        eprintln!("== {}", scenario.name);
        let started = Instant::now();
        let outcome = outside(scenario);
        let seconds = started.elapsed().as_secs_f64();
        let result = match outcome {
            Outcome::Passed => {
                if names.is_empty() {
                    forget(scenario)?;
                }
                "passed"
            }
            Outcome::Skipped(why) => {
                println!("SKIPPED: {}: {why}", scenario.name);
                "SKIPPED"
            }
            Outcome::Failed(why) => {
                println!("{}: {why}", scenario.name);
                failed += 1;
                "FAILED"
            }
        };
        let Scenario { name, direction, .. } = scenario;
        table.push(format!("{name:20} {direction:32} {result:8} {seconds:6.1}"));
    }
    println!("{:20} {:32} {:8} {:>6}", "scenario", "direction", "result", "s");
    println!("{}", table.join("\n"));
    ensure!(failed == 0, "{failed} of {} scenarios failed", table.len());
    Ok(())
}

/// The scenarios by name, and who is asked by whom in each.
pub(crate) fn help() -> String {
    let rows = SCENARIOS.iter().map(|one| {
        let asked_for = if one.measures || one.is_long { ", only where it is named" } else { "" };
        format!("  {:20} {}{asked_for}", one.name, one.direction)
    });
    let rows: Vec<String> = rows.collect();
    format!("usage: cargo xtask interop [NAME...]\n\n{}", rows.join("\n"))
}

/// Runs one scenario where it belongs; this is the program there.
pub(crate) fn inside(name: &str) -> anyhow::Result<()> {
    let scenario = find(name)?;
    let mut lab = Lab::open(binary(scenario), out(scenario))?;
    let result = (scenario.run)(&mut lab)?;
    lab.close()?;
    let text = serde_json::to_string_pretty(&result)?;
    fs::write(out(scenario).join("result.json"), format!("{text}\n")).context("result.json")
}

fn find(name: &str) -> anyhow::Result<&'static Scenario> {
    let Some(scenario) = SCENARIOS.iter().find(|scenario| scenario.name == name) else {
        let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        bail!("no scenario {name}; there are {}", names.join(", "));
    };
    Ok(scenario)
}

/// Starts the scenario in its place, then has its capture judged.
fn outside(scenario: &Scenario) -> Outcome {
    let missing: Vec<&str> =
        scenario.needs.iter().copied().filter(|command| !is_installed(command)).collect();
    if !missing.is_empty() {
        return Outcome::Skipped(format!("{} is not installed", missing.join(", ")));
    }
    let done = start(scenario).and_then(|()| {
        let out = out(scenario);
        let result = fs::read_to_string(out.join("result.json")).context("result.json")?;
        let judgement = match scenario.is_silent {
            true => String::new(),
            false => judge::run(&out, &binary(scenario), scenario)?,
        };
        println!("{}", format!("{result}{judgement}").trim_end());
        Ok(())
    });
    done.map_or_else(|error| Outcome::Failed(format!("{error:#}")), |()| Outcome::Passed)
}

fn start(scenario: &Scenario) -> anyhow::Result<()> {
    let out = out(scenario);
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("cannot empty {}", out.display()))?;
    }
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let limit = scenario.limit.as_secs().to_string();
    let mut command = match scenario.place {
        Place::Guest => {
            let mut command = Command::new(root().join("interop/uml-run"));
            command.args(["--module", "bridge", "--timeout", &limit]);
            command
        }
        Place::Namespace => {
            let mut command = Command::new("unshare");
            // When the scenario ends, so does all that it has started.
            command.args(["--net", "--pid", "--mount-proc", "--fork", "--kill-child"]);
            command.args(["timeout", "--kill-after", "2", &limit]);
            command
        }
    };
    let program = std::env::current_exe().context("which program is this")?;
    command.arg(program).args(["interop", "--inside", scenario.name]);
    let status = command.current_dir(root()).status().context("cannot start it")?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => bail!("failed; its logs are in {}", out.display()),
        Some(124 | 137) => bail!("hung for {limit} s; its logs are in {}", out.display()),
        _ => bail!("ended with {status}"),
    }
}

/// Builds the program under test, as `cargo demo` does.
fn build(profile: &str) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Each alone: what is for tests in the libraries of an example is not to be in the program.
    for (package, target) in [
        ("rserpool-cli", ["--bin", "rserpool"]),
        ("rserpool-transport", ["--example", "speak"]),
        ("rserpool-transport", ["--example", "echo"]),
        ("rserpool-sctp", ["--example", "paths"]),
    ] {
        let status = Command::new(&cargo)
            .args(["build", "--quiet", "--profile", profile, "--package", package])
            .args(target)
            .current_dir(root())
            .status()
            .context("cargo")?;
        ensure!(status.success(), "{package} does not build");
    }
    Ok(())
}

fn binary(scenario: &Scenario) -> PathBuf {
    let profile = if scenario.measures { "release" } else { "demo" };
    root().join("target").join(profile).join("rserpool")
}

/// Leaves nothing of a scenario, and no folder if it was the last one.
fn forget(scenario: &Scenario) -> anyhow::Result<()> {
    let out = out(scenario);
    fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
    // It stays where there is something of others in it.
    let _ = out.parent().map(fs::remove_dir);
    Ok(())
}

fn out(scenario: &Scenario) -> PathBuf {
    root().join("interop/out").join(scenario.name)
}

fn is_installed(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| Path::new(&folder).join(command).is_file())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The last column of the tables of docs/rsplib.md.
    #[test]
    fn the_page_on_rsplib_names_tests_and_scenarios_that_exist() {
        let mut known: BTreeSet<String> = SCENARIOS.iter().map(|one| one.name.into()).collect();
        for file in crate::tree::text_files().unwrap().iter().filter(|file| file.is_source()) {
            for rest in file.text.split("fn ").skip(1) {
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                known.insert(name.to_owned());
            }
        }
        let page = fs::read_to_string(root().join("docs/rsplib.md")).unwrap();
        let rows = page.lines().filter(|line| line.starts_with("| "));
        let shown = rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit('|').next());
        let names = shown.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let missing: Vec<&str> = names.filter(|name| !known.contains(*name)).collect();
        assert_eq!(missing, [""; 0]);
    }
}
