//! Downloads that go on at another server.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use super::{client, in_order};
use crate::programs::{Ended, Program, Registrar, Server, run, until};

const LEN: usize = 24 << 20;

/// A root with one large file, whose octets do not repeat.
fn root() -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let words = (0..u32::try_from(LEN / 4).unwrap()).map(|n| n.wrapping_mul(0x9e37_79b1));
    let octets: Vec<u8> = words.flat_map(u32::to_be_bytes).collect();
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join("sub/large"), &octets).unwrap();
    fs::write(folder.path().join("small"), "small\n").unwrap();
    (folder, octets)
}

fn get(registrar: &Registrar, from: &str, to: &Path) -> Program {
    client(registrar, &["get", "--json", from, "-O", to.to_str().unwrap()])
}

/// Waits until some of the file is there.
fn some_is_there(file: &Path) {
    let part = file.with_extension("part");
    until("some of the file", || fs::metadata(&part).is_ok_and(|status| status.len() > (1 << 20)));
}

fn failovers(ended: &Ended) -> Value {
    ended.json()["failovers"].take()
}

#[test]
fn a_download_goes_on_where_it_was() {
    for transport in ["tcp", "sctp"] {
        let registrar = Registrar::patient();
        let (root, octets) = root();
        let args = ["download", "--transport", transport, "--root", root.path().to_str().unwrap()];
        let mut servers = in_order(&registrar, 2, &args);
        let file = root.path().join("copy");
        let getting = get(&registrar, "DownloadPool/sub/large", &file);
        some_is_there(&file);
        servers[0].program.kill();
        let ended = getting.ended();
        assert_eq!(failovers(&ended), 1, "{ended:?}");
        assert_eq!(ended.json()["octets"], LEN);
        assert!(fs::read(&file).unwrap() == octets, "another file");
    }
}

#[test]
fn servers_that_leave_or_have_other_files_are_told_apart() {
    let registrar = Registrar::patient();
    let ((ours, octets), (theirs, _)) = (root(), root());
    fs::write(theirs.path().join("sub/large"), &octets[..LEN - 1]).unwrap();
    let args = |root: &Path| ["--root".to_owned(), root.to_str().unwrap().to_owned()];
    let serve = |root: &Path, count| {
        let args = args(root);
        in_order(&registrar, count, &["download", "--transport", "tcp", &args[0], &args[1]])
    };
    let mut good = serve(ours.path(), 2);
    let file = ours.path().join("copy");
    let getting = get(&registrar, "DownloadPool/sub/large", &file);
    some_is_there(&file);
    good[0].program.signal(Signal::TERM);
    let ended = getting.ended();
    assert_eq!(failovers(&ended), 1, "{ended:?}");
    assert!(fs::read(&file).unwrap() == octets, "another file");

    let _bad = serve(theirs.path(), 1);
    let getting = get(&registrar, "DownloadPool/sub/large", &file);
    some_is_there(&file);
    good[1].program.kill();
    let ended = getting.ended();
    assert!(ended.failure(1).contains("different sizes"), "{ended:?}");
    // The file from before is still there.
    assert!(fs::read(&file).unwrap() == octets, "another file");
    assert!(!file.with_extension("part").exists());
}

#[test]
fn what_is_not_below_the_root_is_not_to_be_had() {
    let registrar = Registrar::patient();
    let (root, _) = root();
    fs::write(root.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret", root.path().join("sub/link")).unwrap();
    let sub = root.path().join("sub");
    let args = ["download", "--transport", "tcp", "--root", sub.to_str().unwrap()];
    let _servers = in_order(&registrar, 1, &args);
    let file = root.path().join("copy");
    for path in ["../secret", "link", "none", "large/x", "."] {
        let ended = get(&registrar, &format!("DownloadPool/{path}"), &file).ended();
        assert!(ended.failure(1).contains("has a file"), "{ended:?}");
        assert!(!file.exists());
    }
    let absolute = format!("DownloadPool/{}", root.path().join("secret").display());
    get(&registrar, &absolute, &file).ended().failure(1);
}

#[test]
fn another_try_goes_on_where_the_last_one_was() {
    let registrar = Registrar::patient();
    let (root, octets) = root();
    let file = root.path().join("copy");
    let part = file.with_extension("part");
    // Without a server what there is stays.
    fs::write(&part, &octets[..LEN - 1000]).unwrap();
    let ended = get(&registrar, "DownloadPool/sub/large", &file).ended();
    assert!(ended.failure(68).contains("copy.part stays for another try"), "{ended:?}");
    let args = ["download", "--transport", "tcp", "--root", root.path().to_str().unwrap()];
    let _servers = in_order(&registrar, 1, &args);
    let longer = [&octets[..], b"more"].concat();
    let other = [b"other", &octets[5..LEN / 2]].concat();
    let cases = [
        (&octets[..LEN - 1000], LEN - 1000),
        (&octets[..], LEN),
        // What is of another file is found out, and fetched again.
        (&longer[..], 0),
        (&other[..], 0),
    ];
    for (before, kept) in cases {
        fs::write(&part, before).unwrap();
        let ended = get(&registrar, "DownloadPool/sub/large", &file).ended();
        assert_eq!((&ended.json()["kept"], failovers(&ended)), (&kept.into(), 0.into()));
        assert!(fs::read(&file).unwrap() == octets, "another file");
        assert!(!part.exists());
    }
}

#[test]
fn servers_that_do_not_have_the_file_are_passed_over() {
    let registrar = Registrar::patient();
    let (root, octets) = root();
    let empty = tempfile::tempdir().unwrap();
    let serve = |root: &Path, policy: &str| {
        let args = ["download", "--transport", "tcp", "--policy", policy, "--root"];
        let root = root.to_str().unwrap();
        Server::start(registrar.tcp(), &[&args[..], &[root]].concat())
    };
    let _lacking = [serve(empty.path(), "priority:3"), serve(empty.path(), "priority:2")];
    let _has_it = serve(root.path(), "priority:1");
    let file = root.path().join("copy");
    let ended = get(&registrar, "DownloadPool/sub/large", &file).ended();
    assert_eq!(failovers(&ended), 0, "{ended:?}");
    assert!(fs::read(&file).unwrap() == octets, "another file");
    let ended = get(&registrar, "DownloadPool/none", &file).ended();
    let expected = "no server of DownloadPool has a file none";
    assert!(ended.failure(1).contains(expected), "{ended:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_a_clear_error() {
    let registrar = Registrar::patient();
    let (root, _) = root();
    let args = ["download", "--transport", "tcp", "--root", root.path().to_str().unwrap()];
    let _servers = in_order(&registrar, 1, &args);
    let ended = get(&registrar, "DownloadPool/small", Path::new("/dev/full")).ended();
    assert!(ended.failure(1).contains("/dev/full: No space left on device"), "{ended:?}");
    let ended = get(&registrar, "DownloadPool/small", Path::new("/dev/null")).ended();
    assert_eq!(ended.json()["octets"], 6);
}

#[test]
fn a_file_may_go_to_standard_output() {
    let registrar = Registrar::patient();
    let (root, _) = root();
    let args = ["download", "--transport", "tcp", "--root", root.path().to_str().unwrap()];
    let _server = Server::start(registrar.tcp(), &args);
    for out in [["-O", "-"], ["--out", "-"]] {
        let get = ["get", "DownloadPool/small", "--registrar", registrar.tcp()];
        let ended = run(&[&get[..], &out].concat());
        assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(0), "small\n", ""));
        let none = run(&[&["get", "DownloadPool/none"], &get[2..], &out].concat());
        assert!(none.failure(1).contains("no server of DownloadPool has a file none"), "{none:?}");
    }
    assert!(!Path::new("-").exists());
}

#[test]
fn what_an_earlier_try_has_left_is_said_not_to_be_fetched() {
    let registrar = Registrar::patient();
    let (root, _) = root();
    let args = ["download", "--transport", "tcp", "--root", root.path().to_str().unwrap()];
    let _server = Server::start(registrar.tcp(), &args);
    let file = root.path().join("copy");
    fs::write(root.path().join("copy.part"), "sma").unwrap();
    let from = ["get", "DownloadPool/small", "-O", file.to_str().unwrap(), "--registrar"];
    let ended = run(&[&from[..], &[registrar.tcp()]].concat());
    assert!(ended.stdout.contains("6 octets (3 of them from an earlier try) in "), "{ended:?}");
    assert_eq!(fs::read(&file).unwrap(), b"small\n");
}
