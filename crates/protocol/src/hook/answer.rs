//! An answer of the backend. In: its bytes. Out: what it grants or refuses, or why it makes no sense.
//!
//! Never: hands on what would not be JSON on a JSON wire, or what would be two objects there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fanfare_hub::Time;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Granted, HookAnswer, HookKind};
use crate::codes::{ClientError, Disconnect};
use crate::message::Encoding;
use crate::token::{Grant, Overrides};

/// Codes of an application's errors: those below are the protocol's.
const ERROR_CODES: std::ops::RangeInclusive<u32> = 400..=1999;

/// Codes of an application's disconnects; a client comes back after those up to 4499.
const DISCONNECT_CODES: std::ops::RangeInclusive<u16> = 4000..=4999;

/// What fits into a close frame (RFC 6455 §5.5) behind the code.
const REASON_BYTES_MAX: usize = 123;

/// Of why an answer makes no sense, which may quote it.
const WHY_CHARS_MAX: usize = 200;

/// Why an answer makes no sense: for the operator's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAnswer(String);

impl BadAnswer {
    fn new(why: impl fmt::Display) -> Self {
        let why = why.to_string();
        let why = why.chars().map(|c| if c.is_control() { ' ' } else { c });
        Self(why.take(WHY_CHARS_MAX).collect())
    }
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadAnswer {}

/// A JSON object whose fields are read one by one, so that what an event does not have may be anything.
struct Object<'a> {
    /// What a fault is named behind: empty, or with a dot at its end.
    path: String,
    fields: BTreeMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, BadAnswer> {
        let fields = serde_json::from_slice(bytes);
        let fields = fields.map_err(|error| BadAnswer::new(format_args!("no JSON: {error}")))?;
        Ok(Self {
            path: String::new(),
            fields,
        })
    }

    fn wrong(&self, name: &str, why: impl fmt::Display) -> BadAnswer {
        BadAnswer::new(format_args!("{}{name}: {why}", self.path))
    }

    /// Absent if it is null.
    fn json(&self, name: &str) -> Option<&'a RawValue> {
        let field = self.fields.get(name).copied();
        field.filter(|field| field.get() != "null")
    }

    fn read<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, BadAnswer> {
        let read = self.json(name).map(|json| serde_json::from_str(json.get()));
        read.transpose().map_err(|error| self.wrong(name, error))
    }

    fn read_or_default<T: Deserialize<'a> + Default>(&self, name: &str) -> Result<T, BadAnswer> {
        Ok(self.read(name)?.unwrap_or_default())
    }

    fn object(&self, name: &str) -> Result<Option<Self>, BadAnswer> {
        let fields = self.read(name)?;
        Ok(fields.map(|fields| Self {
            path: format!("{}{name}.", self.path),
            fields,
        }))
    }

    /// Seconds since the Unix epoch; none if 0.
    fn expire_at(&self) -> Result<Option<Time>, BadAnswer> {
        let seconds: Option<u64> = self.read("expire_at")?;
        let seconds = seconds.filter(|seconds| *seconds > 0);
        Ok(seconds.map(|seconds| Time::from_millis(seconds.saturating_mul(1000))))
    }

    /// JSON, or JSON in base64: others see it on either wire.
    fn info(&self) -> Result<Option<Bytes>, BadAnswer> {
        self.bytes("info", "b64info", false)
    }

    /// For one client, which takes what its wire can carry.
    fn data(&self, encoding: Option<Encoding>) -> Result<Option<Bytes>, BadAnswer> {
        self.bytes("data", "b64data", encoding == Some(Encoding::Protobuf))
    }

    fn bytes(&self, plain: &str, base64: &str, is_free: bool) -> Result<Option<Bytes>, BadAnswer> {
        let Some(encoded) = self.read::<Cow<'_, str>>(base64)? else {
            return Ok(self.json(plain).map(without_newlines));
        };
        let decoded = STANDARD.decode(&*encoded);
        let decoded = decoded.map_err(|error| self.wrong(base64, error))?;
        match serde_json::from_slice(&decoded) {
            Ok(json) => Ok(Some(without_newlines(json))),
            Err(_) if is_free => Ok(Some(decoded.into())),
            Err(error) => Err(self.wrong(base64, format_args!("must be JSON here: {error}"))),
        }
    }

    fn overrides(&self) -> Result<Overrides, BadAnswer> {
        let Some(options) = self.object("override")? else {
            return Ok(Overrides::default());
        };
        let value = |name| match options.object(name)? {
            Some(option) => option.read_or_default("value").map(Some),
            None => Ok(None),
        };
        Ok(Overrides {
            presence: value("presence")?,
            join_leave: value("join_leave")?,
            force_push_join_leave: value("force_push_join_leave")?,
            force_recovery: value("force_recovery")?,
            force_positioning: value("force_positioning")?,
        })
    }

    fn subs(&self, encoding: Option<Encoding>) -> Result<BTreeMap<String, Grant>, BadAnswer> {
        let mut subs = BTreeMap::new();
        let Some(channels) = self.object("subs")? else {
            return Ok(subs);
        };
        for name in channels.fields.keys() {
            let grant = match channels.object(name)? {
                None => Grant::default(),
                Some(grant) => Grant {
                    info: grant.info()?,
                    data: grant.data(encoding)?,
                    options: grant.overrides()?,
                },
            };
            subs.insert(name.clone(), grant);
        }
        Ok(subs)
    }

    fn error(&self) -> Result<ClientError, BadAnswer> {
        let code = self.read_or_default("code")?;
        if !ERROR_CODES.contains(&code) {
            let [from, to] = [ERROR_CODES.start(), ERROR_CODES.end()];
            return Err(self.wrong("code", format_args!("{code} is not from {from} to {to}")));
        }
        let message: Option<String> = self.read("message")?;
        Ok(ClientError {
            code,
            message: message.map_or(Cow::Borrowed("application error"), Cow::Owned),
            is_temporary: self.read_or_default("temporary")?,
        })
    }

    fn disconnect(&self) -> Result<Disconnect, BadAnswer> {
        let code = self.read_or_default("code")?;
        if !DISCONNECT_CODES.contains(&code) {
            let [from, to] = [DISCONNECT_CODES.start(), DISCONNECT_CODES.end()];
            return Err(self.wrong("code", format_args!("{code} is not from {from} to {to}")));
        }
        let reason: String = self.read_or_default("reason")?;
        if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
            let why = format_args!("must have 1 to {REASON_BYTES_MAX} bytes");
            return Err(self.wrong("reason", why));
        }
        Ok(Disconnect {
            code,
            reason: reason.into(),
        })
    }

    fn granted(&self, kind: HookKind, encoding: Option<Encoding>) -> Result<Granted, BadAnswer> {
        let nothing = Granted::default();
        Ok(match kind {
            HookKind::Connect => Granted {
                user: self.read_or_default("user")?,
                expire_at: self.expire_at()?,
                info: self.info()?,
                data: self.data(encoding)?,
                meta: self.json("meta").map(without_newlines),
                channels: self.read_or_default("channels")?,
                subs: self.subs(encoding)?,
                ..nothing
            },
            HookKind::Refresh => Granted {
                expired: self.read_or_default("expired")?,
                expire_at: self.expire_at()?,
                info: self.info()?,
                ..nothing
            },
            HookKind::Subscribe => Granted {
                expire_at: self.expire_at()?,
                info: self.info()?,
                data: self.data(encoding)?,
                options: self.overrides()?,
                ..nothing
            },
            HookKind::Publish => Granted {
                data: self.data(encoding)?,
                skip_history: self.read_or_default("skip_history")?,
                ..nothing
            },
            HookKind::Rpc => Granted {
                // Here null is an answer.
                data: match (self.data(encoding)?, self.fields.get("data")) {
                    (None, Some(null)) => Some(without_newlines(null)),
                    (data, _) => data,
                },
                ..nothing
            },
        })
    }
}

impl HookAnswer {
    /// Reads an answer to a call of this `kind` for a client with this wire (none: `/raw`).
    ///
    /// # Errors
    ///
    /// [`BadAnswer`]: no JSON, neither result nor error nor disconnect, a value of another type, a code that is
    /// no application's, or data that the client's wire can't carry.
    pub fn parse(
        kind: HookKind,
        encoding: Option<Encoding>,
        bytes: &[u8],
    ) -> Result<Self, BadAnswer> {
        let answer = Object::parse(bytes)?;
        if let Some(disconnect) = answer.object("disconnect")? {
            return disconnect.disconnect().map(Self::Disconnect);
        }
        if let Some(error) = answer.object("error")? {
            return error.error().map(Self::Error);
        }
        match answer.object("result")? {
            Some(result) => result.granted(kind, encoding).map(Self::Granted),
            None => Err(BadAnswer::new("neither result nor error nor disconnect")),
        }
    }
}

/// JSON of the backend's, as it may stand in a frame.
fn without_newlines(json: &RawValue) -> Bytes {
    crate::data::without_newlines(json).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Option<Encoding> = Some(Encoding::Json);
    const PROTOBUF: Option<Encoding> = Some(Encoding::Protobuf);

    fn parse(kind: HookKind, text: &str) -> Result<HookAnswer, String> {
        HookAnswer::parse(kind, JSON, text.as_bytes()).map_err(|why| why.to_string())
    }

    #[track_caller]
    fn granted(kind: HookKind, result: &str) -> Granted {
        match parse(kind, &format!(r#"{{"result":{result}}}"#)) {
            Ok(HookAnswer::Granted(granted)) => granted,
            other => panic!("{other:?}"),
        }
    }

    fn some(text: &'static str) -> Option<Bytes> {
        Some(Bytes::from(text))
    }

    #[test]
    fn each_event_takes_its_fields_and_no_other() {
        let everything = r#"{
            "user": "56", "expire_at": 1565436268, "expired": true, "info": {"a": 1}, "data": [1],
            "channels": ["a", "b"], "meta": {"m": 1}, "skip_history": true, "method": "x",
            "override": {"presence": {"value": true}, "join_leave": {}, "force_recovery": null},
            "subs": {"c": {"info": 1, "b64data": "eyJiIjoyfQ==", "override": {"force_positioning": {"value": false}}},
                     "d": {}, "e": null}
        }"#;
        let expire_at = Some(Time::from_millis(1_565_436_268_000));
        let nothing = Granted::default;
        let c = Grant {
            info: some("1"),
            data: some(r#"{"b":2}"#),
            options: Overrides {
                force_positioning: Some(false),
                ..Overrides::default()
            },
        };
        let subs = [("c", c), ("d", Grant::default()), ("e", Grant::default())];
        let connect = Granted {
            user: "56".into(),
            expire_at,
            info: some(r#"{"a": 1}"#),
            data: some("[1]"),
            meta: some(r#"{"m": 1}"#),
            channels: vec!["a".into(), "b".into()],
            subs: subs.map(|(name, grant)| (name.to_owned(), grant)).into(),
            ..nothing()
        };
        assert_eq!(granted(HookKind::Connect, everything), connect);
        let refresh = Granted {
            expired: true,
            expire_at,
            info: some(r#"{"a": 1}"#),
            ..nothing()
        };
        assert_eq!(granted(HookKind::Refresh, everything), refresh);
        let subscribe = Granted {
            expire_at,
            info: some(r#"{"a": 1}"#),
            data: some("[1]"),
            options: Overrides {
                presence: Some(true),
                join_leave: Some(false),
                ..Overrides::default()
            },
            ..nothing()
        };
        assert_eq!(granted(HookKind::Subscribe, everything), subscribe);
        let publish = Granted {
            data: some("[1]"),
            skip_history: true,
            ..nothing()
        };
        assert_eq!(granted(HookKind::Publish, everything), publish);
        let rpc = Granted {
            data: some("[1]"),
            ..nothing()
        };
        assert_eq!(granted(HookKind::Rpc, everything), rpc);
        // Of a kind that does not have it, a field may be anything.
        let odd = r#"{"data":1,"user":5,"expire_at":"x","channels":{},"override":7}"#;
        assert_eq!(granted(HookKind::Rpc, odd).data, some("1"));
    }

    #[test]
    fn nothing_and_null_are_the_defaults() {
        let nulls = r#"{"user":null,"expire_at":null,"expired":null,"info":null,"b64info":null,"channels":null,
            "subs":null,"meta":null,"skip_history":null,"override":null,"b64data":null}"#;
        for kind in HookKind::ALL {
            assert_eq!(granted(kind, "{}"), Granted::default(), "{kind}");
            assert_eq!(granted(kind, nulls), Granted::default(), "{kind}");
            let null = (kind == HookKind::Rpc).then(|| Bytes::from("null"));
            assert_eq!(granted(kind, r#"{"data":null}"#).data, null, "{kind}");
            assert_eq!(granted(kind, r#"{"expire_at":0}"#).expire_at, None);
        }
    }

    #[test]
    fn raw_newlines_do_not_get_through() {
        let forged = "{\"data\":{\n\"id\":1},\"info\":[\r\n1],\"meta\":{\n}}";
        let granted = granted(HookKind::Connect, forged);
        assert_eq!(granted.data, some(r#"{"id":1}"#));
        assert_eq!(granted.info, some("[1]"));
        assert_eq!(granted.meta, some("{}"));
        let encoded = STANDARD.encode("{}\n{\"push\":{}}");
        let rpc = format!(r#"{{"result":{{"b64data":"{encoded}"}}}}"#);
        let why = parse(HookKind::Rpc, &rpc).unwrap_err();
        assert!(
            why.starts_with("result.b64data: must be JSON here: "),
            "{why}"
        );
        let encoded = STANDARD.encode("[\n1]\n");
        let rpc = format!(r#"{{"result":{{"b64data":"{encoded}"}}}}"#);
        let Ok(HookAnswer::Granted(granted)) = parse(HookKind::Rpc, &rpc) else {
            panic!("it is JSON");
        };
        assert_eq!(granted.data, some("[1]"));
    }

    #[test]
    fn only_protobuf_clients_get_what_is_no_json() {
        let answer = br#"{"result":{"b64data":"/wA=","data":1}}"#;
        for kind in [
            HookKind::Connect,
            HookKind::Subscribe,
            HookKind::Publish,
            HookKind::Rpc,
        ] {
            let parsed = HookAnswer::parse(kind, PROTOBUF, answer);
            let Ok(HookAnswer::Granted(granted)) = parsed else {
                panic!("{kind}: {parsed:?}");
            };
            assert_eq!(granted.data.as_deref(), Some(&b"\xff\x00"[..]), "{kind}");
            for wire in [JSON, None] {
                assert!(HookAnswer::parse(kind, wire, answer).is_err(), "{kind}");
            }
        }
        // Others see it, on either wire.
        let info = br#"{"result":{"b64info":"/wA="}}"#;
        assert!(HookAnswer::parse(HookKind::Connect, PROTOBUF, info).is_err());
    }

    #[test]
    fn errors_and_disconnects_are_handed_on() {
        let error = |code, message: &'static str, is_temporary| {
            Ok(HookAnswer::Error(ClientError {
                code,
                message: message.into(),
                is_temporary,
            }))
        };
        let disconnect = |code, reason: &'static str| {
            Ok(HookAnswer::Disconnect(Disconnect {
                code,
                reason: reason.into(),
            }))
        };
        for (text, expected) in [
            (
                r#"{"error":{"code":400,"message":"no"}}"#,
                error(400, "no", false),
            ),
            (
                r#"{"error":{"code":1999,"message":"later","temporary":true},"result":{}}"#,
                error(1999, "later", true),
            ),
            (
                r#"{"error":{"code":403},"result":null,"disconnect":null}"#,
                error(403, "application error", false),
            ),
            (
                r#"{"disconnect":{"code":4000,"reason":"bye"},"error":{"code":400}}"#,
                disconnect(4000, "bye"),
            ),
            (
                r#"{"disconnect":{"code":4999,"reason":"gone \u00e9"}}"#,
                disconnect(4999, "gone é"),
            ),
        ] {
            for kind in HookKind::ALL {
                assert_eq!(parse(kind, text), expected, "{kind}: {text}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        let long = format!(
            r#"{{"disconnect":{{"code":4000,"reason":"{}"}}}}"#,
            "x".repeat(124)
        );
        for (text, why) in [
            ("", "no JSON: "),
            ("<html>", "no JSON: "),
            ("{\"result\":{}", "no JSON: "),
            ("{\"result\":{}} x", "no JSON: "),
            ("[{}]", "no JSON: "),
            ("null", "no JSON: "),
            ("{}", "neither result"),
            (r#"{"result":null}"#, "neither result"),
            (r#"{"result":[]}"#, "result: "),
            (r#"{"result":true}"#, "result: "),
            (r#"{"result":{"user":5}}"#, "result.user: "),
            (r#"{"result":{"expire_at":-1}}"#, "result.expire_at: "),
            (r#"{"result":{"expire_at":1.5}}"#, "result.expire_at: "),
            (r#"{"result":{"channels":"a"}}"#, "result.channels: "),
            (r#"{"result":{"channels":[1]}}"#, "result.channels: "),
            (r#"{"result":{"subs":[]}}"#, "result.subs: "),
            (r#"{"result":{"subs":{"a":1}}}"#, "result.subs.a: "),
            (
                r#"{"result":{"subs":{"a":{"override":{"presence":true}}}}}"#,
                "result.subs.a.override.presence: ",
            ),
            (
                r#"{"result":{"subs":{"a":{"override":{"presence":{"value":1}}}}}}"#,
                "result.subs.a.override.presence.value: ",
            ),
            (r#"{"result":{"b64data":"*"}}"#, "result.b64data: "),
            (r#"{"result":{"b64data":1}}"#, "result.b64data: "),
            (r#"{"error":5}"#, "error: "),
            (
                r#"{"error":{"message":"x"}}"#,
                "error.code: 0 is not from 400 to 1999",
            ),
            (r#"{"error":{"code":399}}"#, "error.code: 399 is not"),
            (r#"{"error":{"code":2000}}"#, "error.code: 2000 is not"),
            (
                r#"{"disconnect":{"code":3500,"reason":"x"}}"#,
                "disconnect.code: 3500 is not from 4000 to 4999",
            ),
            (
                r#"{"disconnect":{"code":5000,"reason":"x"}}"#,
                "disconnect.code: 5000 is not",
            ),
            (
                r#"{"disconnect":{"code":4000}}"#,
                "disconnect.reason: must have 1 to 123 bytes",
            ),
            (
                r#"{"disconnect":{"code":4000,"reason":""}}"#,
                "disconnect.reason: must",
            ),
            (&long, "disconnect.reason: must"),
        ] {
            let refused = parse(HookKind::Connect, text).unwrap_err();
            assert!(refused.starts_with(why), "{text}: {refused}");
        }
        let bytes = b"{\"result\":{\"user\":\"\xff\"}}";
        assert!(HookAnswer::parse(HookKind::Connect, JSON, bytes).is_err());
    }

    #[test]
    fn a_reason_for_the_log_is_one_short_line() {
        let text = format!(
            "{{\"result\":{{\"expire_at\":\"\\n{}\"}}}}",
            "x".repeat(9999)
        );
        let why = parse(HookKind::Connect, &text).unwrap_err();
        assert!(why.chars().count() <= WHY_CHARS_MAX, "{why}");
        assert!(!why.contains(char::is_control), "{why}");
    }
}
