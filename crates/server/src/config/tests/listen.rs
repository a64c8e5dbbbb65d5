//! Where to listen, whom to believe, how sockets are set: as it is written, and what it comes to.
//!
//! Never: listens.

use super::*;

fn refusal(text: &str) -> String {
    read(text).expect_err(text)
}

#[test]
fn one_place_or_several_are_listened_on() {
    assert_eq!(listens_on(&read("").unwrap()), ["127.0.0.1:8000"]);
    let several = [
        "127.0.0.1:1",
        "[::1]:1",
        "unix:/run/x.sock",
        "systemd",
        "systemd:web",
    ];
    let config = read(&format!("workers = 1\nlisten = {several:?}")).unwrap();
    assert_eq!(listens_on(&config), several);
    let summary = config.to_string();
    assert!(
        summary.starts_with("listens on 127.0.0.1:1, [::1]:1, unix:/run/x.sock, systemd"),
        "{summary}"
    );
    // Port 0 is another one each time.
    assert!(read("listen = ['127.0.0.1:0', '127.0.0.1:0']").is_ok());
    assert!(dev("listen = ['[::1]:1', 'unix:/run/x.sock']").is_ok());
}

#[test]
fn a_place_that_cannot_be_is_named() {
    for (text, line) in [
        (
            "listen = []",
            "FILE: listen: want 1 to 8 places to listen at",
        ),
        (
            "listen = ['unix:']",
            "FILE: listen.0: \"unix:\": want unix:PATH",
        ),
        (
            "listen = ['[::1]:1', '[::1]:1']",
            "FILE: listen.1: [::1]:1 is there twice",
        ),
        (
            "listen = ['[::1]:1', '127.0.0.1:9']\napi.listen = '127.0.0.1:9'",
            "FILE: api.listen: 127.0.0.1:9 is taken by `listen`, 127.0.0.1:9",
        ),
        ("listen = [1]", "FILE: listen.0: want a string, not 1"),
        (
            "unix_socket_mode = 660",
            "FILE: unix_socket_mode: want a mode of at most 0o777, in octal digits: 0o660",
        ),
        (
            "trusted_proxies = ['10.0.0.1', 'localhost']",
            "FILE: trusted_proxies.1: want an address, a network such as 10.0.0.0/8, or \"unix\", not \"localhost\"",
        ),
        (
            "proxy_protocol = ['127.0.0.1:8000']",
            "FILE: proxy_protocol.0: nobody may speak it: trusted_proxies is empty",
        ),
        (
            "trusted_proxies = ['unix']\nproxy_protocol = ['127.0.0.1:1']",
            "FILE: proxy_protocol.0: \"127.0.0.1:1\" does not stand in `listen`",
        ),
        (
            "tcp.keepalive_idle = 0.5",
            "FILE: tcp.keepalive_idle: must be 1 to 32767",
        ),
        (
            "tcp.keepalive_count = 128",
            "FILE: tcp.keepalive_count: must be at most 127",
        ),
        (
            "tcp.user_timeout = 2e6",
            "FILE: tcp.user_timeout: must be at most 1000000",
        ),
        (
            "tcp.backlog = 3000000000",
            "FILE: tcp.backlog: must be at most 2147483647",
        ),
    ] {
        assert_eq!(refusal(text), line, "{text}");
    }
    let line = dev("listen = ['[::1]:1', 'systemd']").unwrap_err();
    assert_eq!(
        line,
        "FILE: listen.1: --dev does not listen on what systemd passes on"
    );
}

#[test]
fn sockets_are_set_as_the_config_says() {
    for (send_timeout, user_timeout) in [(7, 60), (40, 80)] {
        let text = format!("websocket.send_timeout = {send_timeout}");
        let tcp = read(&text).unwrap().daemon.tcp;
        assert_eq!(tcp.user_timeout, Some(Duration::from_secs(user_timeout)));
    }
    let tcp = read("").unwrap().daemon.tcp;
    let keepalive = tcp.keepalive.unwrap();
    assert!(tcp.nodelay && keepalive.idle == Duration::from_secs(60) && keepalive.count == 6);
    let text = "[tcp]\nnodelay = false\nuser_timeout = 0\nkeepalive_idle = 0\nbacklog = 7";
    let tcp = read(text).unwrap().daemon.tcp;
    assert!(!tcp.nodelay && tcp.user_timeout.is_none() && tcp.keepalive.is_none());
    assert_eq!(tcp.backlog, 7);
}

#[test]
fn proxies_speak_where_they_are_told_to() {
    let config = read(
        "listen = ['127.0.0.1:1', 'unix:/run/x.sock']
        trusted_proxies = ['unix', '10.0.0.0/8']
        proxy_protocol = ['unix:/run/x.sock']",
    );
    let config = config.unwrap();
    let places = config.daemon.listen.iter();
    let proxied: Vec<bool> = places.map(|place| place.is_proxied).collect();
    assert_eq!(proxied, [false, true]);
    assert!(config.daemon.trusted.contains(None));
}
