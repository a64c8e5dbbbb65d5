//! The server's HTTP API as a caller sees it. In: methods and JSON. Out: results and errors.
//!
//! Never: takes an answer for a result that is not one.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::http::{Http, Response};

/// Keeps its connection for as long as the server does.
#[derive(Debug)]
pub struct Api {
    addr: SocketAddr,
    key: String,
    connection: Option<Http>,
}

impl Api {
    /// A caller who shows this key.
    #[must_use]
    pub fn new(addr: SocketAddr, key: &str) -> Self {
        Self {
            addr,
            key: key.to_owned(),
            connection: None,
        }
    }

    /// What a body of this text is answered.
    #[track_caller]
    pub fn post(&mut self, method: &str, body: impl AsRef<[u8]>) -> Response {
        let mut http = match self.connection.take() {
            Some(http) => http,
            None => Http::connect(self.addr),
        };
        let headers = [("X-API-Key", self.key.as_str())];
        let response = http.request(&format!("POST /api/{method}"), &headers, body.as_ref());
        if !response.head.lists("Connection", "close") {
            self.connection = Some(http);
        }
        response
    }

    /// The JSON of an answer with status 200.
    #[track_caller]
    pub fn answer(&mut self, method: &str, body: impl AsRef<[u8]>) -> Value {
        let body = body.as_ref();
        let response = self.post(method, body);
        let text = response.text();
        let case = || {
            let start = String::from_utf8_lossy(&body[..body.len().min(300)]);
            format!("{method} {start}: {} {text}", response.status())
        };
        assert_eq!(response.status(), 200, "{}", case());
        let json = response.head.lists("Content-Type", "application/json");
        assert!(json, "{:?}", response.head);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", case()))
    }

    /// `result` of an answer that has nothing else.
    #[track_caller]
    pub fn result(&mut self, method: &str, request: &Value) -> Value {
        let answer = self.answer(method, request.to_string());
        let whole = answer.as_object().is_some_and(|fields| fields.len() == 1);
        assert!(
            whole && answer["result"].is_object(),
            "{method} {request}: {answer}"
        );
        answer["result"].clone()
    }

    /// The answer is an error with this code, and has nothing else.
    #[track_caller]
    pub fn expect_error(&mut self, method: &str, request: &Value, code: u64) {
        let answer = self.answer(method, request.to_string());
        let case = format!("{method} {request}: {answer}");
        assert_error(&answer, code, &case);
    }

    /// Publishes JSON; the result.
    #[track_caller]
    pub fn publish(&mut self, channel: &str, data: &Value) -> Value {
        self.result("publish", &json!({"channel": channel, "data": data}))
    }

    /// The names of a channel's clients.
    #[track_caller]
    pub fn clients(&mut self, channel: &str) -> Vec<String> {
        let result = self.result("presence", &json!({"channel": channel}));
        let clients = result["presence"].as_object().expect("an object");
        clients.keys().cloned().collect()
    }

    /// Where a channel stands, as `since` takes it.
    #[track_caller]
    pub fn position(&mut self, channel: &str) -> String {
        position(&self.result("history", &json!({"channel": channel})))
    }
}

/// `offset:epoch` of a result.
#[track_caller]
#[must_use]
pub fn position(result: &Value) -> String {
    match (result["offset"].as_u64(), result["epoch"].as_str()) {
        // Zero fields may be left out.
        (None, Some(epoch)) if result["offset"].is_null() => format!("0:{epoch}"),
        (Some(offset), Some(epoch)) => format!("{offset}:{epoch}"),
        _ => panic!("no position in {result}"),
    }
}

/// `answer` is `{"error":{"code":…,"message":…}}` and nothing else.
#[track_caller]
pub fn assert_error(answer: &Value, code: u64, case: &str) {
    let whole = answer.as_object().is_some_and(|fields| fields.len() == 1);
    assert!(whole, "{case}");
    assert_eq!(answer["error"]["code"], code, "{case}");
    let message = answer["error"]["message"].as_str();
    assert!(message.is_some_and(|message| !message.is_empty()), "{case}");
}
