//! A small push server with positions on tokio-tungstenite, which can misbehave: what a client sends is
//! told to all on the path as `OFFSET:EPOCH PAYLOAD`; each is greeted with the position of the end, and
//! one that asks for what is since a position gets it. In: what to do wrong. Out: a URL, and what was
//! published and told.
//!
//! What it does wrong it does at the same publications to every subscriber, on every connection: so
//! what comes of it does not depend on when one is cut.
//!
//! Never: does wrong to a client that has sent something: loadgen does not look at what such a one gets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::tasks::listen;

/// What the server does besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Nothing.
    Honest,
    /// Leaves publications out.
    Drop,
    /// Tells publications twice.
    Repeat,
    /// Tells publications behind the next.
    Swap,
    /// Changes the last byte of publications.
    Corrupt,
    /// Ends connections with code 3010 instead of telling publications.
    Tell,
    /// Keeps no more than so many publications; whoever asks for more is told.
    Keep(usize),
}

/// The offsets of publications that are mishandled; by the first every publisher of a test has published.
pub(crate) const MISDEEDS: [usize; 3] = [60, 110, 160];

/// Of every channel.
const EPOCH: &str = "e%25+/=";

/// A server on a free port; its thread ends with the test process.
pub(crate) struct Stream {
    pub(crate) url: String,
    room: Arc<Room>,
}

struct Room {
    conduct: Conduct,
    channels: Mutex<HashMap<String, Channel>>,
    /// With `channels`: something was published.
    news: Condvar,
    told: AtomicU64,
}

#[derive(Default)]
struct Channel {
    /// That of offset 1 first.
    history: Vec<String>,
    clients: Vec<Client>,
}

struct Client {
    /// What leaves in one write.
    outbox: UnboundedSender<Vec<Message>>,
    has_published: bool,
}

impl Stream {
    pub(crate) fn start(conduct: Conduct) -> Self {
        let room = Arc::new(Room {
            conduct,
            channels: Mutex::new(HashMap::new()),
            news: Condvar::new(),
            told: AtomicU64::new(0),
        });
        let theirs = Arc::clone(&room);
        let [address] = listen([Box::new(move |stream| {
            drop(tokio::spawn(serve(stream, Arc::clone(&theirs))));
        })]);
        Self {
            url: format!("ws://{address}/"),
            room,
        }
    }

    /// How many publications it has got.
    pub(crate) fn published(&self) -> usize {
        let channels = self.room.channels();
        channels.values().map(|channel| channel.history.len()).sum()
    }

    /// How often it has ended a connection with code 3010.
    pub(crate) fn told(&self) -> u64 {
        self.room.told.load(Ordering::SeqCst)
    }

    /// Waits until it has got so many publications.
    pub(crate) fn await_published(&self, count: usize) {
        let is_less = |channels: &mut HashMap<String, Channel>| {
            let published = channels.values().map(|channel| channel.history.len());
            published.sum::<usize>() < count
        };
        let waited = self.room.news.wait_while(self.room.channels(), is_less);
        drop(waited.expect("no task panics"));
    }
}

impl Room {
    fn channels(&self) -> MutexGuard<'_, HashMap<String, Channel>> {
        self.channels.lock().expect("no task panics")
    }

    /// A new client on `path`: its number there, and what it is to be sent.
    fn join(
        &self,
        path: &str,
        query: &HashMap<String, String>,
    ) -> (usize, UnboundedReceiver<Vec<Message>>) {
        let (outbox, messages) = unbounded_channel();
        let mut channels = self.channels();
        let channel = channels.entry(path.to_owned()).or_default();
        let end = channel.history.len();
        let send = |messages| outbox.send(messages).expect("the other end is here");
        if query.contains_key("meta") {
            send(vec![Message::text(format!("{end}:{EPOCH}"))]);
        }
        if let Some(since) = query.get("since") {
            let (offset, epoch) = since.split_once(':').expect("a position has both");
            assert_eq!(epoch, EPOCH, "it is what the client was told");
            let offset: usize = offset.parse().expect("an offset is a number");
            if let Conduct::Keep(kept) = self.conduct
                && end - offset > kept
            {
                send(vec![self.told()]);
            } else {
                for offset in offset + 1..=end {
                    send(self.telling(&channel.history, offset));
                }
            }
        }
        channel.clients.push(Client {
            outbox,
            has_published: false,
        });
        (channel.clients.len() - 1, messages)
    }

    fn publish(&self, path: &str, sender: usize, payload: String) {
        let mut channels = self.channels();
        let channel = channels.entry(path.to_owned()).or_default();
        channel.clients[sender].has_published = true;
        channel.history.push(payload);
        self.news.notify_all();
        let is_listening = |client: &&Client| !client.has_published && !client.outbox.is_closed();
        for client in channel.clients.iter().filter(is_listening) {
            // One that has just gone is sent nothing.
            let _ = client
                .outbox
                .send(self.telling(&channel.history, channel.history.len()));
        }
    }

    /// What a subscriber is sent when the publication at `offset` is its turn.
    fn telling(&self, history: &[String], offset: usize) -> Vec<Message> {
        let told = |offset: usize| {
            let payload = &history[offset - 1];
            Message::text(format!("{offset}:{EPOCH} {payload}"))
        };
        let is_misdeed = MISDEEDS.contains(&offset);
        let is_next = MISDEEDS.contains(&(offset - 1));
        match self.conduct {
            Conduct::Drop | Conduct::Swap if is_misdeed => Vec::new(),
            Conduct::Swap if is_next => vec![told(offset), told(offset - 1)],
            Conduct::Repeat if is_misdeed => vec![told(offset), told(offset)],
            Conduct::Tell if is_misdeed => vec![self.told()],
            Conduct::Corrupt if is_misdeed => {
                let text = told(offset).into_text().expect("it is text");
                vec![Message::text(format!("{}!", &text[..text.len() - 1]))]
            }
            _ => vec![told(offset)],
        }
    }

    /// The end of a connection that has missed something.
    fn told(&self) -> Message {
        self.told.fetch_add(1, Ordering::SeqCst);
        Message::Close(Some(CloseFrame {
            code: 3010.into(),
            reason: "insufficient state".into(),
        }))
    }
}

/// Serves one WebSocket to its end.
async fn serve(stream: TcpStream, room: Arc<Room>) {
    stream.set_nodelay(true).expect("it is a TCP socket");
    let mut joined = None;
    // It gets what is published from before it hears of the upgrade.
    #[expect(clippy::result_large_err, reason = "the library says so")]
    let join = |request: &Request, response: Response| {
        let path = request.uri().path().to_owned();
        let pairs = request.uri().query().unwrap_or_default().split('&');
        let query = pairs
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), decoded(value)))
            .collect();
        joined = Some((room.join(&path, &query), path));
        Ok(response)
    };
    let Ok(socket) = accept_hdr_async(stream, join).await else {
        return;
    };
    let ((number, mut messages), path) = joined.expect("the request was seen");
    let (mut sink, mut stream) = socket.split();
    tokio::spawn(async move {
        while let Some(batch) = messages.recv().await {
            for message in batch {
                if sink.feed(message).await.is_err() {
                    return;
                }
            }
            if sink.flush().await.is_err() {
                return;
            }
        }
    });
    while let Some(Ok(message)) = stream.next().await {
        if let Message::Text(text) = message {
            room.publish(&path, number, text.to_string());
        }
    }
}

/// What percent-encoded text says (RFC 3986 §2.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(&behind[..2]).expect("they are ASCII");
            bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
            rest = &behind[2..];
        } else {
            bytes.push(byte);
            rest = behind;
        }
    }
    String::from_utf8(bytes).expect("positions are ASCII")
}
