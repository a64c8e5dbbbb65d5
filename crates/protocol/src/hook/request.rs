//! A request to the backend. In: a call. Out: its JSON, as backends written for Centrifugo's HTTP proxy take it.
//!
//! Never: writes what is no JSON, whatever a client sent: that goes as `b64data`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{HookCall, HookEvent};
use crate::message::Encoding;

/// What it costs to keep a call, beside what the client sent.
const CALL_BYTES: usize = 512;

/// The fields of every event, in their order; what an event does not have is left out.
#[derive(Serialize)]
struct Body<'c> {
    client: &'c str,
    transport: &'static str,
    protocol: &'static str,
    encoding: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'c str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'c RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'c RawValue>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'c str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'c str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    channels: &'c [String],
}

impl HookCall {
    /// The body of the request.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "it does not")]
    pub fn to_json(&self) -> Vec<u8> {
        let (protocol, encoding) = match self.encoding {
            Some(Encoding::Json) => ("json", "json"),
            Some(Encoding::Protobuf) => ("protobuf", "binary"),
            None => ("raw", "raw"),
        };
        let mut body = Body {
            client: &self.client,
            transport: "websocket",
            protocol,
            encoding,
            user: Some(&self.user),
            channel: None,
            method: "",
            data: None,
            b64data: None,
            meta: self.meta.as_deref().and_then(json),
            name: "",
            version: "",
            channels: &[],
        };
        match &self.event {
            HookEvent::Connect {
                data,
                name,
                version,
                headers: _,
                channels,
            } => {
                body.user = (!self.user.is_empty()).then_some(&self.user);
                body.set_data(data);
                body.name = name;
                body.version = version;
                body.channels = channels;
            }
            HookEvent::Refresh => {}
            HookEvent::Subscribe { channel, data } | HookEvent::Publish { channel, data } => {
                body.channel = Some(channel.as_str());
                body.set_data(data);
            }
            HookEvent::Rpc { method, data } => {
                body.method = method;
                body.set_data(data);
            }
        }
        serde_json::to_vec(&body).expect("text, and JSON that was read as such")
    }

    /// About how much memory it keeps.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let ours = self.client.len() + self.user.len() + self.meta.as_ref().map_or(0, |m| m.len());
        let its = match &self.event {
            HookEvent::Connect {
                data,
                name,
                version,
                headers,
                channels,
            } => {
                let text = |text: &String| text.len() + size_of::<String>();
                let headers = headers.iter();
                let headers = headers.map(|(name, value)| text(name) + text(value));
                let channels = channels.iter().map(text);
                data.len() + name.len() + version.len() + headers.chain(channels).sum::<usize>()
            }
            HookEvent::Refresh => 0,
            HookEvent::Subscribe { data, .. } | HookEvent::Publish { data, .. } => data.len(),
            HookEvent::Rpc { method, data } => method.len() + data.len(),
        };
        CALL_BYTES + ours + its
    }
}

impl<'c> Body<'c> {
    /// None if there is none; JSON as it is.
    fn set_data(&mut self, data: &'c [u8]) {
        if data.is_empty() {
            return;
        }
        self.data = json(data);
        if self.data.is_none() {
            self.b64data = Some(STANDARD.encode(data));
        }
    }
}

fn json(bytes: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fanfare_hub::Channel;

    use super::*;

    fn call(encoding: Option<Encoding>, user: &str, event: HookEvent) -> HookCall {
        HookCall {
            client: "c1".into(),
            user: user.into(),
            encoding,
            meta: None,
            event,
        }
    }

    #[track_caller]
    fn assert_json(call: &HookCall, expected: &str) {
        assert_eq!(String::from_utf8(call.to_json()).unwrap(), expected);
    }

    #[test]
    fn each_event_has_its_fields() {
        let json = Some(Encoding::Json);
        let channel = || Channel::parse("chat:index").unwrap();
        let data = |text: &'static str| Bytes::from(text);
        let connect = HookEvent::Connect {
            data: data(r#"{"a":1}"#),
            name: "js".into(),
            version: "1.2".into(),
            headers: [("Authorization".into(), "not in the body".into())].into(),
            channels: vec!["news".into()],
        };
        assert_json(
            &call(json, "", connect),
            r#"{"client":"c1","transport":"websocket","protocol":"json","encoding":"json","data":{"a":1},"name":"js","version":"1.2","channels":["news"]}"#,
        );
        let bare = HookEvent::Connect {
            data: Bytes::new(),
            name: String::new(),
            version: String::new(),
            headers: Default::default(),
            channels: vec![],
        };
        assert_json(
            &call(Some(Encoding::Protobuf), "", bare.clone()),
            r#"{"client":"c1","transport":"websocket","protocol":"protobuf","encoding":"binary"}"#,
        );
        assert_json(
            &call(None, "", bare),
            r#"{"client":"c1","transport":"websocket","protocol":"raw","encoding":"raw"}"#,
        );
        let mut refresh = call(json, "56", HookEvent::Refresh);
        refresh.meta = Some(r#"{"plan": "pro"}"#.into());
        assert_json(
            &refresh,
            r#"{"client":"c1","transport":"websocket","protocol":"json","encoding":"json","user":"56","meta":{"plan": "pro"}}"#,
        );
        let subscribe = HookEvent::Subscribe {
            channel: channel(),
            data: Bytes::new(),
        };
        assert_json(
            &call(json, "", subscribe),
            r#"{"client":"c1","transport":"websocket","protocol":"json","encoding":"json","user":"","channel":"chat:index"}"#,
        );
        let publish = HookEvent::Publish {
            channel: channel(),
            data: data("[1,2]"),
        };
        assert_json(
            &call(json, "56", publish),
            r#"{"client":"c1","transport":"websocket","protocol":"json","encoding":"json","user":"56","channel":"chat:index","data":[1,2]}"#,
        );
        let rpc = HookEvent::Rpc {
            method: "getCurrentPrice".into(),
            data: data(r#""x""#),
        };
        assert_json(
            &call(json, "56", rpc),
            r#"{"client":"c1","transport":"websocket","protocol":"json","encoding":"json","user":"56","method":"getCurrentPrice","data":"x"}"#,
        );
    }

    #[test]
    fn what_is_no_json_goes_as_base64() {
        for (sent, field) in [
            (&b"\xff\x00"[..], r#""b64data":"/wA=""#),
            (b"{\"a\":1} x", r#""b64data":"eyJhIjoxfSB4""#),
            (b"\"\xff\"", r#""b64data":"Iv8i""#),
            (b" {\"a\":\n1}\n", "\"data\":{\"a\":\n1}"),
            (b"null", r#""data":null"#),
        ] {
            let rpc = HookEvent::Rpc {
                method: String::new(),
                data: Bytes::copy_from_slice(sent),
            };
            let expected = format!(
                r#"{{"client":"c1","transport":"websocket","protocol":"protobuf","encoding":"binary","user":"u",{field}}}"#
            );
            assert_json(&call(Some(Encoding::Protobuf), "u", rpc), &expected);
        }
    }

    #[test]
    fn text_of_clients_stays_in_its_string() {
        let rpc = HookEvent::Rpc {
            method: "\",\"user\":\"admin\n".into(),
            data: Bytes::new(),
        };
        let json = call(Some(Encoding::Json), "u", rpc).to_json();
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value["user"], "u");
        assert_eq!(value["method"], "\",\"user\":\"admin\n");
    }

    #[test]
    fn a_call_weighs_what_its_client_sent() {
        let light = call(None, "", HookEvent::Refresh).bytes();
        let headers = [("a".repeat(500), "b".repeat(500))];
        let heavy = HookEvent::Connect {
            data: vec![0; 1000].into(),
            name: "n".repeat(1000),
            version: "v".repeat(1000),
            headers: headers.into(),
            channels: vec!["c".repeat(1000)],
        };
        assert!(call(None, "", heavy).bytes() >= light + 5000);
    }
}
