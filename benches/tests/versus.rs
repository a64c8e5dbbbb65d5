//! What `versus` promises to scripts: exit codes and JSON. In: short runs. Out: nothing but failures.
//!
//! Never: looks at how fast anything was.

use std::process::{Command, Output};

use serde_json::Value;

fn versus(flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_versus"))
        .args(flags)
        .output()
        .expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_json_is_a_list_of_cases_with_every_peer() {
    let file = std::env::temp_dir().join(format!("versus-{}.json", std::process::id()));
    let path = file.to_str().expect("a UTF-8 path");
    let flags = ["--quick", "--rounds", "1", "--json", path];
    let cases = ["mask_20", "encode_masked_20", "fragments_4", "korean_1024"];
    let chosen = cases.iter().flat_map(|case| ["--case", case]);
    let output = versus(&flags.into_iter().chain(chosen).collect::<Vec<_>>());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json = std::fs::read(&file).expect("the file is written");
    std::fs::remove_file(&file).expect("and can be removed");
    let json: Vec<Value> = serde_json::from_slice(&json).expect("a list");
    let mut names: Vec<&str> = json
        .iter()
        .filter_map(|case| case["case"].as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["encode_masked_20", "fragments_4", "korean_1024", "mask_20"]
    );
    for case in &json {
        assert!(case["ours_ns"].is_number(), "{case}");
        assert!(case["limit_ns"].is_number(), "{case}");
        assert!(case["ratio"].is_number(), "{case}");
        let peers = case["peers"].as_object().expect("peers by name");
        assert!(peers.len() >= 4, "{case}");
        for peer in peers.values() {
            assert!(
                peer["ns"].is_number() && peer["same_work"].is_boolean(),
                "{case}"
            );
        }
    }
    let fragments = json.iter().find(|case| case["case"] == "fragments_4");
    let fragments = &fragments.expect("it ran")["peers"];
    assert_eq!(fragments["tungstenite"]["same_work"], true);
    assert_eq!(fragments["soketto codec"]["same_work"], false);
}

#[test]
fn compression_is_compared_with_those_who_have_it() {
    let flags = [
        "--quick",
        "--rounds",
        "1",
        "--case",
        "inflate_256",
        "--case",
        "deflate_256",
    ];
    let output = versus(&flags);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    for peer in ["sockudo-ws", "yawc"] {
        let lines = table
            .lines()
            .filter(|line| line.trim_start().starts_with(peer));
        assert_eq!(lines.count(), 2, "{peer} in\n{table}");
    }
    assert!(!table.contains("less work"), "{table}");
}

#[test]
fn bad_usage_exits_2_and_says_what_is_wrong() {
    for (flags, complaint) in [
        (&["--case", "no_such_case"][..], "no case fits no_such_case"),
        (&["--kernel", "sse9"], "sse9"),
        (&["--rounds", "0"], "0"),
    ] {
        let output = versus(flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains(complaint), "{flags:?}: {stderr}");
    }
}

#[test]
fn the_cases_that_others_rely_on_are_there() {
    let output = versus(&["--list", "--cold"]);
    let list = text(&output.stdout);
    for case in [
        "text_20",
        "text_1048576",
        "text_1048576_streamed",
        "chat_mix",
        "ticker_mix",
        "mixed_90_10",
        "korean_16384",
        "emoji_json_4096",
        "binary_20",
        "fragments_64",
        "mask_1",
        "mask_1048576",
        "unmask_validate_16384",
        "encode_masked_1024",
        "inflate_16384",
        "deflate_256",
        "text_1024_cold",
    ] {
        assert!(list.lines().any(|line| line == case), "{case} in\n{list}");
    }
}
