//! `default.toml` tells the truth: every key, every default, and what a reload changes.
//!
//! Never: a list of keys of its own, which would go stale.

use std::collections::BTreeSet;

use figment::value::Value;

use super::super::file::{File, Namespace};
use super::*;

/// `DEFAULT_FILE` with the settings that are commented out in force: `#key`, not `# words`.
fn all_in_force() -> String {
    let lines = DEFAULT_FILE.lines();
    let lines = lines.map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The keys of `value`, but not which namespaces there are, nor which keys of tokens.
fn keys(value: &Value) -> BTreeSet<String> {
    fn collect(key: &str, value: &Value, keys: &mut BTreeSet<String>) {
        match value {
            Value::Dict(..) if key == ".namespaces" || key == ".token.keys" => {}
            Value::Dict(_, table) => {
                for (name, value) in table {
                    collect(&format!("{key}.{name}"), value, keys);
                }
            }
            _ => drop(keys.insert(key.to_owned())),
        }
    }
    let mut keys = BTreeSet::new();
    collect("", value, &mut keys);
    keys
}

#[test]
fn the_default_file_has_every_key_and_no_other() {
    let text = all_in_force();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let written = Value::serialize(table).unwrap();
    let every = File {
        default_namespace: Some(Namespace::default()),
        ..File::default()
    };
    assert_eq!(keys(&written), keys(&Value::serialize(every).unwrap()));
    // Its files are not there.
    let lines = text.lines();
    let lines = lines.filter(|line| {
        !line
            .split(' ')
            .next()
            .is_some_and(|key| key.ends_with("_file"))
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    assert!(read(&text).is_ok(), "{:?}", read(&text));
}

#[test]
fn the_default_file_has_the_defaults() {
    assert!(read(DEFAULT_FILE).is_ok(), "{:?}", read(DEFAULT_FILE));
    let as_printed: File = toml::from_str(DEFAULT_FILE).unwrap();
    let defaults = Value::serialize(File::default()).unwrap();
    assert_eq!(Value::serialize(as_printed).unwrap(), defaults);
    // So are those that are commented out because their table is: a namespace's.
    let in_force: File = toml::from_str(&all_in_force()).unwrap();
    let written = Namespace {
        history_meta_ttl: None,
        subscribe_hook: None,
        publish_hook: None,
        ..in_force.default_namespace.unwrap()
    };
    let defaults = Value::serialize(Namespace::default()).unwrap();
    assert_eq!(Value::serialize(written).unwrap(), defaults);
}

#[test]
fn the_default_file_explains_every_key_and_marks_what_a_reload_changes() {
    for line in DEFAULT_FILE.lines() {
        assert!(line.chars().count() <= 110, "{line}");
    }
    let marks = DEFAULT_FILE.lines().filter(|line| *line == "# [reload]");
    assert_eq!(marks.count(), reload::RELOADABLE.len());
}
