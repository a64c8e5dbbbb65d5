//! Connections by the thousand, each end in a process of its own: what `loadgen idle` promises of its
//! own memory, under a descriptor limit that leaves little room.

use std::process::Command;

use fanfare_tests::daemon::{Daemon, built};
use serde_json::Value;

const CONNECTIONS: u64 = 15_000;
const DESCRIPTORS: u64 = 20_000;
const OWN_BYTES_MAX: f64 = 1024.0;

#[test]
fn loadgen_holds_15_000_connections_in_a_kibibyte_each() {
    let daemon = Daemon::echo(&["--workers", "1"]).expect("the daemon starts");
    let loadgen = built("fanfare-loadgen", "loadgen");
    let command = format!(
        "ulimit -n {DESCRIPTORS} && exec {} idle ws://{}/ --connections {CONNECTIONS} --heartbeat 2 \
         --duration 2 --warmup 0 --timeout 30 --pid {} --json",
        loadgen.display(),
        daemon.addr(),
        daemon.id(),
    );
    let output = Command::new("sh").args(["-c", &command]).output();
    let output = output.expect("sh starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let number = |key: &str| {
        let number = report[key].as_f64();
        number.unwrap_or_else(|| panic!("{key} in {report}"))
    };
    // Each connection has had a heartbeat or is about to: nothing was lost on the way.
    assert!(number("messages") >= CONNECTIONS as f64 * 0.9, "{report}");
    let own = number("client_bytes_per_connection");
    assert!(own > 0.0 && own <= OWN_BYTES_MAX, "{own} B a connection");
    assert!(number("server_user_bytes_per_connection") > 0.0, "{report}");
    assert!(number("kernel_bytes_per_connection") > 0.0, "{report}");
}
