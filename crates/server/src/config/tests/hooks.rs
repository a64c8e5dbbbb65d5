//! `[hooks]` and the hooks of namespaces.
//!
//! Never: asks anybody.

use fanfare_hub::Channel;
use fanfare_protocol::hook::HookEvent;

use super::*;

fn url(config: &ServeConfig, event: &HookEvent) -> Option<String> {
    config.live.hooks.url(event).map(ToString::to_string)
}

fn events(channel: &str) -> [HookEvent; 2] {
    let channel = Channel::parse(channel).unwrap();
    let data = bytes::Bytes::new();
    [
        HookEvent::Subscribe {
            channel: channel.clone(),
            data: data.clone(),
        },
        HookEvent::Publish { channel, data },
    ]
}

#[test]
fn nobody_is_asked_unless_the_config_says_so() {
    let hooks = from_environment(&[]).unwrap().live.hooks;
    assert!(!hooks.has_connect() && !hooks.has_refresh() && !hooks.has_rpc());
    assert!(hooks.headers.is_empty() && hooks.emulated_headers.is_empty());
    assert_eq!(hooks.timeout, Duration::from_secs(2));
    let channel = Channel::parse("a").unwrap();
    assert!(!hooks.has_subscribe(&channel) && !hooks.has_publish(&channel));
}

#[test]
fn each_event_has_its_own_url() {
    let config = read(
        "
        default_namespace.subscribe_hook = 'http://a/subscribe'
        [hooks]
        connect = 'http://127.0.0.1:3000'
        refresh = 'HTTPS://example.com:8443/refresh?key=1'
        rpc = 'http://[::1]:80/rpc'
        headers = ['Cookie', 'x-real-ip']
        emulated_headers = ['Authorization']
        timeout = 0.5
        max_in_flight = 7
        [namespaces.chat]
        publish_hook = 'http://b/publish'
        [namespaces.other]
        ",
    )
    .unwrap();
    let connect = HookEvent::Connect {
        data: Default::default(),
        name: String::new(),
        version: String::new(),
        headers: Default::default(),
        channels: vec![],
    };
    let rpc = HookEvent::Rpc {
        method: String::new(),
        data: Default::default(),
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(url(&config, &connect), some("http://127.0.0.1:3000/"));
    let refresh = url(&config, &HookEvent::Refresh);
    assert_eq!(refresh, some("https://example.com:8443/refresh?key=1"));
    assert_eq!(url(&config, &rpc), some("http://[::1]:80/rpc"));
    for (channel, expected) in [
        ("a", [some("http://a/subscribe"), None]),
        ("chat:a", [None, some("http://b/publish")]),
        ("other:a", [None, None]),
        ("unknown:a", [None, None]),
    ] {
        let urls = events(channel).map(|event| url(&config, &event));
        assert_eq!(urls, expected, "{channel}");
        let channel = Channel::parse(channel).unwrap();
        let hooks = &config.live.hooks;
        let has = [hooks.has_subscribe(&channel), hooks.has_publish(&channel)];
        assert_eq!(has, expected.map(|url| url.is_some()), "{channel}");
    }
    let hooks = &config.live.hooks;
    assert_eq!(hooks.headers, ["cookie", "x-real-ip"]);
    assert_eq!(hooks.emulated_headers, ["authorization"]);
    assert_eq!(hooks.timeout, Duration::from_millis(500));
    assert_eq!(config.hooks_in_flight_max, 7);
}

#[test]
fn what_is_no_url_is_refused_without_repeating_it() {
    for text in [
        "",
        "/path",
        "example.com",
        "example.com:80",
        "ftp://secret/",
        "grpc://secret:9000",
        "http://",
        "http:///secret",
        "http://a b/secret",
        "http://secret:99999/",
        "http://secret:0/",
        "http://secret:/",
        "http://[::1]:/secret",
        "http://secr\u{e9}t/",
    ] {
        for (key, table) in [
            ("hooks.connect", "[hooks]\nconnect"),
            ("hooks.refresh", "[hooks]\nrefresh"),
            ("hooks.rpc", "[hooks]\nrpc"),
            (
                "default_namespace.subscribe_hook",
                "[default_namespace]\nsubscribe_hook",
            ),
            ("namespaces.a.publish_hook", "[namespaces.a]\npublish_hook"),
        ] {
            let line = read(&format!("{table} = '{text}'")).unwrap_err();
            let begins = format!("FILE: {key}: want a URL such as http://");
            assert!(line.starts_with(&begins), "{text}: {line}");
            assert!(!line.contains("secr"), "{line}");
        }
    }
    let line = read("hooks.rpc = 'http://me:secret@a/'").unwrap_err();
    assert!(line.starts_with("FILE: hooks.rpc: a user"), "{line}");
    assert!(!line.contains("secret"), "{line}");
}

#[test]
fn wrong_values_are_named() {
    for (text, line) in [
        (
            "headers = ['Cookie', 'a b']",
            "FILE: hooks.headers.1: \"a b\" is no name of a header",
        ),
        (
            "headers = ['Cookie', 'cookie']",
            "FILE: hooks.headers.1: cookie is there twice",
        ),
        (
            "headers = ['Content-Type']",
            "FILE: hooks.headers.0: content-type is the server's to set",
        ),
        (
            "emulated_headers = ['Host']",
            "FILE: hooks.emulated_headers.0: host is the server's to set",
        ),
        (
            "emulated_headers = ['Sec-WebSocket-Key']",
            "FILE: hooks.emulated_headers.0: sec-websocket-key is the server's to set",
        ),
        ("timeout = 0", "FILE: hooks.timeout: must be more than 0"),
        (
            "max_in_flight = 0",
            "FILE: hooks.max_in_flight: want a whole number of at least 1, not 0",
        ),
        (
            "max_in_flight = 4097",
            "FILE: hooks.max_in_flight: must be at most 4096",
        ),
    ] {
        assert_eq!(read(&format!("[hooks]\n{text}")).unwrap_err(), line);
    }
}
