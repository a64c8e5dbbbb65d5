//! A chat of one room. In: an address. Out: a page to chat from, and a WebSocket at `/ws` whose first message is a name.
//!
//! ```console
//! $ cargo run --release -p fanfare-tokio --example axum_chat --features axum -- 127.0.0.1:3000
//! ```
//!
//! What is said is encoded once for all: the channel carries frames, not texts.
//!
//! Never: lets one slow reader hold up the others; it is told how many lines it has missed.

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{Html, Response};
use axum::routing::{any, get};
use fanfare_tokio::axum::{CloseCode, WebSocket, WebSocketUpgrade};
use fanfare_tokio::{
    Config, Error, Limits, MessageRef, PreparedFrame, ReadHalf, UpgradedIo, WriteHalf,
};
use tokio::net::TcpListener;
use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

/// Lines that may wait for a reader.
const LINES: usize = 256;

struct Room {
    names: Mutex<HashSet<String>>,
    lines: broadcast::Sender<PreparedFrame>,
}

impl Room {
    fn say(&self, line: String) {
        // Nobody listens: nobody has missed it.
        let _ = self.lines.send(PreparedFrame::text(line));
    }

    /// Whether nobody else has this name.
    fn enter(&self, name: &str) -> bool {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        !name.is_empty() && names.insert(name.to_owned())
    }

    fn leave(&self, name: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.remove(name);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address] = args.as_slice() else {
        eprintln!("usage: axum_chat ADDR");
        return ExitCode::from(2);
    };
    match serve(address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("axum_chat: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: &str) -> std::io::Result<()> {
    let room = Arc::new(Room {
        names: Mutex::default(),
        lines: broadcast::Sender::new(LINES),
    });
    let app = Router::new()
        .route("/", get(async || Html(include_str!("axum_chat.html"))))
        .route("/ws", any(chat))
        .with_state(room);
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on ws://{}/ws", listener.local_addr()?);
    axum::serve(listener, app).await
}

async fn chat(ws: WebSocketUpgrade, State(room): State<Arc<Room>>) -> Response {
    let config = Config::DEFAULT
        .with_limits(Limits::DEFAULT.with_max_message_bytes(4096))
        .with_ping_interval(Some(Duration::from_secs(25)))
        .with_idle_timeout(Some(Duration::from_secs(60)));
    ws.config(config).on_upgrade(async move |socket| {
        // How a visitor leaves is their own business.
        let _ = visit(socket, &room).await;
    })
}

async fn visit(mut socket: WebSocket, room: &Room) -> Result<(), Error> {
    let name = loop {
        match socket.next_message().await.transpose()? {
            Some(MessageRef::Text(name)) if room.enter(name) => break name.to_owned(),
            Some(MessageRef::Text(_)) => {
                let why = "that name is taken, or none";
                return socket.close(CloseCode::POLICY_VIOLATION, why).await;
            }
            Some(_) => {}
            None => return Ok(()),
        }
    };
    let lines = room.lines.subscribe();
    room.say(format!("{name} has joined"));
    let (write, read) = socket.split();
    let ended = tokio::select! {
        ended = hear(read, &name, room) => ended,
        ended = tell(write, lines) => ended,
    };
    room.leave(&name);
    room.say(format!("{name} has left"));
    ended
}

/// What a visitor says.
async fn hear(mut read: ReadHalf<UpgradedIo>, name: &str, room: &Room) -> Result<(), Error> {
    while let Some(message) = read.next_message().await {
        if let MessageRef::Text(text) = message? {
            room.say(format!("{name}: {text}"));
        }
    }
    Ok(())
}

/// What a visitor is told: all lines that wait, in one write.
async fn tell(
    mut write: WriteHalf<UpgradedIo>,
    mut lines: broadcast::Receiver<PreparedFrame>,
) -> Result<(), Error> {
    loop {
        let mut next = match lines.recv().await {
            Ok(line) => Ok(line),
            Err(RecvError::Lagged(missed)) => Err(TryRecvError::Lagged(missed)),
            Err(RecvError::Closed) => return Ok(()),
        };
        loop {
            write.ready().await?;
            match next {
                Ok(line) => write.write_prepared(&line)?,
                Err(TryRecvError::Lagged(missed)) => {
                    write.write_text(&format!("(you were too slow for {missed} lines)"))?;
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
            next = lines.try_recv();
        }
        write.flush().await?;
    }
}
