//! The codec as an endpoint: what a server or client built on it would do, without sockets. In: the
//! peer's pieces. Out: what such an endpoint writes, at once.
//!
//! It also holds the codec to what its documentation promises whatever the peer does: little is left
//! unconsumed, errors are final, what follows a close is discarded.
//!
//! Never: waits.

use super::{Came, Endpoint, Patience};
use crate::catalogue::{Case, Chop, LIMITS, Start};
use crate::report::Report;
use fanfare_codec::handshake::{
    ClientHandshake, HeadLimits, RequestDecoder, Response, ResponseDecoder, Status,
};
use fanfare_codec::{
    CloseCode, CloseFrame, EncodeError, Encoder, MaskKeys, MaskedWith, Message, MessageDecoder,
    ProtocolError, Role, UNCONSUMED_BYTES_MAX, Unmasked,
};

/// Subprotocols that the server supports and the client offers.
pub const PROTOCOLS: [&str; 2] = ["chat", "superchat"];

type ClientKeys = MaskedWith<fn() -> [u8; 4]>;

enum Sending {
    Server(Encoder<Unmasked>),
    Client(Encoder<ClientKeys>),
}

enum Phase {
    Request(RequestDecoder),
    Response(Box<ClientHandshake>, ResponseDecoder),
    Open,
}

/// An echoing endpoint.
pub struct CodecEndpoint {
    role: Role,
    phase: Phase,
    messages: MessageDecoder,
    sending: Sending,
    received: Vec<u8>,
    out: Vec<u8>,
    close_sent: bool,
    close_received: bool,
    failed: Option<ProtocolError>,
    ended: bool,
}

impl std::fmt::Debug for CodecEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodecEndpoint")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl CodecEndpoint {
    /// An endpoint where `case` wants it to start.
    #[must_use]
    pub fn new(case: &Case) -> Self {
        let phase = match (case.start, case.role) {
            (Start::Open, _) => Phase::Open,
            (Start::Connected, Role::Server) => {
                Phase::Request(RequestDecoder::new(HeadLimits::default()))
            }
            (Start::Connected, Role::Client) => {
                let mut handshake =
                    ClientHandshake::new("localhost", "/echo", *b"the sample nonce").unwrap();
                for protocol in PROTOCOLS {
                    handshake = handshake.subprotocol(protocol).unwrap();
                }
                Phase::Response(
                    Box::new(handshake),
                    ResponseDecoder::new(HeadLimits::default()),
                )
            }
        };
        let keys: fn() -> [u8; 4] = || [0xA5, 0x5A, 0x00, 0xFF];
        let sending = match case.role {
            Role::Server => Sending::Server(Encoder::server()),
            Role::Client => Sending::Client(Encoder::client(keys)),
        };
        Self {
            role: case.role,
            phase,
            messages: MessageDecoder::new(case.role, LIMITS),
            sending,
            received: Vec::new(),
            out: Vec::new(),
            close_sent: false,
            close_received: false,
            failed: None,
            ended: false,
        }
    }

    fn take_request(&mut self) {
        let Phase::Request(decoder) = &mut self.phase else {
            return;
        };
        let (response, head_len) = match decoder.decode(&self.received) {
            Ok(None) => return,
            Err(error) => (Response::from(&error), 0),
            Ok(Some(request)) => match request.upgrade() {
                Ok(upgrade) => {
                    let response = Response::switching_protocols(&upgrade);
                    let response = match upgrade.select_protocol(&PROTOCOLS) {
                        Some(protocol) => response.subprotocol(protocol).unwrap(),
                        None => response,
                    };
                    (response, request.head_len())
                }
                Err(error) => (Response::from(&error), 0),
            },
        };
        response.encode(&mut self.out);
        if response.status() == Status::SWITCHING_PROTOCOLS {
            self.received.drain(..head_len);
            self.phase = Phase::Open;
        } else {
            self.ended = true;
        }
    }

    fn take_response(&mut self) {
        let Phase::Response(handshake, decoder) = &mut self.phase else {
            return;
        };
        let head_len = match decoder.decode(&self.received) {
            Ok(None) => return,
            Ok(Some(response)) if handshake.verify(&response).is_ok() => response.head_len(),
            _ => {
                self.ended = true; // §4.1: a client that does not like the answer just closes
                return;
            }
        };
        self.received.drain(..head_len);
        self.phase = Phase::Open;
    }

    fn take_frames(&mut self) {
        let mut input = &mut self.received[..];
        let total = input.len();
        let result = loop {
            match self.messages.next_message(&mut input) {
                Ok(Some(message)) => {
                    assert!(self.failed.is_none(), "{message:?} after {:?}", self.failed);
                    assert!(!self.close_received, "{message:?} after a close");
                    self.close_received = matches!(message, Message::Close(_));
                    // §5.5.1: after our own close no more data.
                    if !self.close_sent {
                        answer(&mut self.sending, &mut self.out, message);
                        self.close_sent = self.close_received;
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let left = input.len();
        self.received.drain(..total - left);
        match (result, self.failed) {
            (Ok(()), None) => assert!(
                left <= UNCONSUMED_BYTES_MAX,
                "{left} bytes unconsumed, more than {UNCONSUMED_BYTES_MAX}"
            ),
            (Ok(()), Some(first)) => panic!("{first:?} was not final"),
            (Err(error), Some(first)) => assert_eq!(error, first, "an error is final"),
            (Err(error), None) => self.fail(error),
        }
        if self.close_received {
            assert!(
                self.received.is_empty(),
                "what follows a close is discarded"
            );
            self.ended |= self.close_sent && self.role == Role::Server;
        }
    }

    fn fail(&mut self, error: ProtocolError) {
        self.failed = Some(error);
        if !self.close_sent {
            let reason = error.to_string();
            let close = CloseFrame::new(error.close_code(), &reason).unwrap();
            answer(
                &mut self.sending,
                &mut self.out,
                Message::Close(Some(close)),
            );
            self.close_sent = true;
        }
        self.ended = true;
    }
}

impl Endpoint for CodecEndpoint {
    fn send(&mut self, piece: &[u8]) {
        self.received.extend_from_slice(piece);
        match (&self.phase, self.ended) {
            (Phase::Request(_), false) => self.take_request(),
            (Phase::Response(..), false) => self.take_response(),
            _ => {}
        }
        if matches!(self.phase, Phase::Open) {
            self.take_frames(); // also when ended: errors must stay final
        }
    }

    fn eof(&mut self) {
        self.ended = true;
    }

    fn reset(&mut self) {
        self.ended = true;
        self.out.clear();
    }

    fn begin_close(&mut self, code: u16) {
        let close = CloseFrame::new(CloseCode(code), "").unwrap();
        answer(
            &mut self.sending,
            &mut self.out,
            Message::Close(Some(close)),
        );
        self.close_sent = true;
    }

    fn receive(&mut self, out: &mut Vec<u8>, _: Patience) -> Came {
        match (self.out.is_empty(), self.ended) {
            (false, _) => {
                out.append(&mut self.out);
                Came::Bytes
            }
            (true, true) => Came::End,
            (true, false) => Came::Nothing,
        }
    }
}

fn answer(sending: &mut Sending, out: &mut Vec<u8>, message: Message<'_>) {
    match sending {
        Sending::Server(encoder) => echo(encoder, out, message),
        Sending::Client(encoder) => echo(encoder, out, message),
    }
    .expect("an echo is never fragmented nor longer than what it answers");
}

fn echo<K: MaskKeys>(
    encoder: &mut Encoder<K>,
    out: &mut Vec<u8>,
    message: Message<'_>,
) -> Result<(), EncodeError> {
    match message {
        Message::Text(text) => encoder.text(out, text),
        Message::Binary(bytes) => encoder.binary(out, bytes),
        Message::Ping(payload) => encoder.pong(out, payload),
        Message::Pong(_) => Ok(()),
        Message::Close(close) => {
            encoder.close(out, close);
            Ok(())
        }
    }
}

/// Runs each case under every chop that is worth it.
#[must_use]
pub fn run_all(cases: &[Case], seed: u64) -> Report {
    super::run_parallel(
        "codec",
        cases,
        2,
        |case| Chop::every(case, seed),
        |case| Ok(Box::new(CodecEndpoint::new(case))),
    )
}
