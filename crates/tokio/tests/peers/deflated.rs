//! The same conversation, compressed (RFC 7692), with the peer that has that.
//!
//! Never: takes it on trust that something was compressed.

use fanfare_tokio::deflate::{
    DeflateOffer, DeflatePolicy, DeflateSettings, OfferedClientWindow, WindowBits,
};
use fanfare_tokio::{Config, Role};

use crate::conversation::talk;
use crate::peer::{Peer, ends};
use crate::yawc::Yawc;

/// What is shorter we send as it is.
const COMPRESSED_BYTES_MIN: usize = 16;

fn settings() -> Config {
    let settings = DeflateSettings::DEFAULT.with_threshold_bytes(COMPRESSED_BYTES_MIN);
    Config::DEFAULT.with_deflate_settings(settings)
}

async fn converse(role: Role, config: &Config, extensions: &str) {
    let (mut ours, mut theirs) = ends::<Yawc>(role, config, Some(extensions)).await;
    let text = "again and again ".repeat(500);
    ours.write_text(&text).expect("room");
    let waiting = ours.waiting_bytes();
    assert!(waiting < text.len() / 10, "{extensions}: {waiting} bytes");
    ours.flush().await.expect("open");
    let found = theirs.next().await.expect("open");
    assert!(found == fanfare_tokio::Message::text(text), "{extensions}");
    talk(ours, theirs).await;
}

#[tokio::test]
async fn it_asks_us_with_windows_kept_or_not_and_of_any_size() {
    for (takeover, offer) in [
        (true, "permessage-deflate; client_max_window_bits"),
        (
            true,
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10",
        ),
        (true, "permessage-deflate; server_no_context_takeover"),
        (
            true,
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=12",
        ),
        (false, "permessage-deflate"),
    ] {
        let policy = DeflatePolicy::DEFAULT
            .with_server_takeover(takeover)
            .with_client_takeover(takeover);
        let config = settings().with_deflate_policy(Some(policy));
        converse(Role::Server, &config, offer).await;
    }
}

#[tokio::test]
async fn it_serves_us_with_windows_kept_or_not_and_of_any_size() {
    let bits = |bits| WindowBits::new(bits).expect("a window");
    let offer = DeflateOffer::default()
        .with_server_max_window_bits(bits(12))
        .with_client_max_window_bits(OfferedClientWindow::AtMost(bits(12)));
    for answer in [
        "permessage-deflate; server_max_window_bits=12",
        "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=12",
        "permessage-deflate; client_no_context_takeover; server_max_window_bits=9",
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover; \
            server_max_window_bits=12",
    ] {
        let config = settings().with_deflate_offer(Some(offer));
        converse(Role::Client, &config, answer).await;
    }
}
