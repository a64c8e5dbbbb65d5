//! loadgen as a user runs it. In: arguments. Out: what it printed, its report checked against the
//! schema.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

const SCHEMA: &str = include_str!("../../report.schema.json");

pub(crate) fn loadgen(args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command
        .args(args.split_ascii_whitespace())
        .stdin(Stdio::null());
    command
}

pub(crate) fn output(args: &str) -> Output {
    loadgen(args).output().expect("loadgen starts")
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("messages are UTF-8")
}

/// The report of a run that ended with `code`.
pub(crate) fn report(output: &Output, code: i32) -> Value {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
    let report = serde_json::from_slice(&output.stdout).expect("stdout is one JSON object");
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    check_schema(&report, &schema, &schema, "report");
    report
}

/// The part of JSON Schema that ours uses: `$ref`, `type`, `const`, `required`, `properties`, `items`
/// and `additionalProperties: false`.
fn check_schema(value: &Value, schema: &Value, root: &Value, path: &str) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let pointer = reference.trim_start_matches('#');
        let definition = root.pointer(pointer).expect("references are defined");
        return check_schema(value, definition, root, path);
    }
    let is_type = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("{path}: the schema's type {other} is unknown here"),
    };
    let fits = match &schema["type"] {
        Value::String(name) => is_type(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is_type),
        _ => panic!("{path}: no type in the schema"),
    };
    assert!(fits, "{path}: {value} is not {}", schema["type"]);
    if let Some(constant) = schema.get("const") {
        assert_eq!(value, constant, "{path}");
    }
    if let Value::Array(items) = value {
        for item in items {
            check_schema(item, &schema["items"], root, path);
        }
    }
    let (Value::Object(members), Value::Object(properties)) = (value, &schema["properties"]) else {
        return;
    };
    assert_eq!(schema["additionalProperties"], Value::Bool(false), "{path}");
    let required = schema["required"].as_array().expect("a list of keys");
    for key in required.iter().filter_map(Value::as_str) {
        assert!(members.contains_key(key), "{path}.{key} is missing");
    }
    for (key, member) in members {
        let property = properties.get(key).expect("no key beside the schema's");
        check_schema(member, property, root, &format!("{path}.{key}"));
    }
}

/// The counts by class: connect, handshake, protocol, mismatch, closed, timeout.
pub(crate) fn errors(report: &Value) -> [u64; 6] {
    [
        "connect",
        "handshake",
        "protocol",
        "mismatch",
        "closed",
        "timeout",
    ]
    .map(|class| report["errors"][class].as_u64().expect("a count"))
}

/// Runs loadgen with arguments that a shell takes apart.
pub(crate) fn shell(args: &str) -> Output {
    shell_command(args).output().expect("sh starts")
}

/// The same, to be started; the process is loadgen's in the end.
pub(crate) fn shell_command(args: &str) -> Command {
    in_shell("", args)
}

/// Runs loadgen in a shell that has set its limits.
pub(crate) fn limited(ulimit: &str, args: &str) -> Output {
    let before = format!("ulimit {ulimit};");
    in_shell(&before, args).output().expect("sh starts")
}

fn in_shell(before: &str, args: &str) -> Command {
    let program = env!("CARGO_BIN_EXE_loadgen");
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{before} exec {program} {args}")])
        .stdin(Stdio::null());
    command
}
