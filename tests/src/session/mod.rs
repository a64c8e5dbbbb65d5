//! A client of the Centrifuge protocol, on either wire, that sends what it is told to. In: commands as JSON.
//! Out: replies, pushes, pings and the close, as JSON too.
//!
//! Never: uses the server's types; reconnects; takes a frame for good that an SDK would not.

mod protobuf;

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::client::Client;
use crate::push::Push;
use crate::wire::{BINARY, CLOSE, Frame, PING, PONG, Received, TEXT};

pub use protobuf::{bytes_of, varint};

/// Where sessions are.
pub const PATH: &str = "/connection/websocket";

/// Further tables of a config, in front of all others: anonymous clients may connect. `talk`: who comes and
/// goes is told, and everything is allowed; `asks`: it is told to who asks.
pub const OPEN: &str = r"
[namespaces.talk]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_presence_for_subscriber = true
allow_presence_for_anonymous = true
presence = true
join_leave = true
force_push_join_leave = true
[namespaces.asks]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
join_leave = true
[client]
allow_anonymous = true
";

/// The two encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Text frames, objects joined by newlines.
    Json,
    /// Binary frames, each object with its length in front.
    Protobuf,
}

/// Both.
pub const WIRES: [Wire; 2] = [Wire::Json, Wire::Protobuf];

impl Wire {
    /// These commands in one frame.
    #[must_use]
    pub fn frame(self, commands: &[Value]) -> Frame {
        let payload = self.payload(commands);
        match self {
            Self::Json => Frame::text(payload),
            Self::Protobuf => Frame::binary(payload),
        }
    }

    /// The bytes of these commands, joined.
    #[must_use]
    pub fn payload(self, commands: &[Value]) -> Vec<u8> {
        match self {
            Self::Json => {
                let lines: Vec<String> = commands.iter().map(Value::to_string).collect();
                lines.join("\n").into_bytes()
            }
            Self::Protobuf => commands.iter().flat_map(protobuf::command).collect(),
        }
    }

    /// The objects of a frame that the server sent.
    #[track_caller]
    fn objects(self, opcode: u8, payload: &[u8]) -> Vec<Value> {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(300)]);
        match self {
            Self::Json => {
                assert_eq!(opcode, TEXT, "{shown:?}");
                let text = std::str::from_utf8(payload).expect("UTF-8");
                // What the Python SDK does: `data.strip().split("\n")`, each of which must be an object.
                let lines = text.trim().split('\n');
                let objects = lines.map(serde_json::from_str);
                let objects: Result<Vec<Value>, _> = objects.collect();
                let objects = objects.unwrap_or_else(|error| panic!("{error}: {shown:?}"));
                assert!(objects.iter().all(Value::is_object), "{shown:?}");
                objects
            }
            Self::Protobuf => {
                assert_eq!(opcode, BINARY, "{shown:?}");
                protobuf::replies(payload).unwrap_or_else(|error| panic!("{error}: {payload:?}"))
            }
        }
    }
}

/// What comes.
#[derive(Clone, Debug, PartialEq)]
pub enum Came {
    /// A reply, with its id.
    Reply(u64, Value),
    /// A push: what is in `push`.
    Push(Value),
    /// A ping of the protocol.
    Ping,
    /// A ping frame.
    PingFrame(Vec<u8>),
    /// A close frame.
    Closed(u16, String),
    /// The end of the stream without a close frame.
    End,
}

/// A WebSocket on [`PATH`], and what came over it that nobody asked for yet.
#[derive(Debug)]
pub struct Session {
    /// The socket.
    pub socket: Client,
    wire: Wire,
    last_id: u64,
    /// Of a frame that was read.
    decoded: VecDeque<Came>,
    /// Read while something else was waited for.
    kept: VecDeque<Came>,
}

impl Session {
    /// An open WebSocket that has said nothing.
    #[track_caller]
    #[must_use]
    pub fn open(addr: SocketAddr, wire: Wire) -> Self {
        Self::enter(addr, wire, "", &[])
    }

    /// The same with a query (with its `?`) and further headers.
    #[track_caller]
    #[must_use]
    pub fn enter(addr: SocketAddr, wire: Wire, query: &str, headers: &[(&str, &str)]) -> Self {
        let mut all = headers.to_vec();
        if wire == Wire::Protobuf {
            all.push(("Sec-WebSocket-Protocol", "centrifuge-protobuf"));
        }
        let (socket, head) = Client::enter(addr, &format!("{PATH}{query}"), &all);
        let chosen: Vec<&str> = head.all("Sec-WebSocket-Protocol").collect();
        match wire {
            Wire::Json => assert!(
                chosen.is_empty() || chosen == ["centrifuge-json"],
                "{head:?}"
            ),
            Wire::Protobuf => assert_eq!(chosen, ["centrifuge-protobuf"]),
        }
        Self::over(socket, wire)
    }

    /// One that has connected over a socket whose receive buffer holds a page: little is on its way to it.
    #[track_caller]
    #[must_use]
    pub fn narrow(addr: SocketAddr, wire: Wire) -> Self {
        Self::narrow_with_result(addr, wire).0
    }

    /// The same, and the result of its connect.
    #[track_caller]
    #[must_use]
    pub fn narrow_with_result(addr: SocketAddr, wire: Wire) -> (Self, Value) {
        let headers: &[(&str, &str)] = match wire {
            Wire::Json => &[],
            Wire::Protobuf => &[("Sec-WebSocket-Protocol", "centrifuge-protobuf")],
        };
        let mut session = Self::over(Client::narrow(addr, PATH, headers), wire);
        let result = session.result("connect", &json!({}));
        (session, result)
    }

    /// On a WebSocket that is open.
    #[must_use]
    pub const fn over(socket: Client, wire: Wire) -> Self {
        Self {
            socket,
            wire,
            last_id: 0,
            decoded: VecDeque::new(),
            kept: VecDeque::new(),
        }
    }

    /// A session that is connected, and the result of its connect.
    #[track_caller]
    #[must_use]
    pub fn connected(push: &Push, wire: Wire, connect: &Value) -> (Self, Value) {
        let mut session = Self::open(push.addr(), wire);
        let result = session.result("connect", connect);
        (session, result)
    }

    /// A session without credentials that is connected.
    #[track_caller]
    #[must_use]
    pub fn anonymous(push: &Push, wire: Wire) -> Self {
        Self::connected(push, wire, &json!({})).0
    }

    /// A session with this token.
    #[track_caller]
    #[must_use]
    pub fn with_token(push: &Push, wire: Wire, token: &str) -> Self {
        Self::connected(push, wire, &json!({"token": token})).0
    }

    /// Its encoding.
    #[must_use]
    pub const fn wire(&self) -> Wire {
        self.wire
    }

    /// The next command, with the id that it gets.
    pub fn next_command(&mut self, method: &str, request: &Value) -> (u64, Value) {
        self.last_id += 1;
        (self.last_id, json!({"id": self.last_id, method: request}))
    }

    /// Sends these objects in one frame.
    pub fn say(&mut self, commands: &[Value]) {
        self.socket.say(&self.wire.frame(commands));
    }

    /// Sends a command; its id.
    pub fn send(&mut self, method: &str, request: &Value) -> u64 {
        let (id, command) = self.next_command(method, request);
        self.say(&[command]);
        id
    }

    /// Answers a ping.
    pub fn pong(&mut self) {
        self.say(&[json!({})]);
    }

    /// What is next on the wire, whatever was kept.
    #[track_caller]
    pub fn read(&mut self) -> Came {
        loop {
            if let Some(came) = self.decoded.pop_front() {
                return came;
            }
            let Some(frame) = self.socket.frame() else {
                return Came::End;
            };
            match frame.opcode {
                CLOSE => return closed(&frame.payload),
                PING => return Came::PingFrame(frame.payload),
                PONG => {}
                _ => {
                    let objects = self.objects(&frame);
                    self.decoded.extend(objects);
                }
            }
        }
    }

    /// What is in a message that somebody else has read.
    #[track_caller]
    #[must_use]
    pub fn objects(&self, frame: &Received) -> Vec<Came> {
        assert!(frame.fin, "the server never cuts messages");
        let objects = self.wire.objects(frame.opcode, &frame.payload);
        objects.into_iter().map(came).collect()
    }

    /// What came next: first what was kept.
    #[track_caller]
    pub fn came(&mut self) -> Came {
        match self.kept.pop_front() {
            Some(came) => came,
            None => self.read(),
        }
    }

    /// The reply to `id`; what comes before is kept. Pings are answered.
    #[track_caller]
    pub fn reply(&mut self, id: u64) -> Value {
        let wanted = |came: &Came| matches!(came, Came::Reply(of, _) if *of == id);
        if let Some(index) = self.kept.iter().position(wanted)
            && let Some(Came::Reply(_, reply)) = self.kept.remove(index)
        {
            return reply;
        }
        loop {
            match self.read() {
                Came::Reply(of, reply) if of == id => return reply,
                Came::Ping => self.pong(),
                came @ (Came::Closed(..) | Came::End) => panic!("no reply to {id} but {came:?}"),
                other => self.kept.push_back(other),
            }
        }
    }

    /// The reply to this command.
    #[track_caller]
    pub fn call(&mut self, method: &str, request: &Value) -> Value {
        let id = self.send(method, request);
        self.reply(id)
    }

    /// What this command gives.
    #[track_caller]
    pub fn result(&mut self, method: &str, request: &Value) -> Value {
        let reply = self.call(method, request);
        result_of(&reply, method, request)
    }

    /// This command is refused with this code.
    #[track_caller]
    pub fn expect_error(&mut self, method: &str, request: &Value, code: u64) {
        let reply = self.call(method, request);
        expect_error(&reply, code, &format!("{method} {request}"));
    }

    /// Subscribes.
    #[track_caller]
    pub fn subscribe(&mut self, channel: &str) -> Value {
        self.result("subscribe", &json!({"channel": channel}))
    }

    /// The next push; pings are answered, everything else fails.
    #[track_caller]
    pub fn push(&mut self) -> Value {
        loop {
            match self.came() {
                Came::Push(push) => return push,
                Came::Ping => self.pong(),
                other => panic!("a push was expected, and came {other:?}"),
            }
        }
    }

    /// The next push is a publication on `channel`.
    #[track_caller]
    pub fn publication(&mut self, channel: &str) -> Value {
        let push = self.push();
        assert_eq!(push["channel"], channel, "{push}");
        assert!(push["pub"].is_object(), "{push}");
        push["pub"].clone()
    }

    /// The next push is a publication of this on `channel`.
    #[track_caller]
    pub fn expect_data(&mut self, channel: &str, data: &Value) {
        let publication = self.publication(channel);
        assert_eq!(&publication["data"], data, "{channel}: {publication}");
    }

    /// What comes next is a close with this code, and then the end.
    #[track_caller]
    pub fn expect_closed(&mut self, code: u16, case: &str) {
        let came = self.came();
        self.closes(came, code, case);
    }

    /// Whatever comes before, the end is a close with this code; what came.
    #[track_caller]
    pub fn until_closed(&mut self, code: u16, case: &str) -> Vec<Came> {
        let mut before = Vec::new();
        loop {
            match self.came() {
                came @ (Came::Closed(..) | Came::End) => {
                    self.closes(came, code, case);
                    return before;
                }
                came => before.push(came),
            }
        }
    }

    #[track_caller]
    fn closes(&mut self, came: Came, code: u16, case: &str) {
        let Came::Closed(with, reason) = &came else {
            panic!("{case}: a close with {code} was expected, and came {came:?}");
        };
        assert_eq!(*with, code, "{case}: {reason:?}");
        // The JS SDK takes an empty reason, or one that is JSON, for another kind of close.
        assert!(!reason.is_empty(), "{case}: {code} without a reason");
        let json = serde_json::from_str::<Value>(reason);
        assert!(json.is_err(), "{case}: {reason:?} is JSON");
        // The server may have ended both ways already.
        let answer = Frame::close(code, "").encode(crate::wire::Sender::Client);
        let _ = std::io::Write::write_all(&mut self.socket.socket, &answer);
        self.socket.expect_end();
    }

    /// Everything sent up to now has been answered and nothing else has come: the reply to a command that
    /// changes nothing is next.
    #[track_caller]
    pub fn expect_quiet(&mut self, case: &str) {
        let id = self.send("unsubscribe", &json!({"channel": "nobody-is-there"}));
        match self.came() {
            Came::Reply(of, _) if of == id => {}
            other => panic!("{case}: nothing was expected, and came {other:?}"),
        }
    }
}

/// What an object of the server is.
#[track_caller]
fn came(object: Value) -> Came {
    let fields = object.as_object().expect("an object");
    if fields.is_empty() {
        return Came::Ping;
    }
    match (fields.get("id").and_then(Value::as_u64), fields.get("push")) {
        (Some(id), None) if id > 0 => Came::Reply(id, object),
        (None | Some(0), Some(push)) => Came::Push(push.clone()),
        _ => panic!("neither a reply nor a push: {object}"),
    }
}

fn closed(payload: &[u8]) -> Came {
    match payload {
        [a, b, reason @ ..] => {
            let reason = String::from_utf8(reason.to_vec()).expect("a reason in UTF-8");
            Came::Closed(u16::from_be_bytes([*a, *b]), reason)
        }
        _ => Came::Closed(0, String::new()),
    }
}

/// What a reply gives.
#[track_caller]
#[must_use]
pub fn result_of(reply: &Value, method: &str, request: &Value) -> Value {
    let fields = reply.as_object().map_or(0, serde_json::Map::len);
    // The SDKs read `reply.METHOD` without looking whether it is there.
    assert!(
        fields == 2 && reply[method].is_object(),
        "{method} {request}: {reply}"
    );
    reply[method].clone()
}

/// The reply is an error with this code and a message, temporary as the paper says.
#[track_caller]
pub fn expect_error(reply: &Value, code: u64, case: &str) {
    let error = &reply["error"];
    assert_eq!(error["code"], code, "{case}: {reply}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        !message.is_empty(),
        "{case}: the Python SDK needs a message: {reply}"
    );
    let temporary = error["temporary"].as_bool().unwrap_or(false);
    assert_eq!(
        temporary,
        [100, 111, 113].contains(&code),
        "{case}: {reply}"
    );
}
