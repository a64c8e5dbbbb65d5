//! Settings as operators write them, from the sources to what holds.
//!
//! Never: reads the environment of the process.

mod default_file;
mod hooks;
mod listen;
mod refusals;
mod tokens;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use fanfare_hub::{Channel, ChannelOptions};

use super::*;

/// A config file, gone when dropped.
struct TempFile(PathBuf);

impl TempFile {
    fn new(text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fanfare-config-{}-{number}.toml", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).expect("a temporary file");
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn sources(file: Option<&TempFile>, environment: &[(&str, &str)], is_dev: bool) -> Sources {
    let environment = environment.iter();
    let environment = environment.map(|(name, value)| (OsString::from(name), value.into()));
    Sources::new(file.map(|file| file.0.clone()), environment, is_dev)
}

fn read(text: &str) -> Result<ServeConfig, String> {
    let file = TempFile::new(text);
    let read = sources(Some(&file), &[], false).read();
    read.map_err(|error| in_short(&error.to_string(), &file))
}

fn from_environment(environment: &[(&str, &str)]) -> Result<ServeConfig, String> {
    let read = sources(None, environment, false).read();
    read.map_err(|error| error.to_string())
}

fn dev(text: &str) -> Result<ServeConfig, String> {
    let file = TempFile::new(text);
    let read = sources(Some(&file), &[], true).read();
    read.map_err(|error| in_short(&error.to_string(), &file))
}

/// The message, with the file called FILE.
fn in_short(message: &str, file: &TempFile) -> String {
    message.replace(&file.0.display().to_string(), "FILE")
}

#[track_caller]
fn options(config: &ServeConfig, channel: &str) -> ChannelOptions {
    let channel = Channel::parse(channel).unwrap();
    let options = config.live.namespaces.resolve(&channel);
    ChannelOptions::clone(options.expect("the namespace is there"))
}

fn listens_on(config: &ServeConfig) -> Vec<String> {
    let places = config.daemon.listen.iter();
    places.map(|place| place.addr.to_string()).collect()
}

fn knows(config: &ServeConfig, channel: &str) -> bool {
    let channel = Channel::parse(channel).unwrap();
    config.live.namespaces.resolve(&channel).is_ok()
}

#[test]
fn nothing_is_open_that_nothing_opens() {
    let config = from_environment(&[]).unwrap();
    assert_eq!(listens_on(&config), ["127.0.0.1:8000"]);
    assert_eq!(config.daemon.output_bytes_max, 1 << 20);
    assert_eq!(config.live.publication_bytes_max, 1 << 20);
    assert_eq!(config.api_body_bytes_max, 8 << 20);
    assert_eq!(
        config.engine.channels_max,
        fanfare_hub::limits::CHANNELS_MAX
    );
    assert_eq!(config.inbox.bytes_max, InboxLimits::default().bytes_max);
    assert_eq!(config.api_listen, None);
    assert_eq!(config.live.api, ApiAccess::Keys(vec![]));
    assert!(!config.echo);
    assert!(!knows(&config, "a") && !knows(&config, "chat:a"));
    assert!(!config.live.origins.admits(b"http://localhost", b"a.test"));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = TempFile::new("workers = 1\nmax_connections = 1\nlog_level = 'warn'");
    let environment = [
        ("FANFARE_WORKERS", "2"),
        ("FANFARE_MAX_CONNECTIONS", "2"),
        ("HOME", "/"),
        ("fanfare_workers", "9"),
        ("FANFARENOT", "x"),
    ];
    let sources = sources(Some(&file), &environment, false)
        .flag("--workers", "workers", Some(3_usize))
        .flag("--listen", "listen", None::<String>);
    let config = sources.read().unwrap();
    assert_eq!(config.daemon.workers.get(), 3);
    assert_eq!(config.daemon.max_connections, Some(2));
    assert_eq!(config.log_level, LogLevel::Warn);
    assert_eq!(sources.name(), file.0.display().to_string());
}

#[test]
fn a_variable_is_a_key_and_its_value_is_toml_or_a_string() {
    let config = from_environment(&[
        ("FANFARE_LISTEN", "127.0.0.1:1234"),
        ("FANFARE_ECHO", "true"),
        ("FANFARE_DRAIN__TIMEOUT", "77.5"),
        ("FANFARE_API__LISTEN", "127.0.0.1:1235"),
        ("FANFARE_API__KEYS", "['0123456789']"),
        ("FANFARE_WEBSOCKET__ALLOWED_ORIGINS", r#"["https://a"]"#),
        ("FANFARE_WEBSOCKET__PING_INTERVAL", "0"),
        ("FANFARE_NAMESPACES__CHAT__HISTORY_SIZE", "10"),
        ("FANFARE_NAMESPACES__CHAT__HISTORY_TTL", "7200"),
        ("FANFARE_DEFAULT_NAMESPACE", "{ slow_reader = 'conflate' }"),
    ])
    .unwrap();
    assert_eq!(listens_on(&config), ["127.0.0.1:1234"]);
    assert!(config.echo);
    assert_eq!(config.daemon.drain.timeout, Duration::from_millis(77_500));
    assert_eq!(config.daemon.timeouts.ping_interval, None);
    assert_eq!(config.api_listen.unwrap().port(), 1235);
    assert_eq!(config.live.api, ApiAccess::Keys(vec!["0123456789".into()]));
    assert!(config.live.origins.admits(b"https://a", b"b"));
    let chat = options(&config, "chat:a");
    assert_eq!(chat.history_size, 10);
    assert_eq!(chat.history_meta_ttl, Duration::from_secs(7200));
    assert!(knows(&config, "a"));
}

#[test]
fn a_list_replaces_a_list_and_a_table_adds_to_a_table() {
    let file = TempFile::new("api.keys = ['from-the-file', 'another-key']\napi.max_body_bytes = 7");
    let environment = [("FANFARE_API__KEYS", "['from-a-variable']")];
    let config = sources(Some(&file), &environment, false).read().unwrap();
    let keys = ApiAccess::Keys(vec!["from-a-variable".into()]);
    assert_eq!(config.live.api, keys);
    assert_eq!(config.api_body_bytes_max, 7);
}

#[test]
fn values_are_taken_as_written() {
    let config = read(
        "websocket.subprotocols = ['b', 'a']
        websocket.response_headers = ['Set-Cookie: a=1; HttpOnly', 'X-A:', 'X-B:c:d ']
        websocket.max_message_bytes = 1000
        listen = '127.0.0.1:0'
        api.listen = '127.0.0.1:0'",
    )
    .unwrap();
    assert_eq!(config.live.subprotocols, ["b", "a"]);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let headers = [
        pair("Set-Cookie", "a=1; HttpOnly"),
        pair("X-A", ""),
        pair("X-B", "c:d"),
    ];
    assert_eq!(config.live.response_headers, headers);
    assert_eq!(config.daemon.message_limits.max_frame_bytes, 1000);
}

#[test]
fn permissions_that_permit_nothing_are_doubted() {
    let config = read(
        "[default_namespace]
        allow_subscribe_for_anonymous = true
        [namespaces.a]
        allow_subscribe_for_client = true
        allow_subscribe_for_anonymous = true
        allow_publish_for_subscriber = true
        allow_publish_for_anonymous = true
        allow_presence_for_client = true
        allow_presence_for_anonymous = true
        allow_history_for_anonymous = true",
    );
    let begin = [
        "default_namespace.allow_subscribe_for_anonymous permits nothing",
        "namespaces.a.allow_history_for_anonymous permits nothing",
    ];
    let config = config.unwrap();
    let doubts = config.exposure.doubts();
    assert_eq!(doubts.len(), begin.len(), "{doubts:?}");
    for (doubt, begin) in doubts.iter().zip(begin) {
        assert!(doubt.starts_with(begin), "{doubt}");
    }
}

#[test]
fn a_config_is_summed_up_in_a_line() {
    for (text, summary) in [
        ("", "no channels; API closed, it has no key"),
        (
            "metrics.public = true",
            "no channels; API closed, it has no key; /metrics open",
        ),
        (
            "default_namespace = {}\nnamespaces.b = {}\nnamespaces.a = {}\necho = true",
            "namespaces: the default, a, b; API closed, it has no key; /echo open",
        ),
        (
            "api.keys = ['12345678', '23456789']",
            "no channels; API with 2 keys",
        ),
    ] {
        let config = read(&format!("workers = 1\n{text}")).unwrap();
        assert_eq!(
            config.to_string(),
            format!("listens on 127.0.0.1:8000; 1 worker; {summary}")
        );
    }
    let config = dev("workers = 2\napi.listen = '[::1]:9'").unwrap();
    let summary = "listens on 127.0.0.1:8000 (API: [::1]:9); 2 workers; namespaces: any (--dev); API open; /echo open";
    assert_eq!(config.to_string(), summary);
}

#[test]
fn dev_opens_everything_to_the_loopback_and_listens_on_no_other() {
    let config = dev("[namespaces.mine]\npresence = true").unwrap();
    assert!(config.echo);
    assert_eq!(config.live.api, ApiAccess::Open);
    assert!(
        config
            .live
            .origins
            .admits(b"http://localhost:3000", b"127.0.0.1:8000")
    );
    let any = options(&config, "whatever:a");
    assert!(any.force_recovery && any.allow_publish_for_anonymous && any.has_history());
    assert!(knows(&config, "a"));
    let mine = options(&config, "mine:a");
    assert!(mine.presence && !mine.allow_subscribe_for_client);
    for (text, line) in [
        (
            "listen = '0.0.0.0:8000'",
            "FILE: listen: 0.0.0.0:8000 is no loopback address, and --dev listens on no other",
        ),
        (
            "api.listen = '[::]:9000'",
            "FILE: api.listen: [::]:9000 is no loopback address, and --dev listens on no other",
        ),
    ] {
        assert_eq!(dev(text).unwrap_err(), line);
    }
    let flag = sources(None, &[], true).flag("--listen", "listen", Some("192.0.2.1:1".to_owned()));
    let line = flag.read().unwrap_err().to_string();
    assert!(
        line.starts_with("--listen: 192.0.2.1:1 is no loopback address"),
        "{line}"
    );
    for loopback in ["127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(dev(&format!("listen = '{loopback}'")).is_ok(), "{loopback}");
    }
}

#[test]
fn a_reload_changes_what_may_change_or_nothing() {
    let file = TempFile::new("publication.max_bytes = 1");
    let sources = sources(Some(&file), &[], false);
    let ServeConfig { live, running, .. } = sources.read().unwrap();
    let live: SharedLive = Arc::new(ArcSwap::from_pointee(live));
    let bytes_max = |live: &SharedLive| live.load().publication_bytes_max;
    file.write("publication.max_bytes = 2");
    reload(&sources, &running, &live);
    assert_eq!(bytes_max(&live), 2);
    for bad in [
        "publication.max_bytes = 3\nbogus = 1",
        "publication.max_bytes = 0",
        "x",
    ] {
        file.write(bad);
        reload(&sources, &running, &live);
        assert_eq!(bytes_max(&live), 2, "{bad}");
    }
    file.write("[namespaces.a]");
    reload(&sources, &running, &live);
    assert_eq!(bytes_max(&live), 1 << 20);
    let channel = Channel::parse("a:b").unwrap();
    assert!(live.load().namespaces.resolve(&channel).is_ok());
}

#[test]
fn secrets_are_not_printed() {
    let file = TempFile::new("api.keys = ['do-not-tell']");
    let environment = [("FANFARE_API__KEYS", "['do-not-tell-either']")];
    let sources = sources(Some(&file), &environment, false);
    let config = sources.read().unwrap();
    let printed = format!("{sources:?} {config:?} {config}");
    assert!(!printed.contains("do-not-tell"), "{printed}");
}
