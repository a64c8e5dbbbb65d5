//! A small broadcast server on tokio-tungstenite, which can misbehave: what a client sends goes to all
//! others on the path; what is posted to `/publish/CHANNEL`, or in JSON to `/api/publish` (`data`, or
//! `b64data` in base64), to all on the path `/CHANNEL`. In: what to do wrong. Out: two URLs, and how often it was done.
//!
//! Never: does wrong to a client that has sent something: loadgen does not look at what such a one gets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::tasks::{Posts, listen};

/// What the server does besides broadcasting, each time to one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Nothing.
    Honest,
    /// Leaves publications out.
    Drop,
    /// Greets each client, and leaves publications out.
    Greet,
    /// Sends nothing more to one subscriber.
    Mute,
    /// Sends publications twice.
    Repeat,
    /// Sends publications behind the next of the same publisher.
    Swap,
    /// Changes this byte of publications.
    CorruptByte(usize),
    /// Cuts the last byte of publications off.
    Shorten,
    /// Sends publications as the other kind of message.
    OtherKind,
    /// Sends publications to a subscriber of another path as well.
    Leak,
    /// Ends a connection.
    Hangup,
    /// Answers POST requests with 503 and broadcasts nothing.
    Refuse,
    /// Answers each POST request this much later.
    Linger(Duration),
    /// Each publication to one subscriber this much later.
    Delay(Duration),
    /// Ends each connection that takes nothing for so long, of what is sent to it.
    Impatient(Duration),
}

/// Misdeeds begin with this publication; by then every publisher of a test has published.
pub(crate) const MISDEED_FROM: u64 = 60;

/// One publication in so many is mishandled.
pub(crate) const MISDEED_ONE_IN: u64 = 10;

/// So many misdeeds are done.
pub(crate) const MISDEEDS: u64 = 5;

/// A server on two free ports; its thread ends with the test process.
pub(crate) struct Broadcast {
    /// Of its WebSockets.
    pub(crate) url: String,
    /// Of its HTTP endpoint.
    pub(crate) http_url: String,
    room: Arc<Room>,
}

impl Broadcast {
    pub(crate) fn start(conduct: Conduct) -> Self {
        let room = Arc::new(Room {
            conduct,
            paths: Mutex::new(HashMap::new()),
            published: AtomicU64::new(0),
            news: Condvar::new(),
            misdeeds: AtomicU64::new(0),
        });
        let (sockets_of, posts_of) = (Arc::clone(&room), Arc::clone(&room));
        let [sockets, posts] = listen([
            Box::new(move |stream| drop(tokio::spawn(serve(stream, Arc::clone(&sockets_of))))),
            Box::new(move |stream| drop(tokio::spawn(answer_posts(stream, Arc::clone(&posts_of))))),
        ]);
        Self {
            url: format!("ws://{sockets}/"),
            http_url: format!("http://{posts}/"),
            room,
        }
    }

    /// How often it has misbehaved.
    pub(crate) fn misdeeds(&self) -> u64 {
        self.room.misdeeds.load(Ordering::SeqCst)
    }

    /// How many publications it has got.
    pub(crate) fn published(&self) -> u64 {
        self.room.published.load(Ordering::SeqCst)
    }

    /// Waits until it has got so many.
    pub(crate) fn await_published(&self, count: u64) {
        let is_less = |_: &mut HashMap<_, _>| self.published() < count;
        let paths = self.room.paths();
        let waited = self.room.news.wait_while(paths, is_less);
        drop(waited.expect("no task panics"));
    }
}

struct Room {
    conduct: Conduct,
    paths: Mutex<HashMap<String, Vec<Client>>>,
    /// Written with `paths` locked.
    published: AtomicU64,
    /// With `paths`: something was published.
    news: Condvar,
    misdeeds: AtomicU64,
}

struct Client {
    outbox: UnboundedSender<Message>,
    has_published: bool,
    /// Publications that wait for the next of the same sender.
    held: HashMap<usize, Message>,
}

/// What nobody has published.
const GREETING: &str = "{\"event\":\"welcome\",\"you\":\"a subscriber\"}";

/// The sender of what is posted.
const POSTED: usize = usize::MAX;

impl Room {
    fn paths(&self) -> MutexGuard<'_, HashMap<String, Vec<Client>>> {
        self.paths.lock().expect("no task panics")
    }

    /// A new client on `path`: its number there, and what it is to be sent.
    fn join(&self, path: &str) -> (usize, UnboundedReceiver<Message>) {
        let (outbox, messages) = unbounded_channel();
        if self.conduct == Conduct::Greet {
            let greeting = Message::text(GREETING);
            outbox.send(greeting).expect("the other end is here");
        }
        let mut paths = self.paths();
        let clients = paths.entry(path.to_owned()).or_default();
        clients.push(Client {
            outbox,
            has_published: false,
            held: HashMap::new(),
        });
        (clients.len() - 1, messages)
    }

    /// Broadcasts what `sender` has sent.
    fn publish(&self, path: &str, sender: usize, message: &Message) {
        let mut paths = self.paths();
        let number = self.published.fetch_add(1, Ordering::SeqCst);
        self.news.notify_all();
        let clients = paths.entry(path.to_owned()).or_default();
        if let Some(publisher) = clients.get_mut(sender) {
            publisher.has_published = true;
        }
        let is_chosen = !matches!(self.conduct, Conduct::Impatient(_))
            && number.is_multiple_of(MISDEED_ONE_IN)
            && self.misdeeds.load(Ordering::SeqCst) < MISDEEDS;
        let is_misdeed = number >= MISDEED_FROM && (is_chosen || self.conduct == Conduct::Mute);
        let victim = clients.iter().position(|client| !client.has_published);
        for (at, client) in clients.iter_mut().enumerate() {
            if at == sender {
                continue;
            }
            if Some(at) == victim && (is_misdeed || matches!(self.conduct, Conduct::Delay(_))) {
                self.misbehave(client, sender, message);
                continue;
            }
            // A client that is gone is sent nothing.
            let _ = client.outbox.send(message.clone());
            if let Some(held) = client.held.remove(&sender) {
                let _ = client.outbox.send(held);
            }
        }
        if is_misdeed && self.conduct == Conduct::Leak {
            let others = paths.iter_mut().filter(|(other, _)| *other != path);
            let client = others
                .flat_map(|(_, clients)| clients)
                .find(|client| !client.has_published);
            let outbox = &client.expect("there are other paths").outbox;
            outbox.send(message.clone()).expect("it is connected");
        }
    }

    fn misbehave(&self, client: &mut Client, sender: usize, message: &Message) {
        if self.conduct != Conduct::Honest {
            self.misdeeds.fetch_add(1, Ordering::SeqCst);
        }
        let send = |message| drop(client.outbox.send(message));
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = message.clone().into_data().to_vec();
            change(&mut bytes);
            match message {
                Message::Binary(_) => Message::binary(bytes),
                _ => Message::text(String::from_utf8(bytes).expect("it is ASCII")),
            }
        };
        match self.conduct {
            Conduct::Drop | Conduct::Greet | Conduct::Mute => {}
            Conduct::Repeat => {
                send(message.clone());
                send(message.clone());
            }
            Conduct::Swap => {
                client.held.insert(sender, message.clone());
            }
            Conduct::CorruptByte(at) => send(with(&|bytes| bytes[at] ^= 1)),
            Conduct::Shorten => send(with(&|bytes| {
                bytes.pop();
            })),
            Conduct::OtherKind => send(match message {
                Message::Binary(_) => Message::text(message.to_text().expect("it is ASCII")),
                _ => Message::binary(message.clone().into_data()),
            }),
            Conduct::Hangup => send(Message::Close(None)),
            Conduct::Delay(delay) => {
                let (outbox, message) = (client.outbox.clone(), message.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    let _ = outbox.send(message);
                });
            }
            Conduct::Honest
            | Conduct::Leak
            | Conduct::Refuse
            | Conduct::Linger(_)
            | Conduct::Impatient(_) => send(message.clone()),
        }
    }

    /// Whether a POST is turned away.
    fn refuses(&self) -> bool {
        let refuses = self.conduct == Conduct::Refuse
            && self.published.load(Ordering::SeqCst) >= MISDEED_FROM
            && self.misdeeds.load(Ordering::SeqCst) < MISDEEDS;
        if refuses {
            self.misdeeds.fetch_add(1, Ordering::SeqCst);
        }
        refuses
    }
}

/// Serves one WebSocket to its end.
async fn serve(stream: TcpStream, room: Arc<Room>) {
    stream.set_nodelay(true).expect("it is a TCP socket");
    if let Conduct::Impatient(_) = room.conduct {
        let size = 16 << 10;
        set_socket_send_buffer_size(&stream, size).expect("it is a TCP socket");
    }
    let mut joined = None;
    // It gets what is published from before it hears of the upgrade.
    #[expect(clippy::result_large_err, reason = "the library says so")]
    let join = |request: &Request, response: Response| {
        let path = request.uri().path().to_owned();
        joined = Some((room.join(&path), path));
        Ok(response)
    };
    let Ok(socket) = accept_hdr_async(stream, join).await else {
        return;
    };
    let ((number, mut messages), path) = joined.expect("the request was seen");
    let (mut sink, mut stream) = socket.split();
    let end = Arc::new(Notify::new());
    let (is_over, theirs) = (Arc::clone(&end), Arc::clone(&room));
    tokio::spawn(async move {
        let patience = match theirs.conduct {
            Conduct::Impatient(patience) => patience,
            _ => Duration::MAX,
        };
        while let Some(message) = messages.recv().await {
            match timeout(patience, sink.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    theirs.misdeeds.fetch_add(1, Ordering::SeqCst);
                    return is_over.notify_one();
                }
            }
        }
    });
    loop {
        tokio::select! {
            () = end.notified() => return,
            received = stream.next() => match received {
                Some(Ok(message)) if message.is_text() || message.is_binary() => {
                    room.publish(&path, number, &message);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    }
}

/// Answers POST requests on one connection, which is kept alive.
async fn answer_posts(stream: TcpStream, room: Arc<Room>) {
    let mut posts = Posts::new(stream);
    while let Some((head, body)) = posts.next().await {
        let path = head.split(' ').nth(1).expect("a request line");
        let status = if room.refuses() {
            "503 Service Unavailable"
        } else if let Some(channel) = path.strip_prefix("/publish/") {
            room.publish(&format!("/{channel}"), POSTED, &Message::text(body));
            "200 OK"
        } else if path == "/api/publish" && head.contains("x-api-key: secret") {
            let json: serde_json::Value = serde_json::from_str(&body).expect("it is JSON");
            let text = |key: &str| json[key].as_str().expect("a string").to_owned();
            let path = format!("/{}", text("channel"));
            let message = if json["data"].is_string() {
                Message::text(text("data"))
            } else {
                let bytes = STANDARD.decode(text("b64data")).expect("it is base64");
                Message::binary(bytes)
            };
            room.publish(&path, POSTED, &message);
            "200 OK"
        } else {
            "403 Forbidden"
        };
        if let Conduct::Linger(delay) = room.conduct {
            tokio::time::sleep(delay).await;
        }
        if !posts.answer(status).await {
            return;
        }
    }
}
