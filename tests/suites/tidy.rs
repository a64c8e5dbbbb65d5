//! The house rules that no compiler checks: who may depend on whom, where `unsafe` may stand, how long
//! a file may be, what its header says. In: the manifests and sources of the workspace.
//!
//! Never: builds anything, runs more than `cargo tree`; guesses at a rule that is not written down in `crates/README.md` or
//! in the header of the file that it protects.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests lies in the workspace")
        .to_owned()
}

/// A path from the root, as rules name it.
fn name(path: &Path) -> String {
    path.strip_prefix(root())
        .expect("under the root")
        .display()
        .to_string()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A member of the workspace.
struct Member {
    dir: PathBuf,
    package: String,
    manifest: toml::Table,
}

impl Member {
    fn load(dir: PathBuf) -> Self {
        let manifest: toml::Table = read(&dir.join("Cargo.toml"))
            .parse()
            .unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let package = manifest["package"]["name"]
            .as_str()
            .expect("a name")
            .to_owned();
        Self {
            dir,
            package,
            manifest,
        }
    }

    /// Everything it depends on, in whatever table, for whatever target, under its real name.
    fn dependencies(&self, tables: &[&str]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let targets = self.manifest.get("target").and_then(toml::Value::as_table);
        let places = std::iter::once(&self.manifest).chain(
            targets
                .into_iter()
                .flat_map(toml::Table::values)
                .filter_map(|t| t.as_table()),
        );
        for place in places {
            for table in tables {
                let Some(entries) = place.get(*table).and_then(toml::Value::as_table) else {
                    continue;
                };
                for (key, value) in entries {
                    let renamed = value.get("package").and_then(toml::Value::as_str);
                    found.insert(renamed.unwrap_or(key).to_owned());
                }
            }
        }
        found
    }

    fn sources(&self) -> Vec<PathBuf> {
        rust_files(&self.dir)
    }
}

const SHIPPED: &[&str] = &["dependencies", "build-dependencies"];
const ALL: &[&str] = &["dependencies", "build-dependencies", "dev-dependencies"];

fn members() -> Vec<Member> {
    let workspace: toml::Table = read(&root().join("Cargo.toml"))
        .parse()
        .expect("a manifest");
    let members = workspace["workspace"]["members"]
        .as_array()
        .expect("a list");
    let members: Vec<Member> = members
        .iter()
        .map(|m| Member::load(root().join(m.as_str().expect("a path"))))
        .collect();
    assert!(members.len() >= 5, "the rules below find their crates");
    members
}

fn member(package: &str) -> Member {
    members()
        .into_iter()
        .find(|m| m.package == package)
        .unwrap_or_else(|| panic!("no {package}"))
}

/// Every `.rs` file under `dir`, without build folders.
fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The files that ship, and the load generator.
fn shipped_files() -> Vec<PathBuf> {
    let files: Vec<PathBuf> = members()
        .iter()
        .filter(|m| m.dir.starts_with(root().join("crates")) || m.dir.ends_with("loadgen"))
        .flat_map(|m| rust_files(&m.dir.join("src")))
        .collect();
    assert!(files.len() > 20, "the rules below find their files");
    files
}

/// The code of a line, without a comment at its end. A `//` in a string cuts too much, never too little
/// for the rules here: they look for words that no string of ours holds.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Whether `word` stands in `code` by itself.
fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|w| w == word)
}

/// Fails with every breach at once.
fn assert_none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}

/// Lines of `files` whose code `breaks`.
fn lines_that(files: &[PathBuf], breaks: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for path in files {
        for (n, line) in read(path).lines().enumerate() {
            if breaks(code(line)) {
                found.push(format!("{}:{}: {}", name(path), n + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn codec_depends_on_nothing_of_ours_and_on_no_io() {
    let codec = member("fanfare-codec");
    let mut breaches: Vec<String> = codec
        .dependencies(ALL)
        .into_iter()
        .filter(|d| {
            d.starts_with("fanfare")
                || ["mio", "tokio", "socket2", "rustix", "libc"].contains(&d.as_str())
        })
        .collect();
    let io = [
        "std::net",
        "std::fs",
        "std::thread",
        "std::time",
        "std::process",
        "std::env",
    ];
    breaches.extend(lines_that(&rust_files(&codec.dir.join("src")), |code| {
        io.iter().any(|module| code.contains(module))
    }));
    assert_none(
        "the codec knows no socket, file, thread or clock",
        &breaches,
    );
}

/// Every package that one of ours is built with, itself among them.
fn tree(package: &str, flags: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", package])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(flags)
        .output()
        .expect("cargo starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let tree = String::from_utf8(output.stdout).expect("UTF-8");
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn the_codec_without_deflate_depends_on_what_it_did_before() {
    let before = ["base64", "bytes", "httparse", "memchr", "sha1", "simdutf8"];
    let codec_tree = |flags: &[&str]| tree("fanfare-codec", flags);
    let mut direct = codec_tree(&["--depth", "1"]);
    assert!(direct.remove("fanfare-codec"));
    assert!(direct.iter().eq(before), "{direct:?}");
    let (without, with) = (codec_tree(&[]), codec_tree(&["--features", "deflate"]));
    assert_eq!(with.difference(&without).collect::<Vec<_>>(), ["zlib-rs"]);
    assert!(without.is_subset(&with));
}

#[test]
fn the_tokio_adapter_has_tls_by_a_feature_and_cryptography_where_it_chooses_it() {
    let with = |features: &str| tree("fanfare-tokio", &["--features", features]);
    let rustls = |features| with(features).contains("rustls");
    assert!(!rustls("deflate,connect") && rustls("rustls"));
    let providers = |features| -> Vec<String> {
        let all = with(features).into_iter();
        all.filter(|package| ["aws-lc-rs", "ring"].contains(&package.as_str()))
            .collect()
    };
    assert!(providers("rustls").is_empty(), "the caller's choice");
    for features in ["rustls-webpki-roots", "rustls-native-roots"] {
        assert_eq!(providers(features), ["aws-lc-rs"], "{features}");
    }
}

#[test]
fn pure_crates_know_no_socket_and_no_clock() {
    // A crate that comes later is held to it from its first commit.
    let protocol = members()
        .into_iter()
        .find(|m| m.package == "fanfare-protocol");
    for member in std::iter::once(member("fanfare-hub")).chain(protocol) {
        let banned = [
            "fanfare-codec",
            "fanfare-server",
            "mio",
            "tokio",
            "socket2",
            "rustix",
        ];
        let mut breaches: Vec<String> = member
            .dependencies(SHIPPED)
            .into_iter()
            .filter(|d| banned.contains(&d.as_str()))
            .collect();
        breaches.extend(lines_that(&rust_files(&member.dir.join("src")), |code| {
            [
                "std::net",
                "std::fs",
                "std::thread",
                "Instant::now",
                "SystemTime::now",
            ]
            .iter()
            .any(|what| code.contains(what))
        }));
        assert_none(
            &format!(
                "{} replays from a seed: time is an argument",
                member.package
            ),
            &breaches,
        );
    }
}

#[test]
fn the_hub_depends_on_nothing_of_ours() {
    let hub = member("fanfare-hub");
    let ours: Vec<String> = hub
        .dependencies(ALL)
        .into_iter()
        .filter(|d| d.starts_with("fanfare"))
        .collect();
    assert_none("whoever publishes is none of the hub's business", &ours);
    let lib = read(&hub.dir.join("src/lib.rs"));
    assert!(
        lib.contains("#![forbid(unsafe_code)]"),
        "not even where it is proved"
    );
}

#[test]
fn the_tokio_adapter_knows_the_codec_and_nothing_else_of_ours() {
    let adapter = member("fanfare-tokio");
    let ours: Vec<String> = adapter
        .dependencies(ALL)
        .into_iter()
        .filter(|d| d.starts_with("fanfare") && d != "fanfare-codec")
        .collect();
    assert_none("whoever adopts it takes no server along", &ours);
    let lib = read(&adapter.dir.join("src/lib.rs"));
    assert!(
        lib.contains("#![forbid(unsafe_code)]"),
        "not even where it is proved"
    );
    let breaches: Vec<String> = members()
        .into_iter()
        .filter(|m| !["fanfare-tests", "fanfare-benches"].contains(&m.package.as_str()))
        .filter(|m| m.dependencies(ALL).contains("fanfare-tokio"))
        .map(|m| m.package)
        .collect();
    assert_none(
        "the server and loadgen have no runtime of tokio's",
        &breaches,
    );
}

#[test]
fn nothing_of_ours_knows_the_server_but_its_tests() {
    let mut breaches = Vec::new();
    for member in members() {
        if ["fanfare-tests", "fanfare-benches"].contains(&member.package.as_str()) {
            continue;
        }
        if member.dependencies(ALL).contains("fanfare-server") {
            breaches.push(member.package.clone());
        }
    }
    assert_none(
        "the server is at the top: nothing that ships depends on it",
        &breaches,
    );
}

#[test]
fn loadgen_shares_no_code_with_the_server() {
    let banned = [
        "fanfare-server",
        "fanfare-hub",
        "fanfare-protocol",
        "fanfare-redis",
    ];
    let breaches: Vec<String> = member("fanfare-loadgen")
        .dependencies(ALL)
        .into_iter()
        .filter(|d| banned.contains(&d.as_str()))
        .collect();
    assert_none("shared code would hide shared bugs", &breaches);
}

#[test]
fn nothing_depends_on_tests_or_benches() {
    let mut breaches = Vec::new();
    for member in members() {
        for dependency in member.dependencies(ALL) {
            if ["fanfare-tests", "fanfare-benches"].contains(&dependency.as_str()) {
                breaches.push(format!("{} on {dependency}", member.package));
            }
        }
    }
    assert_none("tests and benches are leaves", &breaches);
}

#[test]
fn the_reactor_moves_tokens_never_payload() {
    let reactor = rust_files(&root().join("crates/server/src/reactor"));
    let breaches = lines_that(&reactor, |code| {
        let code = code.to_ascii_lowercase();
        ["header", "mask", "utf8", "opcode", "payload"]
            .iter()
            .any(|word| code.contains(word))
    });
    assert_none("the reactor knows no header, mask or UTF-8", &breaches);
}

#[test]
fn unsafe_stands_only_where_it_is_proved() {
    let allowed = |path: &Path| {
        let name = name(path);
        name.starts_with("crates/codec/src/mask/")
            || name.starts_with("crates/codec/src/utf8/")
            || name == "benches/src/limit.rs"
            || path.file_name().is_some_and(|file| file == "sys.rs")
    };
    let files: Vec<PathBuf> = members()
        .iter()
        .flat_map(Member::sources)
        .filter(|path| !allowed(path))
        .collect();
    let breaches = lines_that(&files, |code| {
        has_word(code, "unsafe") && !code.contains('"')
    });
    assert_none(
        "unsafe only in the codec's mask/ and utf8/, in sys.rs, and in the bound that benches measure by",
        &breaches,
    );
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let mut breaches = Vec::new();
    let mut files: Vec<PathBuf> = members().iter().flat_map(Member::sources).collect();
    files.sort();
    files.dedup();
    for path in files {
        let lines = read(&path).lines().count();
        if lines > LINES_MAX {
            breaches.push(format!("{}: {lines} lines", name(&path)));
        }
    }
    assert_none("past 600 lines a file is split", &breaches);
}

#[test]
fn every_file_says_what_it_is_and_what_it_never_does() {
    let mut breaches = Vec::new();
    for path in shipped_files() {
        let text = read(&path);
        let header: Vec<&str> = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        if header.is_empty() {
            breaches.push(format!("{}: no `//!` header", name(&path)));
        } else if !header.iter().any(|line| line.starts_with("//! Never: ")) {
            breaches.push(format!("{}: no `//! Never: ` line", name(&path)));
        }
    }
    assert_none(
        "a file's header says what goes in, what comes out and what it never does",
        &breaches,
    );
}

#[test]
fn every_member_has_the_one_lint_table() {
    let mut breaches = Vec::new();
    for member in members() {
        let inherits = member
            .manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        if inherits.and_then(toml::Value::as_bool) != Some(true) {
            breaches.push(member.package.clone());
        }
    }
    assert_none("`[lints] workspace = true`", &breaches);
}

#[test]
fn every_suite_is_declared() {
    // With `autotests = false` a suite that nobody declares would never run, in silence.
    let tests = member("fanfare-tests");
    let declared: BTreeSet<String> = tests.manifest["test"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|test| test["path"].as_str().expect("a path").to_owned())
        .collect();
    let there: BTreeSet<String> = fs::read_dir(tests.dir.join("suites"))
        .expect("the suites")
        .map(|entry| format!("suites/{}", entry.expect("an entry").file_name().display()))
        .filter(|file| file.ends_with(".rs"))
        .collect();
    let missing: Vec<String> = there.difference(&declared).cloned().collect();
    assert_none("each file in tests/suites is a [[test]]", &missing);
}
