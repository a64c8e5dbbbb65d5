//! What is refused, and in which words. In: settings that are wrong. Out: lines that name the key.
//!
//! Never: reads the environment of the process.

use super::*;

#[test]
fn an_unknown_key_is_named_with_where_it_stands() {
    for (text, begins) in [
        ("bogus = 1", "FILE: bogus: no such key; there are listen, "),
        (
            "api.lisen = 'a'",
            "FILE: api.lisen: no such key; there are listen, keys, ",
        ),
        ("[websoket]", "FILE: websoket: no such key"),
        (
            "[namespaces.chat]\nhistory = 1",
            "FILE: namespaces.chat.history: no such key",
        ),
        (
            "default_namespace.\"a b\" = 1",
            "FILE: default_namespace.\"a b\": no such key",
        ),
        ("\"a\\nb\" = 1", "FILE: \"a\\nb\": no such key"),
    ] {
        let line = read(text).unwrap_err();
        assert!(line.starts_with(begins), "{text}: {line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    // The file has the same table: it is not at fault.
    let file = TempFile::new("[api]\nmax_body_bytes = 1");
    let environment = [("FANFARE_API__LISEN", "127.0.0.1:1")];
    let error = sources(Some(&file), &environment, false).read();
    let line = error.unwrap_err().to_string();
    assert!(
        line.starts_with("FANFARE_API__LISEN: api.lisen: no such key"),
        "{line}"
    );
    for (name, line) in [
        ("FANFARE_", "FANFARE_: a level of the key has no name"),
        (
            "FANFARE_API____KEYS",
            "FANFARE_API____KEYS: a level of the key has no name",
        ),
    ] {
        assert_eq!(from_environment(&[(name, "1")]).unwrap_err(), line);
    }
}

#[test]
fn a_wrong_type_is_named_with_where_it_stands() {
    for (text, line) in [
        (
            "workers = 0",
            "FILE: workers: want a whole number of at least 1, not 0",
        ),
        (
            "workers = -1",
            "FILE: workers: want a whole number of at least 1, not -1",
        ),
        (
            "workers = 'two'",
            "FILE: workers: want a whole number of at least 1, not \"two\"",
        ),
        ("echo = 1", "FILE: echo: want true or false, not 1"),
        (
            "listen = 8000",
            "FILE: listen: want a string, or a list of strings, not 8000",
        ),
        ("api = 'x'", "FILE: api: want a table"),
        (
            "websocket.subprotocols = 'x'",
            "FILE: websocket.subprotocols: want a list, not \"x\"",
        ),
        (
            "websocket.subprotocols = [1]",
            "FILE: websocket.subprotocols.0: want a string, not 1",
        ),
        (
            "websocket.max_message_bytes = 1.5",
            "FILE: websocket.max_message_bytes: want a whole number of at least 1, not 1.5",
        ),
        (
            "drain.timeout = '5s'",
            "FILE: drain.timeout: want a number, not \"5s\"",
        ),
        (
            "drain.timeout = [5]",
            "FILE: drain.timeout: want a number, not a list",
        ),
        (
            "log_level = 'loud'",
            "FILE: log_level: want off, error, warn, info, debug, trace, not \"loud\"",
        ),
        (
            "log_format = 'xml'",
            "FILE: log_format: want text, json, not \"xml\"",
        ),
        (
            "namespaces.a.slow_reader = 'wait'",
            "FILE: namespaces.a.slow_reader: want close, drop-oldest, conflate, not \"wait\"",
        ),
        (
            "namespaces.a.history_size = -1",
            "FILE: namespaces.a.history_size: want a whole number of at least 0, not -1",
        ),
        (
            "namespaces = []",
            "FILE: namespaces: want a table, not a list",
        ),
        // No message repeats what may be a key.
        ("api.keys = 'secret-key'", "FILE: api.keys: want a list"),
        ("api.keys = [12345678]", "FILE: api.keys.0: want a string"),
    ] {
        assert_eq!(read(text).unwrap_err(), line);
    }
    let line = from_environment(&[("FANFARE_WORKERS", "many\nof them")]).unwrap_err();
    let expected =
        "FANFARE_WORKERS: workers: want a whole number of at least 1, not \"many\\nof them\"";
    assert_eq!(line, expected);
}

#[test]
fn a_wrong_value_is_named_with_where_it_stands() {
    for (text, line) in [
        (
            "listen = 'x'",
            "FILE: listen: \"x\": invalid socket address; want HOST:PORT, such as 127.0.0.1:9001",
        ),
        ("workers = 256", "FILE: workers: must be at most 255"),
        (
            "drain.timeout = 0",
            "FILE: drain.timeout: must be more than 0",
        ),
        (
            "drain = { delay = 10, window = 15 }",
            "drain.timeout: must be more than drain.delay and drain.window together, 25",
        ),
        (
            "drain.close_code = 1000",
            "FILE: drain.close_code: want 1001 or 1012",
        ),
        (
            "websocket.ping_interval = -1",
            "FILE: websocket.ping_interval: want seconds, such as 10 or 0.5, and at most a year of them",
        ),
        (
            "websocket.pong_timeout = 1e9",
            "FILE: websocket.pong_timeout: want seconds, such as 10 or 0.5, and at most a year of them",
        ),
        (
            "engine.idempotency_ttl = 0",
            "FILE: engine.idempotency_ttl: must be more than 0",
        ),
        (
            "websocket.max_message_bytes = 5\nwebsocket.max_frame_bytes = 6",
            "FILE: websocket.max_frame_bytes: must be at most websocket.max_message_bytes, 5",
        ),
        (
            "api.listen = '127.0.0.1:8000'",
            "FILE: api.listen: 127.0.0.1:8000 is taken by `listen`, 127.0.0.1:8000",
        ),
        (
            "api.listen = '0.0.0.0:8000'",
            "FILE: api.listen: 0.0.0.0:8000 is taken by `listen`, 127.0.0.1:8000",
        ),
        (
            "api.keys = ['long enough!']",
            "FILE: api.keys.0: must be of visible ASCII characters alone",
        ),
        (
            "api.keys = ['long-enough', 'short']",
            "FILE: api.keys.1: must have at least 8 characters",
        ),
        (
            "websocket.allowed_origins = ['a']",
            "FILE: websocket.allowed_origins.0: want scheme://host or scheme://host:port, \"*\" or \"null\", not \"a\"",
        ),
        (
            "websocket.subprotocols = ['a b']",
            "FILE: websocket.subprotocols.0: \"a b\" is not a token (RFC 6455 §4.1)",
        ),
        (
            "websocket.subprotocols = ['a', 'b', 'a']",
            "FILE: websocket.subprotocols.2: \"a\" is there twice",
        ),
        (
            "websocket.response_headers = ['A']",
            "FILE: websocket.response_headers.0: want `Name: value`, not \"A\"",
        ),
        (
            "websocket.response_headers = ['A: b', 'C D: e']",
            "FILE: websocket.response_headers.1: \"C D: e\": header name is not a token, or its value holds a control character",
        ),
        (
            "websocket.response_headers = [\"A: b\\r\\nC: d\"]",
            "FILE: websocket.response_headers.0: \"A: b\\r\\nC: d\": header name is not a token, or its value holds a control character",
        ),
        (
            "websocket.response_headers = ['sec-websocket-accept: x']",
            "FILE: websocket.response_headers.0: sec-websocket-accept is the server's to set",
        ),
    ] {
        assert_eq!(read(text).unwrap_err(), line);
    }
    for name in [
        "Upgrade",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
    ] {
        let line = read(&format!("websocket.response_headers = ['{name}: 1']")).unwrap_err();
        assert!(
            line.ends_with(&format!("{name} is the server's to set")),
            "{line}"
        );
    }
    let flag = sources(None, &[], false).flag("--workers", "workers", Some(1000_usize));
    let line = flag.read().unwrap_err().to_string();
    assert_eq!(line, "--workers: must be at most 255");
}

#[test]
fn contradicting_options_name_the_namespace_and_the_key() {
    for (text, begins) in [
        (
            "history_size = 1",
            "FILE: namespaces.a.history_size: history_size and",
        ),
        (
            "history_ttl = 1",
            "FILE: namespaces.a.history_ttl: history_size and",
        ),
        (
            "history_size = 100001\nhistory_ttl = 1",
            "FILE: namespaces.a.history_size: history_size is at most",
        ),
        (
            "history_size = 1\nhistory_ttl = 2\nhistory_meta_ttl = 1",
            "FILE: namespaces.a.history_meta_ttl: history_meta_ttl is",
        ),
        (
            "force_recovery = true",
            "FILE: namespaces.a.force_recovery: ",
        ),
        (
            "force_positioning = true",
            "FILE: namespaces.a.force_positioning: ",
        ),
        (
            "force_recovery_mode = 'cache'",
            "FILE: namespaces.a.force_recovery_mode: ",
        ),
        (
            "force_recovery_mode = 'last'",
            "FILE: namespaces.a.force_recovery_mode: want stream, cache, not \"last\"",
        ),
        (
            "history_size = 1\nhistory_ttl = 2\nslow_reader = 'conflate'",
            "FILE: namespaces.a.slow_reader: ",
        ),
        (
            "force_push_join_leave = true",
            "FILE: namespaces.a.force_push_join_leave: ",
        ),
        (
            "history_ttl = -1",
            "FILE: namespaces.a.history_ttl: want seconds",
        ),
    ] {
        let line = read(&format!("[namespaces.a]\n{text}")).unwrap_err();
        assert!(line.starts_with(begins), "{text}: {line}");
    }
    let line = read("default_namespace.force_recovery = true").unwrap_err();
    assert!(
        line.starts_with("FILE: default_namespace.force_recovery: "),
        "{line}"
    );
    let line = read("[namespaces.\"a:b\"]").unwrap_err();
    assert!(
        line.starts_with("FILE: namespaces.\"a:b\": a namespace is named"),
        "{line}"
    );
    let line = from_environment(&[("FANFARE_NAMESPACES__A__HISTORY_TTL", "5")]).unwrap_err();
    assert!(
        line.starts_with("FANFARE_NAMESPACES__A__HISTORY_TTL: namespaces.a.history_ttl: "),
        "{line}"
    );
}

#[test]
fn a_file_that_cannot_be_read_or_parsed_is_named() {
    let line = read("listen = '127.0.0.1:1'\nworkers = = 2").unwrap_err();
    assert!(line.starts_with("FILE:2: "), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    let missing = Sources::new(Some("/nowhere/fanfare.toml".into()), [], false);
    let line = missing.read().unwrap_err().to_string();
    assert!(
        line.starts_with("/nowhere/fanfare.toml: No such file"),
        "{line}"
    );
}

#[test]
fn what_deflate_cannot_do_is_named() {
    for (setting, why) in [
        ("level = 0", "level: must be from 1 to 9"),
        ("mem_level = 10", "mem_level: must be from 1 to 9"),
        (
            "server_max_window_bits = 7",
            "server_max_window_bits: must be from 8 to 15",
        ),
        (
            "client_max_window_bits = 16",
            "client_max_window_bits: must be from 8 to 15",
        ),
    ] {
        let line = read(&format!("[websocket.deflate]\n{setting}")).unwrap_err();
        assert_eq!(line, format!("FILE: websocket.deflate.{why}"));
    }
    let text =
        "[websocket.deflate]\nenabled = true\nallow_client_takeover = true\nmax_contexts = 7";
    let deflate = read(text).unwrap().daemon.deflate.expect("enabled");
    assert!(!deflate.policy.server_takeover, "many are sent the same");
    assert!(deflate.policy.client_takeover);
    assert_eq!(deflate.contexts_max, 7);
    assert!(read("").unwrap().daemon.deflate.is_none());
}
