//! axum's own `WebSocketUpgrade`, which is tungstenite on hyper's `Upgraded`. Its documentation sends with `send`;
//! here it is fed and flushed, see `sinks.rs`. With its defaults (reads of 128 KiB), or reads of 4 KiB.
//!
//! Never: measures.

use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::routing::any;

use crate::count::Count;
use crate::sinks::echo;

/// Any path.
pub(crate) fn route(count: Count, read_bytes: Option<usize>) -> Router {
    Router::new().fallback(any(move |mut upgrade: WebSocketUpgrade| async move {
        if let Some(bytes) = read_bytes {
            upgrade = upgrade.read_buffer_size(bytes);
        }
        upgrade.on_upgrade(move |ws| async move {
            let is_data = |m: &Message| matches!(m, Message::Text(_) | Message::Binary(_));
            // How a client leaves is its own business.
            let _ = echo(ws, count, is_data).await;
        })
    }))
}
