//! What is shipped beside the daemon: the image's recipe against the tree, and the kernel's settings against the
//! kernel. In: `crates/server/deploy`.
//!
//! Never: builds an image; changes a setting.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use fanfare_tests::folder::Folder;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests lies in the workspace")
        .to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn deployed(name: &str) -> String {
    read(&format!("crates/server/deploy/{name}"))
}

/// The instructions of the Dockerfile, each with its words.
fn instructions() -> Vec<Vec<String>> {
    let text = deployed("Dockerfile");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let words = lines.map(|line| line.split_whitespace().map(str::to_owned).collect());
    words
        .filter(|words: &Vec<String>| !words.is_empty())
        .collect()
}

/// What it copies from the tree.
fn copied() -> Vec<String> {
    let copies = instructions()
        .into_iter()
        .filter(|words| words[0] == "COPY");
    let from_tree = copies.filter(|words| !words[1].starts_with("--from="));
    from_tree
        .flat_map(|words| words[1..words.len() - 1].to_vec())
        .collect()
}

#[test]
fn the_image_copies_what_is_there_and_nothing_that_is_ignored() {
    let copied = copied();
    assert!(copied.len() >= 4, "{copied:?}");
    let ignored = read(".dockerignore");
    let patterns: Vec<&str> = ignored.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(patterns[0], "*", "nothing comes along that is not named");
    for source in &copied {
        assert!(
            root().join(source).exists(),
            "COPY {source}: it is not there"
        );
        let wanted = format!("!{source}");
        assert!(
            patterns.contains(&wanted.as_str()),
            ".dockerignore has no {wanted}"
        );
    }
}

/// In a folder with what is copied, and nothing else, cargo finds every package as `Cargo.lock` has it.
#[test]
fn the_image_has_everything_that_its_build_reads() {
    let context = Folder::new();
    for source in copied() {
        symlink(root().join(&source), context.path(&source)).unwrap();
    }
    let builds: Vec<_> = instructions()
        .into_iter()
        .filter(|words| words.len() > 3 && words[..3] == ["RUN", "cargo", "build"])
        .collect();
    let [build] = &builds[..] else {
        panic!("one build, not {builds:?}");
    };
    let flags = &build[3..];
    assert_eq!(flags, ["--release", "--locked", "-p", "fanfare-server"]);
    let output = Command::new(env!("CARGO"))
        .current_dir(context.path(""))
        .args(["metadata", "--locked", "--format-version", "1", "--no-deps"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let server = packages.iter().find(|p| p["name"] == "fanfare-server");
    let targets = server.expect("the package")["targets"].as_array().unwrap();
    let has_binary = |t: &serde_json::Value| t["name"] == "fanfare" && t["kind"][0] == "bin";
    assert!(targets.iter().any(has_binary), "{targets:?}");
}

#[test]
fn the_image_is_made_by_the_oldest_compiler_and_runs_as_nobody() {
    let instructions = instructions();
    let says = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(instructions.iter().any(|i| *i == words), "no {line:?}");
    };
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let oldest = manifest["workspace"]["package"]["rust-version"]
        .as_str()
        .unwrap();
    says(&format!(
        "FROM docker.io/library/rust:{oldest}-bookworm AS build"
    ));
    says("FROM gcr.io/distroless/cc-debian12:nonroot"); // of the same Debian: one C library
    says("COPY --from=build /src/target/release/fanfare /usr/bin/fanfare");
    says("ENTRYPOINT [\"/usr/bin/fanfare\"]");
    says("USER nonroot");
}

/// A key that containers do not see.
const WHOLE_ONLY: &str = "/proc/sys/net/core/netdev_max_backlog";

/// Keys and values of `sysctl.conf`; whether a key may be missing.
fn settings() -> Vec<(String, String, bool)> {
    let text = deployed("sysctl.conf");
    let lines = text
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty());
    let settings = lines.map(|line| {
        let (key, value) = line.split_once(" = ").expect("key = value");
        let may_be_missing = key.starts_with('-');
        let key = key.trim_start_matches('-').to_owned();
        (key, value.to_owned(), may_be_missing)
    });
    settings.collect()
}

#[test]
fn every_setting_is_one_of_the_kernels_and_is_explained() {
    let page = deployed("README.md");
    let settings = settings();
    assert!(settings.len() >= 10, "{settings:?}");
    for (key, value, may_be_missing) in settings {
        let explained = format!("| `{key}` | {value} | ");
        assert!(page.contains(&explained), "README.md has no {explained}");
        let values: Vec<u64> = value.split(' ').map(|v| v.parse().unwrap()).collect();
        assert!(values.is_sorted(), "{key}: {values:?}");
        let file = Path::new("/proc/sys").join(key.replace('.', "/"));
        match fs::read_to_string(&file) {
            Ok(now) => assert_eq!(now.split_whitespace().count(), values.len(), "{key}"),
            // In a container some of the network's are not to be seen.
            Err(_) if may_be_missing || !Path::new(WHOLE_ONLY).exists() => {}
            Err(error) => panic!("{key}: {error}"),
        }
    }
}

#[test]
fn the_unit_has_a_descriptor_for_each_of_a_million() {
    let unit = deployed("fanfare.service");
    let limit = unit.lines().find_map(|l| l.strip_prefix("LimitNOFILE="));
    let limit: u64 = limit.expect("a limit").parse().unwrap();
    let (_, nr_open, _) = settings()
        .into_iter()
        .find(|(key, ..)| key == "fs.nr_open")
        .expect("a key");
    assert!(
        (1_001_000..=nr_open.parse().unwrap()).contains(&limit),
        "{limit}"
    );
    let explained = format!("| `LimitNOFILE` of the unit | {limit} | ");
    assert!(deployed("README.md").contains(&explained), "{explained}");
}
