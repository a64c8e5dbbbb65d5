//! A small server of the Centrifuge protocol on tokio-tungstenite, with history and recovery, which can
//! misbehave; what is posted to `/api/publish` in JSON (`data`, or `b64data` in base64) is published too.
//! In: what to do wrong. Out: two URLs, and what was published, told and heard.
//!
//! What it does wrong to publications it does to the same ones for every subscriber, on every connection:
//! so what comes of it does not depend on when one is cut. What cannot stand in a list of recovered ones
//! is done to live ones alone.
//!
//! Never: takes a publication's data apart, ends a connection that has published.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::wire::{self, Command, Encoding, Object, Subscribe, Subscribed};
use crate::tasks::{Posts, listen};

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
    /// Changes this byte of publications' data, from the end.
    Corrupt(usize),
    /// Cuts a byte out of publications' data.
    Shorten,
    /// Live: tells publications in the other kind of message.
    OtherKind,
    /// Live: cuts off the ends of objects.
    Cut,
    /// Live: tells publications to the subscribers of other channels as well, under the channel's name.
    Leak,
    /// The same, under the name of the channel that they are subscribed to.
    LeakUnderTheirName,
    /// Tells publications under the offset before theirs.
    Misnumber,
    /// Tells publications without an offset.
    Unnumber,
    /// Leaves out the offsets of publications, and tells these under the next.
    SkipOffsets,
    /// Live: tells publications in the other order than their offsets say.
    Reverse,
    /// Live: ends subscriptions with this code instead.
    Unsubscribe(u32),
    /// Live: ends connections with this code instead.
    Close(u16),
    /// Keeps no more than so many publications; whoever asks for more is told.
    Keep(u64),
    /// Gives whoever comes back another epoch, and says that nothing was lost.
    ChangeEpoch,
    /// Has no positions.
    Forget,
    /// Tells each subscriber a publication before it answers its `subscribe`.
    Early,
    /// Answers `connect` with this error.
    RefuseConnect(u32),
    /// Answers `subscribe` with this error.
    RefuseSubscribe(u32),
    /// Answers `subscribe` of whoever comes back with this error.
    RefuseReturn(u32),
    /// Answers `publish` with this error.
    RefusePublish(u32),
    /// Does not answer `subscribe`.
    MuteSubscribe,
    /// Does not answer `publish`.
    MutePublish,
    /// Answers `publish` twice.
    RepeatAnswer,
    /// Sends pings, and ends connections that do not answer them or, where they should not, do.
    Ping { pong: bool },
    /// Puts everything that it sends at once into one message, with joins between.
    Pack,
}

/// The offsets of publications that are mishandled; by the first every publisher of a test has published.
pub(crate) const MISDEEDS: [u64; 3] = [60, 110, 160];

const EPOCH: &str = "e\"%25+/=\\";

/// The time between two pings.
const PING: Duration = Duration::from_millis(30);

/// A server on two free ports; its thread ends with the test process.
pub(crate) struct Centrifuge {
    /// Of its WebSockets.
    pub(crate) url: String,
    /// Of its HTTP endpoint.
    pub(crate) http_url: String,
    room: Arc<Room>,
}

struct Room {
    conduct: Conduct,
    channels: Mutex<HashMap<String, Channel>>,
    /// With `channels`: something was published.
    news: Condvar,
    /// `publish` commands.
    commands: AtomicU64,
    told: AtomicU64,
    pongs: AtomicU64,
    tokens: Mutex<Vec<String>>,
    requests: Mutex<Vec<Subscribe>>,
}

#[derive(Default)]
struct Channel {
    /// That of offset 1 first.
    history: Vec<Vec<u8>>,
    subscribers: Vec<Outbox>,
}

/// What leaves on a connection, in one write each.
#[derive(Clone)]
struct Outbox {
    /// Of the connection.
    has_published: Arc<AtomicBool>,
    encoding: Encoding,
    messages: UnboundedSender<Vec<Message>>,
}

impl Outbox {
    fn send(&self, messages: Vec<Message>) {
        // One that has just gone is sent nothing.
        let _ = self.messages.send(messages);
    }

    fn say(&self, objects: &[Object]) {
        self.send(vec![wire::message(self.encoding, objects)]);
    }
}

impl Centrifuge {
    pub(crate) fn start(conduct: Conduct) -> Self {
        let room = Arc::new(Room {
            conduct,
            channels: Mutex::new(HashMap::new()),
            news: Condvar::new(),
            commands: AtomicU64::new(0),
            told: AtomicU64::new(0),
            pongs: AtomicU64::new(0),
            tokens: Mutex::new(Vec::new()),
            requests: Mutex::new(Vec::new()),
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

    /// How many publications it has.
    pub(crate) fn published(&self) -> u64 {
        let channels = self.room.channels();
        let counts = channels.values().map(|channel| channel.history.len());
        counts.sum::<usize>() as u64
    }

    /// How often it has told a subscriber that it missed something.
    pub(crate) fn told(&self) -> u64 {
        self.room.told.load(Ordering::SeqCst)
    }

    /// How many pings were answered.
    pub(crate) fn pongs(&self) -> u64 {
        self.room.pongs.load(Ordering::SeqCst)
    }

    /// The tokens that came, sorted.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let mut tokens = self.room.tokens.lock().expect("no task panics").clone();
        tokens.sort();
        tokens
    }

    /// The subscriptions that were asked for.
    pub(crate) fn requests(&self) -> Vec<Subscribe> {
        self.room.requests.lock().expect("no task panics").clone()
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

    /// Answers a `subscribe`.
    fn subscribe(&self, id: u32, request: Subscribe, outbox: &Outbox) {
        let mut requests = self.requests.lock().expect("no task panics");
        requests.push(request.clone());
        drop(requests);
        let is_back = request.recover.is_some();
        match self.conduct {
            Conduct::MuteSubscribe => return,
            Conduct::RefuseReturn(code) if is_back => {
                return outbox.say(&[Object::Refused(id, code)]);
            }
            Conduct::RefuseSubscribe(code) => return outbox.say(&[Object::Refused(id, code)]),
            _ => {}
        }
        let mut channels = self.channels();
        let channel = channels.entry(request.channel.clone()).or_default();
        let end = channel.history.len() as u64;
        let mut answer = Subscribed {
            has_positions: request.positioned && self.conduct != Conduct::Forget,
            epoch: EPOCH.to_owned(),
            offset: self.offset_of(end),
            was_recovering: is_back,
            ..Subscribed::default()
        };
        if let Some((offset, epoch)) = request.recover {
            assert!(request.positioned && request.recoverable, "both are asked");
            let is_ours = epoch == EPOCH || self.conduct == Conduct::ChangeEpoch;
            assert!(is_ours, "it is what the client was told");
            let is_kept = !matches!(self.conduct, Conduct::Keep(kept) if end - offset > kept);
            if is_kept {
                answer.recovered = true;
                answer.offset = offset;
                let past = (offset + 1..=end).flat_map(|at| self.told_for(&channel.history, at));
                answer.publications = past.collect();
            } else {
                self.told.fetch_add(1, Ordering::SeqCst);
            }
            if self.conduct == Conduct::ChangeEpoch {
                answer.epoch = format!("{epoch}+");
                (answer.offset, answer.publications) = (end, Vec::new());
            }
        }
        if self.conduct == Conduct::Early {
            outbox.say(&[Object::Publication {
                channel: request.channel,
                offset: 1,
                data: b"\"early\"".to_vec(),
            }]);
        }
        outbox.say(&[Object::Subscribed(id, answer)]);
        channel.subscribers.push(outbox.clone());
    }

    /// Publishes, and answers command `id` of `publisher`.
    fn publish(&self, name: &str, data: Vec<u8>, publisher: Option<(u32, &Outbox)>) {
        let mut channels = self.channels();
        let channel = channels.entry(name.to_owned()).or_default();
        let offset = channel.history.len() as u64 + 1;
        let is_misdeed = MISDEEDS.contains(&offset);
        if let Some((id, outbox)) = publisher {
            outbox.has_published.store(true, Ordering::SeqCst);
            let command = self.commands.fetch_add(1, Ordering::SeqCst);
            let is_chosen = MISDEEDS.contains(&command);
            match self.conduct {
                Conduct::RefusePublish(code) if is_chosen => {
                    return outbox.say(&[Object::Refused(id, code)]);
                }
                Conduct::MutePublish if is_chosen => {}
                Conduct::RepeatAnswer if is_chosen => {
                    outbox.say(&[Object::Published(id), Object::Published(id)]);
                }
                _ => outbox.say(&[Object::Published(id)]),
            }
        }
        channel.history.push(data);
        self.news.notify_all();
        channel.subscribers.retain(|s| !s.messages.is_closed());
        let history = &channel.history;
        let mut ended = Vec::new();
        for (at, subscriber) in channel.subscribers.iter().enumerate() {
            if is_misdeed
                && !subscriber.has_published.load(Ordering::SeqCst)
                && let Some(last) = self.end_of_subscription(name, subscriber.encoding)
            {
                self.told.fetch_add(1, Ordering::SeqCst);
                subscriber.send(vec![last]);
                ended.push(at);
                continue;
            }
            subscriber.send(self.telling(name, history, offset, subscriber.encoding));
        }
        for at in ended.into_iter().rev() {
            channel.subscribers.remove(at);
        }
        if is_misdeed && matches!(self.conduct, Conduct::Leak | Conduct::LeakUnderTheirName) {
            let data = history[history.len() - 1].clone();
            for (other, channel) in channels.iter().filter(|(other, _)| *other != name) {
                let is_named = self.conduct == Conduct::Leak;
                let leaked = Object::Publication {
                    channel: if is_named { name } else { other }.to_owned(),
                    offset,
                    data: data.clone(),
                };
                for subscriber in &channel.subscribers {
                    subscriber.say(std::slice::from_ref(&leaked));
                }
            }
        }
    }

    /// The last message of a subscription, or of a connection, that is ended.
    fn end_of_subscription(&self, channel: &str, encoding: Encoding) -> Option<Message> {
        match self.conduct {
            Conduct::Unsubscribe(code) => {
                let object = Object::Unsubscribe(channel.to_owned(), code);
                Some(wire::message(encoding, &[object]))
            }
            Conduct::Close(code) => Some(Message::Close(Some(CloseFrame {
                code: code.into(),
                reason: "as told".into(),
            }))),
            _ => None,
        }
    }

    /// The offset that the publication at `at` of the history is told under.
    fn offset_of(&self, at: u64) -> u64 {
        let skips = self.conduct == Conduct::SkipOffsets;
        let before = MISDEEDS.iter().filter(|&&misdeed| misdeed <= at && skips);
        at + before.count() as u64
    }

    /// What is told when the publication at `at` is its turn: offsets and data.
    fn told_for(&self, history: &[Vec<u8>], at: u64) -> Vec<(u64, Vec<u8>)> {
        let index = |at: u64| usize::try_from(at - 1).expect("histories are short");
        let told = |at: u64| (self.offset_of(at), history[index(at)].clone());
        let changed = |change: &dyn Fn(&mut u64, &mut Vec<u8>)| {
            let (mut offset, mut data) = told(at);
            change(&mut offset, &mut data);
            vec![(offset, data)]
        };
        let is_misdeed = MISDEEDS.contains(&at);
        let is_next = MISDEEDS.contains(&(at - 1));
        match self.conduct {
            Conduct::Drop | Conduct::Swap if is_misdeed => Vec::new(),
            Conduct::Swap if is_next => vec![told(at), told(at - 1)],
            Conduct::Repeat if is_misdeed => vec![told(at), told(at)],
            Conduct::Corrupt(from_end) if is_misdeed => changed(&|_, data| {
                let at = data.len() - 1 - from_end;
                data[at] ^= 1;
            }),
            Conduct::Shorten if is_misdeed => changed(&|_, data| {
                data.remove(data.len() / 2);
            }),
            Conduct::Misnumber if is_misdeed => changed(&|offset, _| *offset -= 1),
            Conduct::Unnumber if is_misdeed => changed(&|offset, _| *offset = 0),
            Conduct::Reverse if is_misdeed => vec![(at + 1, history[index(at)].clone())],
            Conduct::Reverse if is_next => vec![(at - 1, history[index(at)].clone())],
            _ => vec![told(at)],
        }
    }

    /// The messages that tell a live publication.
    fn telling(
        &self,
        channel: &str,
        history: &[Vec<u8>],
        offset: u64,
        encoding: Encoding,
    ) -> Vec<Message> {
        let told = self.told_for(history, offset).into_iter();
        let objects = told.map(|(offset, data)| Object::Publication {
            channel: channel.to_owned(),
            offset: if self.conduct == Conduct::Forget {
                0
            } else {
                offset
            },
            data,
        });
        let objects: Vec<Object> = objects.collect();
        if objects.is_empty() {
            return Vec::new();
        }
        if self.conduct == Conduct::Pack {
            let mut packed = vec![Object::Join(channel.to_owned())];
            packed.extend(objects);
            packed.push(Object::Join(channel.to_owned()));
            return vec![wire::message(encoding, &packed)];
        }
        let messages = objects
            .iter()
            .map(|object| wire::message(encoding, std::slice::from_ref(object)));
        if !MISDEEDS.contains(&offset) {
            return messages.collect();
        }
        let mishandled = |message: Message| match self.conduct {
            Conduct::OtherKind => match message {
                Message::Text(text) => Message::binary(text.as_bytes().to_vec()),
                // It need not be UTF-8.
                message => {
                    let kind = OpCode::Data(Data::Text);
                    Message::Frame(Frame::message(message.into_data(), kind, true))
                }
            },
            Conduct::Cut => match message {
                Message::Text(text) => Message::text(text[..text.len() - 2].to_owned()),
                message => {
                    let bytes = message.into_data();
                    Message::binary(bytes[..bytes.len() - 1].to_vec())
                }
            },
            _ => message,
        };
        messages.map(mishandled).collect()
    }
}

/// Serves one WebSocket to its end.
async fn serve(stream: TcpStream, room: Arc<Room>) {
    stream.set_nodelay(true).expect("it is a TCP socket");
    let mut encoding = Encoding::Json;
    #[expect(clippy::result_large_err, reason = "the library says so")]
    let choose = |request: &Request, mut response: Response| {
        let offered = request.headers().get("Sec-WebSocket-Protocol");
        let offered = offered.map_or("", |value| value.to_str().expect("it is ASCII"));
        encoding = Encoding::of(offered);
        if !offered.is_empty() {
            let chosen = HeaderValue::from_str(offered).expect("it was one");
            response
                .headers_mut()
                .insert("Sec-WebSocket-Protocol", chosen);
        }
        Ok(response)
    };
    let Ok(socket) = accept_hdr_async(stream, choose).await else {
        return;
    };
    let (mut sink, mut stream) = socket.split();
    let (sender, mut receiver): (_, UnboundedReceiver<Vec<Message>>) = unbounded_channel();
    let outbox = Outbox {
        has_published: Arc::default(),
        encoding,
        messages: sender,
    };
    tokio::spawn(async move {
        while let Some(batch) = receiver.recv().await {
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
    let mut is_connected = false;
    let mut unanswered = 0;
    let mut pings = tokio::time::interval(PING);
    loop {
        tokio::select! {
            _ = pings.tick(), if is_connected && matches!(room.conduct, Conduct::Ping { .. }) => {
                if unanswered == 10 {
                    return; // nothing was heard for as long
                }
                unanswered += u32::from(room.conduct == Conduct::Ping { pong: true });
                outbox.say(&[Object::Ping]);
            }
            received = stream.next() => {
                let Some(Ok(message)) = received else {
                    return;
                };
                if !message.is_text() && !message.is_binary() {
                    continue;
                }
                for (id, command) in wire::commands(encoding, &message) {
                    match command {
                        Command::Pong => {
                            assert!(unanswered > 0, "a pong that nothing has asked for");
                            unanswered -= 1;
                            room.pongs.fetch_add(1, Ordering::SeqCst);
                        }
                        Command::Connect { token } => {
                            assert!(!is_connected, "once");
                            room.tokens.lock().expect("no task panics").push(token);
                            if let Conduct::RefuseConnect(code) = room.conduct {
                                outbox.say(&[Object::Refused(id, code)]);
                                break;
                            }
                            let pong = room.conduct == Conduct::Ping { pong: true };
                            outbox.say(&[Object::Connected { id, pong }]);
                            is_connected = true;
                        }
                        _ if !is_connected => panic!("connect comes first"),
                        Command::Subscribe(request) => room.subscribe(id, request, &outbox),
                        Command::Publish { channel, data } => {
                            room.publish(&channel, data, Some((id, &outbox)));
                        }
                    }
                }
            }
        }
    }
}

/// Answers POST requests on one connection, which is kept alive.
async fn answer_posts(stream: TcpStream, room: Arc<Room>) {
    let mut posts = Posts::new(stream);
    while let Some((_, body)) = posts.next().await {
        let json: serde_json::Value = serde_json::from_str(&body).expect("it is JSON");
        let channel = json["channel"].as_str().expect("a string");
        let data = match json["b64data"].as_str() {
            Some(base64) => STANDARD.decode(base64).expect("it is base64"),
            None => json["data"].to_string().into_bytes(),
        };
        room.publish(channel, data, None);
        if !posts.answer("200 OK").await {
            return;
        }
    }
}
