//! From what is written to what holds. In: values of the right types. Out: a [`ServeConfig`] that
//! contradicts nothing, or the key that is at fault.
//!
//! Never: opens anything (but host names are looked up, and files that hold keys are read); logs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fanfare_codec::Limits;
use fanfare_codec::handshake::{Response, Status};
use fanfare_hub::{
    ChannelOptions, InboxLimits, MemoryConfig, NamespaceError, Namespaces, OptionsError,
};

use fanfare_protocol::ClientSettings;

use super::error::{Fault, Key};
use super::file::{Api, File, Namespace, WebSocket};
use super::live::{ApiAccess, Live};
use super::reload::{Running, Settings};
use super::{
    Config, Exposure, HookSettings, Listen, OriginPolicy, ServeConfig, Timeouts, bounds, deflate,
    drain, hooks, listen, parse, tls, token,
};
use crate::limits::{API_KEY_BYTES_MIN, HOOKS_IN_FLIGHT_MAX, WORKERS_MAX};
use crate::listener::ListenAddr;
use crate::tls::Tls;

/// How long a channel's epoch outlives its last publication, unless that is said or its publications
/// live longer.
const HISTORY_META_TTL: Duration = Duration::from_secs(3600);

/// An SDK takes a connection for dead that is silent for longer than it was told, in whole seconds.
const PING_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// `is_dev`: `--dev`, which opens everything to this machine, and to no other.
pub(super) fn check(file: &File, is_dev: bool) -> Result<ServeConfig, Fault> {
    let daemon = daemon(file, is_dev)?;
    let api_listen = api_listen(&file.api, &daemon.listen)?;
    if is_dev && let Some(listen) = api_listen {
        assert_loopback(["api", "listen"].into(), listen)?;
    }
    let live = live(file, is_dev)?;
    let daemon = Config {
        tls: live.tls.clone().map(Tls::new),
        ..daemon
    };
    Ok(ServeConfig {
        api_listen,
        api_tls: file.api.tls,
        channels_max: file.client.max_channels.get(),
        api_body_bytes_max: file.api.max_body_bytes.get(),
        echo: file.echo || is_dev,
        page: is_dev,
        engine: MemoryConfig {
            channels_max: file.engine.channels_max.get(),
            idempotency_keys_max: file.engine.idempotency_keys_max.get(),
            idempotency_ttl: seconds(
                ["engine", "idempotency_ttl"].into(),
                file.engine.idempotency_ttl,
            )?,
            ..MemoryConfig::new(0)
        },
        inbox: InboxLimits {
            deliveries_max: file.inbox.deliveries_max.get(),
            events_max: file.inbox.events_max.get(),
            bytes_max: file.inbox.bytes_max.get(),
            requests_max: file.inbox.requests_max.get(),
            orders_max: file.inbox.orders_max.get(),
            marks_max: file.inbox.marks_max.get(),
        },
        hooks_in_flight_max: hooks_in_flight(file)?,
        log_level: file.log_level,
        log_format: file.log_format,
        exposure: Exposure::of(file, is_dev),
        running: Running::new(Settings::of(file)),
        daemon,
        live,
    })
}

fn daemon(file: &File, is_dev: bool) -> Result<Config, Fault> {
    let WebSocket {
        max_message_bytes,
        max_frame_bytes,
        ..
    } = file.websocket;
    let max_frame_bytes = max_frame_bytes.unwrap_or(max_message_bytes);
    if max_frame_bytes > max_message_bytes {
        return Err(Fault::new(
            ["websocket", "max_frame_bytes"],
            format!("must be at most websocket.max_message_bytes, {max_message_bytes}"),
        ));
    }
    let workers = match file.workers {
        Some(workers) if workers > WORKERS_MAX => {
            return Err(Fault::new(
                ["workers"],
                format!("must be at most {WORKERS_MAX}"),
            ));
        }
        Some(workers) => workers,
        None => parse::one_a_core().min(WORKERS_MAX),
    };
    let trusted = listen::trusted(file)?;
    let timeouts = timeouts(file)?;
    Ok(Config {
        listen: listen::places(file, &trusted, is_dev)?,
        unix_socket_mode: listen::unix_socket_mode(file)?,
        tcp: listen::tcp(&file.tcp, timeouts.send)?,
        trusted,
        workers,
        max_connections: file.max_connections.map(|max| max.get()),
        message_limits: Limits::DEFAULT
            .with_max_frame_bytes(max_frame_bytes.get())
            .with_max_message_bytes(max_message_bytes.get())
            .with_max_fragments(file.websocket.max_fragments.get()),
        deflate: deflate::check(&file.websocket.deflate)?,
        output_bytes_max: file.websocket.max_output_bytes.get(),
        bounds: bounds::check(file)?,
        timeouts,
        drain: drain::check(&file.drain, is_dev)?,
        access_log: file.access_log,
        tls: None,
    })
}

fn timeouts(file: &File) -> Result<Timeouts, Fault> {
    let websocket = &file.websocket;
    let positive = |name, value| seconds(["websocket", name].into(), value);
    let ping_interval = seconds_or_zero(
        ["websocket", "ping_interval"].into(),
        websocket.ping_interval,
    )?;
    Ok(Timeouts {
        handshake: positive("handshake_timeout", websocket.handshake_timeout)?,
        ping_interval: (!ping_interval.is_zero()).then_some(ping_interval),
        pong: positive("pong_timeout", websocket.pong_timeout)?,
        send: positive("send_timeout", websocket.send_timeout)?,
        close: positive("close_timeout", websocket.close_timeout)?,
    })
}

/// `main`: where everything else listens.
fn api_listen(api: &Api, main: &[Listen]) -> Result<Option<SocketAddr>, Fault> {
    let Some(text) = &api.listen else {
        return Ok(None);
    };
    let key: Key = ["api", "listen"].into();
    let listen = address(key.clone(), text)?;
    for place in main {
        let ListenAddr::Tcp(main) = place.addr else {
            continue;
        };
        let ips = [listen.ip().to_canonical(), main.ip().to_canonical()];
        let meets = ips[0] == ips[1] || ips.iter().any(|ip| ip.is_unspecified());
        if meets && listen.port() == main.port() && listen.port() != 0 {
            return Err(Fault::new(
                key,
                format!("{listen} is taken by `listen`, {main}"),
            ));
        }
    }
    Ok(Some(listen))
}

fn hooks_in_flight(file: &File) -> Result<usize, Fault> {
    let max = file.hooks.max_in_flight.get();
    if max > HOOKS_IN_FLIGHT_MAX {
        let why = format!("must be at most {HOOKS_IN_FLIGHT_MAX}");
        return Err(Fault::new(["hooks", "max_in_flight"], why));
    }
    Ok(max)
}

fn live(file: &File, is_dev: bool) -> Result<Live, Fault> {
    let mut origins = origins(&file.websocket)?;
    let mut namespaces = namespaces(file)?;
    let keys = api_keys(&file.api)?;
    let api = if is_dev {
        origins.admit_loopback();
        namespaces
            .set_any(everything())
            .expect("the options of --dev are valid");
        ApiAccess::Open
    } else {
        ApiAccess::Keys(keys)
    };
    let hooks = hooks::check(file)?;
    let tokens = token::check(&file.token)?.map(Arc::new);
    Ok(Live {
        client: client(file, &hooks, tokens.is_some(), is_dev)?,
        connections_per_user_max: file.client.max_connections_per_user.map(|max| max.get()),
        token_cookie: file.client.token_cookie.as_deref().map(Into::into),
        namespaces,
        origins,
        subprotocols: subprotocols(&file.websocket)?,
        response_headers: response_headers(&file.websocket)?,
        api,
        metrics_public: file.metrics.public,
        publication_bytes_max: file.publication.max_bytes.get(),
        hooks,
        tls: tls::check(file)?,
        tokens,
    })
}

/// What sessions may.
fn client(
    file: &File,
    hooks: &HookSettings,
    has_tokens: bool,
    is_dev: bool,
) -> Result<ClientSettings, Fault> {
    let client = &file.client;
    let key = |name| Key::from(["client", name]);
    let names_namespace = !client.personal_namespace.is_empty();
    if client.personal_channels
        && names_namespace
        && !file.namespaces.contains_key(&client.personal_namespace)
    {
        let why = format!("there is no namespace {:?}", client.personal_namespace);
        return Err(Fault::new(key("personal_namespace"), why));
    }
    if client.personal_channels && !names_namespace && file.default_namespace.is_none() {
        let why = "personal channels need [default_namespace], or a personal_namespace";
        return Err(Fault::new(key("personal_channels"), why));
    }
    if let Some(cookie) = &client.token_cookie
        && Response::new(Status::OK).subprotocol(cookie).is_err()
    {
        let why = format!("{cookie:?} is not a token (RFC 6265 §4.1.1)");
        return Err(Fault::new(key("token_cookie"), why));
    }
    let ping_interval = seconds_or_zero(key("ping_interval"), client.ping_interval)?;
    let pong_timeout = seconds(key("pong_timeout"), client.pong_timeout)?;
    if ping_interval > PING_INTERVAL_MAX {
        let why = format!("must be at most {}", PING_INTERVAL_MAX.as_secs());
        return Err(Fault::new(key("ping_interval"), why));
    }
    if !ping_interval.is_zero() && ping_interval <= pong_timeout {
        let why = format!(
            "must be less than client.ping_interval, {}",
            client.ping_interval
        );
        return Err(Fault::new(key("pong_timeout"), why));
    }
    Ok(ClientSettings {
        allow_anonymous: client.allow_anonymous || is_dev,
        has_tokens,
        has_connect_hook: hooks.has_connect(),
        has_refresh_hook: hooks.has_refresh(),
        has_rpc_hook: hooks.has_rpc(),
        personal_namespace: client
            .personal_channels
            .then(|| client.personal_namespace.as_str().into()),
        ping_interval: (!ping_interval.is_zero()).then_some(ping_interval),
        pong_timeout: Some(pong_timeout),
        connect_timeout: seconds(key("connect_timeout"), client.connect_timeout)?,
        expiry_grace: seconds_or_zero(key("expiry_grace"), client.expiry_grace)?,
        commands_per_second_max: client.max_commands_per_second,
        publication_bytes_max: file.publication.max_bytes.get(),
    })
}

/// What every channel may and keeps under `--dev`, if its namespace is not in the config.
fn everything() -> ChannelOptions {
    ChannelOptions {
        history_size: 100,
        history_ttl: Duration::from_secs(300),
        history_meta_ttl: Duration::from_secs(3600),
        force_recovery: true,
        presence: true,
        join_leave: true,
        allow_subscribe_for_client: true,
        allow_subscribe_for_anonymous: true,
        allow_publish_for_subscriber: true,
        allow_publish_for_client: true,
        allow_publish_for_anonymous: true,
        allow_presence_for_subscriber: true,
        allow_presence_for_client: true,
        allow_presence_for_anonymous: true,
        allow_history_for_subscriber: true,
        allow_history_for_client: true,
        allow_history_for_anonymous: true,
        ..ChannelOptions::default()
    }
}

fn namespaces(file: &File) -> Result<Namespaces, Fault> {
    let mut namespaces = Namespaces::default();
    if let Some(namespace) = &file.default_namespace {
        let key: Key = ["default_namespace"].into();
        let options = options(&key, namespace)?;
        namespaces
            .set_unnamed(options.clone())
            .map_err(|error| refused(&key, &options, error))?;
    }
    for (name, namespace) in &file.namespaces {
        let key: Key = ["namespaces", name].into();
        let options = options(&key, namespace)?;
        namespaces
            .add(name, options.clone())
            .map_err(|error| refused(&key, &options, error))?;
    }
    Ok(namespaces)
}

fn options(key: &Key, namespace: &Namespace) -> Result<ChannelOptions, Fault> {
    let ttl = seconds_or_zero(key.join("history_ttl"), namespace.history_ttl)?;
    let meta_ttl = match namespace.history_meta_ttl {
        Some(meta_ttl) => seconds_or_zero(key.join("history_meta_ttl"), meta_ttl)?,
        None if namespace.history_size == 0 => ttl,
        None => ttl.max(HISTORY_META_TTL),
    };
    Ok(namespace.options(ttl, meta_ttl))
}

/// Which of the `options` the hub's `error` speaks of: one that is set.
fn refused(namespace: &Key, options: &ChannelOptions, error: NamespaceError) -> Fault {
    let NamespaceError::Options(contradiction) = error else {
        return Fault::new(namespace.clone(), error.to_string());
    };
    let name = match contradiction {
        OptionsError::HistoryTooLarge => "history_size",
        OptionsError::HistoryHalfSet if options.has_history() => "history_size",
        OptionsError::HistoryHalfSet => "history_ttl",
        OptionsError::MetaTtlTooShort => "history_meta_ttl",
        OptionsError::PositionsWithoutHistory if options.force_recovery => "force_recovery",
        OptionsError::PositionsWithoutHistory => "force_positioning",
        OptionsError::CacheWithoutHistory => "force_recovery_mode",
        OptionsError::LossyWithHistory => "slow_reader",
        OptionsError::PushWithoutJoinLeave => "force_push_join_leave",
        _ => return Fault::new(namespace.clone(), error.to_string()),
    };
    Fault::new(namespace.join(name), error.to_string())
}

fn origins(websocket: &WebSocket) -> Result<OriginPolicy, Fault> {
    let mut origins = OriginPolicy::default();
    for (key, entry) in entries(["websocket", "allowed_origins"], &websocket.allowed_origins) {
        origins.admit(entry).map_err(|_| {
            let want = "want scheme://host or scheme://host:port, \"*\" or \"null\"";
            Fault::new(key, format!("{want}, not {entry:?}"))
        })?;
    }
    Ok(origins)
}

fn subprotocols(websocket: &WebSocket) -> Result<Vec<String>, Fault> {
    let names = &websocket.subprotocols;
    for (n, (key, name)) in entries(["websocket", "subprotocols"], names).enumerate() {
        if Response::new(Status::OK).subprotocol(name).is_err() {
            let why = format!("{name:?} is not a token (RFC 6455 §4.1)");
            return Err(Fault::new(key, why));
        }
        if names[..n].contains(name) {
            return Err(Fault::new(key, format!("{name:?} is there twice")));
        }
    }
    Ok(names.clone())
}

fn response_headers(websocket: &WebSocket) -> Result<Vec<(String, String)>, Fault> {
    let lines = entries(
        ["websocket", "response_headers"],
        &websocket.response_headers,
    );
    let mut headers = Vec::new();
    for (key, line) in lines {
        let Some((name, value)) = line.split_once(':') else {
            return Err(Fault::new(key, format!("want `Name: value`, not {line:?}")));
        };
        let value = value.trim_matches([' ', '\t']);
        if let Err(error) = Response::new(Status::OK).header(name, value) {
            return Err(Fault::new(key, format!("{line:?}: {error}")));
        }
        if is_ours(name) {
            return Err(Fault::new(key, format!("{name} is the server's to set")));
        }
        headers.push((name.to_owned(), value.to_owned()));
    }
    Ok(headers)
}

/// Headers that make a 101 a 101, or say how long a body is, which it has not.
fn is_ours(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    let framing = [
        "connection",
        "content-length",
        "fanfare-position",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    framing.contains(&header.as_str()) || header.starts_with("sec-websocket-")
}

/// No message repeats a key.
fn api_keys(api: &Api) -> Result<Vec<String>, Fault> {
    for (at, key) in entries(["api", "keys"], &api.keys) {
        if key.len() < API_KEY_BYTES_MIN {
            let why = format!("must have at least {API_KEY_BYTES_MIN} characters");
            return Err(Fault::new(at, why));
        }
        // Others do not get through an `Authorization` header unchanged.
        if !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Fault::new(at, "must be of visible ASCII characters alone"));
        }
    }
    Ok(api.keys.clone())
}

/// Each entry of a list, with its key.
pub(super) fn entries<'a, const N: usize>(
    list: [&'a str; N],
    entries: &'a [String],
) -> impl Iterator<Item = (Key, &'a String)> {
    let key = Key::from(list);
    let numbered = entries.iter().enumerate();
    numbered.map(move |(n, entry)| (key.join(&n.to_string()), entry))
}

fn assert_loopback(key: Key, listen: SocketAddr) -> Result<(), Fault> {
    if listen.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let why = format!("{listen} is no loopback address, and --dev listens on no other");
    Err(Fault::new(key, why))
}

fn address(key: Key, text: &str) -> Result<SocketAddr, Fault> {
    parse::address(text).map_err(|why| Fault::new(key, format!("{text:?}: {why}")))
}

pub(super) fn seconds(key: Key, value: f64) -> Result<Duration, Fault> {
    parse::seconds(value).map_err(|why| Fault::new(key, why))
}

pub(super) fn seconds_or_zero(key: Key, value: f64) -> Result<Duration, Fault> {
    parse::seconds_or_zero(value).map_err(|why| Fault::new(key, why))
}
