//! The binaries under test. In: a package. Out: the path of its binary.
//!
//! Never: takes a binary older than its sources, unless the environment names one.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// `fanfare`: what `FANFARE_BIN` names, or the one of this build's profile, brought up to date now.
pub fn fanfare() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| named_or_built("FANFARE_BIN", "fanfare-server", "fanfare"))
}

/// `loadgen`: what `LOADGEN_BIN` names, or the one of this build's profile, brought up to date now.
pub fn loadgen() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| named_or_built("LOADGEN_BIN", "fanfare-loadgen", "loadgen"))
}

fn named_or_built(variable: &str, package: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return PathBuf::from(path);
    }
    // target/PROFILE/deps/suite-hash, or target/PROFILE/catalogue
    let exe = std::env::current_exe().unwrap();
    let profile = exe
        .ancestors()
        .find(|dir| dir.join("deps").is_dir())
        .expect("the test executable lies in a target folder");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "-p", package]);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    build.arg("--target-dir").arg(profile.parent().unwrap());
    assert!(build.status().unwrap().success(), "{name} does not build");
    profile.join(name)
}
