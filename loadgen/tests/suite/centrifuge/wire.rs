//! The Centrifuge protocol as a server has it, in both encodings. In: messages of a client, and what to say.
//! Out: commands, and objects.
//!
//! It is written with serde and prost, which loadgen's own hand-written decoder does not use: so the two
//! hold each other up to the protocol. What a publication has beside data and offset, and in which order,
//! changes from one to the next.
//!
//! Never: knows a channel's history.

use prost::Message as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// How objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Protobuf,
}

/// Both of them.
pub(crate) const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

impl Encoding {
    /// The flag that asks for it.
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::Json => "--dialect centrifuge-json",
            Self::Protobuf => "--dialect centrifuge-protobuf",
        }
    }

    /// Of a connection that offers these subprotocols.
    pub(crate) fn of(subprotocols: &str) -> Self {
        match subprotocols {
            "centrifuge-protobuf" => Self::Protobuf,
            "" => Self::Json,
            other => panic!("the subprotocol {other} is not known"),
        }
    }
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Connect {
        token: String,
    },
    Subscribe(Subscribe),
    Publish {
        channel: String,
        data: Vec<u8>,
    },
    /// The answer to a ping.
    Pong,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscribe {
    pub(crate) channel: String,
    pub(crate) positioned: bool,
    pub(crate) recoverable: bool,
    /// Offset and epoch, if what is behind them is asked for.
    pub(crate) recover: Option<(u64, String)>,
}

/// The answer to a `subscribe`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscribed {
    pub(crate) has_positions: bool,
    pub(crate) epoch: String,
    pub(crate) offset: u64,
    pub(crate) was_recovering: bool,
    pub(crate) recovered: bool,
    pub(crate) publications: Vec<(u64, Vec<u8>)>,
}

/// One object of a server.
#[derive(Clone, Debug)]
pub(crate) enum Object {
    Ping,
    /// `pong`: pings are to be answered.
    Connected {
        id: u32,
        pong: bool,
    },
    Subscribed(u32, Subscribed),
    Published(u32),
    Refused(u32, u32),
    Publication {
        channel: String,
        offset: u64,
        data: Vec<u8>,
    },
    Join(String),
    Unsubscribe(String, u32),
}

/// The commands in a message, each with its id.
pub(crate) fn commands(encoding: Encoding, message: &Message) -> Vec<(u32, Command)> {
    match (encoding, message) {
        (Encoding::Json, Message::Text(text)) => text.lines().map(json_command).collect(),
        (Encoding::Protobuf, Message::Binary(bytes)) => {
            let mut rest = &bytes[..];
            let mut commands = Vec::new();
            while !rest.is_empty() {
                let command = proto::Command::decode_length_delimited(&mut rest);
                commands.push(protobuf_command(command.expect("it is a command")));
            }
            commands
        }
        _ => panic!("{encoding:?} does not come in {message:?}"),
    }
}

fn json_command(line: &str) -> (u32, Command) {
    let command: Value = serde_json::from_str(line).expect("it is JSON");
    if command == json!({}) {
        return (0, Command::Pong);
    }
    let id = command["id"].as_u64().expect("it has an id");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is_set = |value: &Value| value.as_bool().unwrap_or_default();
    let of = |method| command.get(method);
    let command = if let Some(connect) = of("connect") {
        Command::Connect {
            token: text(&connect["token"]),
        }
    } else if let Some(subscribe) = of("subscribe") {
        let offset = subscribe["offset"].as_u64().unwrap_or_default();
        Command::Subscribe(Subscribe {
            channel: text(&subscribe["channel"]),
            positioned: is_set(&subscribe["positioned"]),
            recoverable: is_set(&subscribe["recoverable"]),
            recover: is_set(&subscribe["recover"]).then(|| (offset, text(&subscribe["epoch"]))),
        })
    } else {
        let publish = of("publish").expect("it is one of three");
        Command::Publish {
            channel: text(&publish["channel"]),
            data: publish["data"].to_string().into_bytes(),
        }
    };
    (id.try_into().expect("ids are small"), command)
}

fn protobuf_command(command: proto::Command) -> (u32, Command) {
    let id = command.id;
    let command = if let Some(connect) = command.connect {
        assert_eq!(connect.name, "loadgen");
        Command::Connect {
            token: connect.token,
        }
    } else if let Some(subscribe) = command.subscribe {
        Command::Subscribe(Subscribe {
            channel: subscribe.channel,
            positioned: subscribe.positioned,
            recoverable: subscribe.recoverable,
            recover: subscribe
                .recover
                .then_some((subscribe.offset, subscribe.epoch)),
        })
    } else if let Some(publish) = command.publish {
        Command::Publish {
            channel: publish.channel,
            data: publish.data,
        }
    } else {
        assert_eq!(id, 0, "a command without a method");
        Command::Pong
    };
    (id, command)
}

/// A message with these objects.
pub(crate) fn message(encoding: Encoding, objects: &[Object]) -> Message {
    match encoding {
        Encoding::Json => {
            let lines: Vec<String> = objects.iter().map(json_object).collect();
            Message::text(lines.join("\n"))
        }
        Encoding::Protobuf => {
            let objects = objects.iter().map(protobuf_object);
            Message::binary(objects.collect::<Vec<_>>().concat())
        }
    }
}

/// Data as it stands in JSON.
fn raw(data: &[u8]) -> String {
    String::from_utf8(data.to_vec()).expect("JSON is UTF-8")
}

fn json_object(object: &Object) -> String {
    match object {
        Object::Ping => json!({}),
        Object::Connected { id, pong } => {
            json!({"id": id, "connect": {"client": "c", "ping": 25, "pong": pong, "subs": {}}})
        }
        Object::Subscribed(id, subscribed) => {
            let publications = subscribed.publications.iter();
            let publications: Vec<String> = publications
                .map(|(offset, data)| json_publication(*offset, data))
                .collect();
            return format!(
                "{{\"id\":{id},\"subscribe\":{{\"recoverable\":{has},\"positioned\":{has},\"epoch\":{},\
                 \"publications\":[{}],\"offset\":{},\"was_recovering\":{},\"recovered\":{}}}}}",
                json!(subscribed.epoch),
                publications.join(" , "),
                subscribed.offset,
                subscribed.was_recovering,
                subscribed.recovered,
                has = subscribed.has_positions,
            );
        }
        Object::Published(id) => json!({"id": id, "publish": {}}),
        Object::Refused(id, code) => {
            json!({"id": id, "error": {"code": code, "message": "as told"}})
        }
        Object::Publication {
            channel,
            offset,
            data,
        } => {
            let publication = json_publication(*offset, data);
            return if offset.is_multiple_of(2) {
                format!("{{\"push\":{{\"channel\":\"{channel}\",\"pub\":{publication}}}}}")
            } else {
                format!("{{ \"push\": {{ \"pub\":{publication}, \"channel\":\"{channel}\" }} }}")
            };
        }
        Object::Join(channel) => json!({"push": {"channel": channel, "join": {"info": {}}}}),
        Object::Unsubscribe(channel, code) => {
            json!({"push": {"channel": channel, "unsubscribe": {"code": code, "reason": "as told"}}})
        }
    }
    .to_string()
}

fn json_publication(offset: u64, data: &[u8]) -> String {
    let data = raw(data);
    let told = if offset == 0 {
        String::new()
    } else {
        format!(",\"offset\":{offset}")
    };
    match offset % 3 {
        0 => format!("{{\"data\":{data}{told}}}"),
        1 => format!(
            "{{\"info\":{{\"user\":\"}}\\\"]\",\"conn_info\":{{\"data\":[\"offset\",7]}}}},\"data\":{data}{told}}}"
        ),
        _ => format!("{{\"tags\":{{\"offset\":\"9\"}},\"time\":-1{told} , \"data\" : {data} }}"),
    }
}

fn protobuf_object(object: &Object) -> Vec<u8> {
    let mut reply = proto::Reply::default();
    match object {
        Object::Ping => {}
        Object::Connected { id, pong } => {
            reply.id = *id;
            reply.connect = Some(proto::ConnectResult {
                client: "c".to_owned(),
                ping: 25,
                pong: *pong,
            });
        }
        Object::Subscribed(id, subscribed) => {
            reply.id = *id;
            let publications = subscribed.publications.iter();
            reply.subscribe = Some(proto::SubscribeResult {
                recoverable: subscribed.has_positions,
                epoch: subscribed.epoch.clone(),
                publications: publications
                    .map(|(offset, data)| publication(*offset, data))
                    .collect(),
                recovered: subscribed.recovered,
                offset: subscribed.offset,
                positioned: subscribed.has_positions,
                was_recovering: subscribed.was_recovering,
            });
        }
        Object::Published(id) => {
            reply.id = *id;
            reply.publish = Some(proto::Empty {});
        }
        Object::Refused(id, code) => {
            reply.id = *id;
            reply.error = Some(proto::Error {
                code: *code,
                message: "as told".to_owned(),
            });
        }
        Object::Publication {
            channel,
            offset,
            data,
        } => {
            reply.push = Some(proto::Push {
                channel: channel.clone(),
                publication: Some(publication(*offset, data)),
                ..proto::Push::default()
            });
        }
        Object::Join(channel) => {
            reply.push = Some(proto::Push {
                channel: channel.clone(),
                join: Some(proto::Empty {}),
                ..proto::Push::default()
            });
        }
        Object::Unsubscribe(channel, code) => {
            reply.push = Some(proto::Push {
                channel: channel.clone(),
                unsubscribe: Some(proto::Unsubscribe {
                    code: *code,
                    reason: "as told".to_owned(),
                }),
                ..proto::Push::default()
            });
        }
    }
    reply.encode_length_delimited_to_vec()
}

fn publication(offset: u64, data: &[u8]) -> proto::Publication {
    let is_told_who = offset % 3 == 1;
    proto::Publication {
        data: data.to_vec(),
        offset,
        info: is_told_who.then(|| proto::ClientInfo {
            user: "u".to_owned(),
            conn_info: b"{}".to_vec(),
        }),
        tags: (0..offset % 2)
            .map(|tag| (tag.to_string(), "v".to_owned()))
            .collect(),
        time: if offset % 3 == 2 { -1 } else { 0 },
    }
}

/// The part of the protocol's `client.proto` that is spoken here.
mod proto {
    use std::collections::BTreeMap;

    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Command {
        #[prost(uint32, tag = "1")]
        pub(super) id: u32,
        #[prost(message, optional, tag = "4")]
        pub(super) connect: Option<ConnectRequest>,
        #[prost(message, optional, tag = "5")]
        pub(super) subscribe: Option<SubscribeRequest>,
        #[prost(message, optional, tag = "7")]
        pub(super) publish: Option<PublishRequest>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct ConnectRequest {
        #[prost(string, tag = "1")]
        pub(super) token: String,
        #[prost(string, tag = "4")]
        pub(super) name: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct SubscribeRequest {
        #[prost(string, tag = "1")]
        pub(super) channel: String,
        #[prost(bool, tag = "3")]
        pub(super) recover: bool,
        #[prost(string, tag = "6")]
        pub(super) epoch: String,
        #[prost(uint64, tag = "7")]
        pub(super) offset: u64,
        #[prost(bool, tag = "9")]
        pub(super) positioned: bool,
        #[prost(bool, tag = "10")]
        pub(super) recoverable: bool,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct PublishRequest {
        #[prost(string, tag = "1")]
        pub(super) channel: String,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) data: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Reply {
        #[prost(uint32, tag = "1")]
        pub(super) id: u32,
        #[prost(message, optional, tag = "2")]
        pub(super) error: Option<Error>,
        #[prost(message, optional, tag = "4")]
        pub(super) push: Option<Push>,
        #[prost(message, optional, tag = "5")]
        pub(super) connect: Option<ConnectResult>,
        #[prost(message, optional, tag = "6")]
        pub(super) subscribe: Option<SubscribeResult>,
        #[prost(message, optional, tag = "8")]
        pub(super) publish: Option<Empty>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Error {
        #[prost(uint32, tag = "1")]
        pub(super) code: u32,
        #[prost(string, tag = "2")]
        pub(super) message: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Push {
        #[prost(string, tag = "2")]
        pub(super) channel: String,
        #[prost(message, optional, tag = "4")]
        pub(super) publication: Option<Publication>,
        #[prost(message, optional, tag = "5")]
        pub(super) join: Option<Empty>,
        #[prost(message, optional, tag = "7")]
        pub(super) unsubscribe: Option<Unsubscribe>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Publication {
        #[prost(bytes = "vec", tag = "4")]
        pub(super) data: Vec<u8>,
        #[prost(message, optional, tag = "5")]
        pub(super) info: Option<ClientInfo>,
        #[prost(uint64, tag = "6")]
        pub(super) offset: u64,
        #[prost(btree_map = "string, string", tag = "7")]
        pub(super) tags: BTreeMap<String, String>,
        #[prost(int64, tag = "9")]
        pub(super) time: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct ClientInfo {
        #[prost(string, tag = "1")]
        pub(super) user: String,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) conn_info: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Unsubscribe {
        #[prost(uint32, tag = "2")]
        pub(super) code: u32,
        #[prost(string, tag = "3")]
        pub(super) reason: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct ConnectResult {
        #[prost(string, tag = "1")]
        pub(super) client: String,
        #[prost(uint32, tag = "7")]
        pub(super) ping: u32,
        #[prost(bool, tag = "8")]
        pub(super) pong: bool,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct SubscribeResult {
        #[prost(bool, tag = "3")]
        pub(super) recoverable: bool,
        #[prost(string, tag = "6")]
        pub(super) epoch: String,
        #[prost(message, repeated, tag = "7")]
        pub(super) publications: Vec<Publication>,
        #[prost(bool, tag = "8")]
        pub(super) recovered: bool,
        #[prost(uint64, tag = "9")]
        pub(super) offset: u64,
        #[prost(bool, tag = "10")]
        pub(super) positioned: bool,
        #[prost(bool, tag = "12")]
        pub(super) was_recovering: bool,
    }

    #[derive(Clone, Copy, PartialEq, Eq, Message)]
    pub(super) struct Empty {}
}
