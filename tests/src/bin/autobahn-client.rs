//! The codec as a client, for the Autobahn suite's `fuzzingserver`. In: its URL and our name. Out: an
//! echo of every case it sends, and its report.
//!
//! Never: judges; the suite does.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;

use fanfare_codec::deflate::{
    DeflateOffer, DeflateSettings, DeflateTerms, Deflaters, Inflaters, Outgoing,
};
use fanfare_codec::handshake::{ClientHandshake, HeadLimits, ResponseDecoder};
use fanfare_codec::{
    CloseFrame, Encoder, Limits, MaskedWith, Message, MessageDecoder, MessageKind, Role,
};

type Failure = Box<dyn std::error::Error>;
/// Answers a data message.
type OnMessage<'a> = dyn FnMut(Message<'_>, &mut Sending) + 'a;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, agent] = args.as_slice() else {
        eprintln!("usage: autobahn-client ws://HOST:PORT AGENT");
        return ExitCode::from(2);
    };
    match run(url, agent) {
        Ok(cases) => {
            eprintln!("autobahn-client: {cases} cases");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("autobahn-client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(url: &str, agent: &str) -> Result<usize, Failure> {
    let host = url
        .strip_prefix("ws://")
        .ok_or("the URL must begin with ws://")?;
    let mut count = None;
    talk(host, "/getCaseCount", |message, _| {
        if let Message::Text(text) = message {
            count = text.parse().ok();
        }
    })?;
    let count = count.ok_or("the server did not say how many cases there are")?;
    for case in 1..=count {
        // A case may end in any way the suite likes, a reset too: it knows, we go on.
        let path = format!("/runCase?case={case}&agent={agent}");
        if let Err(error) = talk(host, &path, echo) {
            eprintln!("autobahn-client: case {case}: {error}");
        }
    }
    talk(host, &format!("/updateReports?agent={agent}"), |_, _| {})?;
    Ok(count)
}

/// What is sent on one connection.
struct Sending {
    bytes: Vec<u8>,
    deflaters: Deflaters,
    /// How messages are compressed, if the server has agreed.
    deflated: Option<Outgoing>,
}

impl Sending {
    fn new(terms: Option<DeflateTerms>) -> Self {
        let settings = DeflateSettings::DEFAULT.with_threshold_bytes(0);
        Self {
            bytes: Vec::new(),
            deflaters: Deflaters::new(settings, 1),
            deflated: terms.map(|terms| Outgoing::new(terms.client)),
        }
    }
}

fn encoder() -> Encoder<MaskedWith<impl FnMut() -> [u8; 4]>> {
    Encoder::client(|| fastrand::u32(..).to_ne_bytes())
}

fn echo(message: Message<'_>, out: &mut Sending) {
    let mut encoder = encoder();
    let Sending {
        bytes,
        deflaters,
        deflated,
    } = out;
    let (kind, payload) = match message {
        Message::Text(text) => (MessageKind::Text, text.as_bytes()),
        Message::Binary(payload) => (MessageKind::Binary, payload),
        _ => return,
    };
    match (deflated, message) {
        (Some(outgoing), _) => encoder.deflate(bytes, kind, payload, outgoing, deflaters),
        (None, Message::Text(text)) => encoder.text(bytes, text),
        (None, _) => encoder.binary(bytes, payload),
    }
    .expect("nothing is fragmented");
}

/// One connection from upgrade to close; `on_message` answers data messages.
fn talk(
    host: &str,
    target: &str,
    mut on_message: impl FnMut(Message<'_>, &mut Sending),
) -> Result<(), Failure> {
    let mut socket = TcpStream::connect(host)?;
    socket.set_nodelay(true)?;
    let (mut received, terms) = upgrade(&mut socket, host, target)?;
    let mut decoder = MessageDecoder::new(Role::Client, Limits::default());
    if let Some(terms) = terms {
        decoder = decoder.with_deflate(terms.server);
    }
    let mut out = Sending::new(terms);
    let mut inflaters = Inflaters::new(1);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let mut input = &mut received[..];
        let ended = answer_all(
            (&mut decoder, &mut inflaters),
            &mut input,
            &mut out,
            &mut on_message,
        );
        let rest = input.len();
        received.drain(..received.len() - rest);
        socket.write_all(&out.bytes)?;
        out.bytes.clear();
        if ended {
            finish(&mut socket);
            return Ok(());
        }
        match socket.read(&mut buffer)? {
            0 => return Ok(()),
            n => received.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Whether the connection is to be closed, by their close frame or their fault.
fn answer_all(
    (decoder, inflaters): (&mut MessageDecoder, &mut Inflaters),
    input: &mut &mut [u8],
    out: &mut Sending,
    on_message: &mut OnMessage<'_>,
) -> bool {
    let mut encoder = encoder();
    loop {
        match decoder.next_message_with(input, inflaters) {
            Ok(None) => return false,
            Ok(Some(Message::Ping(payload))) => {
                encoder
                    .pong(&mut out.bytes, payload)
                    .expect("as long as the ping");
            }
            Ok(Some(Message::Close(close))) => {
                encoder.close(&mut out.bytes, close.map(CloseFrame::without_reason));
                return true;
            }
            Ok(Some(message)) => on_message(message, out),
            Err(error) => {
                let close = CloseFrame::new(error.close_code(), "").expect("may be sent");
                encoder.close(&mut out.bytes, Some(close));
                return true;
            }
        }
    }
}

/// What follows the head of the answer, and what the server has agreed to.
fn upgrade(
    socket: &mut TcpStream,
    host: &str,
    target: &str,
) -> Result<(Vec<u8>, Option<DeflateTerms>), Failure> {
    let handshake = ClientHandshake::new(host, target, fastrand::u128(..).to_ne_bytes())?
        .offer_deflate(DeflateOffer::default());
    let mut request = Vec::new();
    handshake.encode(&mut request);
    socket.write_all(&request)?;
    let mut decoder = ResponseDecoder::new(HeadLimits::default());
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match socket.read(&mut buffer)? {
            0 => return Err("closed before the upgrade".into()),
            n => received.extend_from_slice(&buffer[..n]),
        }
        if let Some(response) = decoder.decode(&received)? {
            let terms = handshake.verify(&response)?.deflate;
            let head_len = response.head_len();
            return Ok((received.split_off(head_len), terms));
        }
    }
}

/// The server closes the TCP connection first (RFC 6455 §7.1.1); ours follows. The suite may reset
/// it instead: everything is said by now.
fn finish(socket: &mut TcpStream) {
    let mut rest = [0; 4096];
    if socket.shutdown(Shutdown::Write).is_ok() {
        while socket.read(&mut rest).is_ok_and(|n| n > 0) {}
    }
}
