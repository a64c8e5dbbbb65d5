//! One connection that does what it is told, line by line, and says what it hears: an end of the conversations of
//! `tests/interop`. In: a role, flags, and orders on stdin. Out: events on stdout. Payloads are in hex; `-` is none.
//!
//! ```console
//! $ echo 'text 68656c6c6f' | cargo run -p fanfare-tokio --example scripted -- ask ws://127.0.0.1:9001/
//! ```
//!
//! Never: decides anything. Ends with its connection.

#![expect(clippy::print_stdout, reason = "events are its output")]

use std::io::BufRead;
use std::process::ExitCode;

use fanfare_tokio::{
    ClientRequest, CloseCode, CloseFrame, Config, Error, Limits, Message, MessageKind,
    PreparedFrame, ReadHalf, WebSocketStream, WriteHalf, accept_with, client,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

type Ws = WebSocketStream<TcpStream>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [role, at, flags @ ..] = args.as_slice() else {
        eprintln!(
            "usage: scripted serve ADDR|ask URL [--deflate keep|fresh] [--max BYTES] [--protocol NAME]"
        );
        return ExitCode::from(2);
    };
    let flag = |name: &str| {
        let position = flags.iter().position(|flag| flag == name)?;
        flags.get(position + 1).map(String::as_str)
    };
    let mut config = Config::DEFAULT;
    if let Some(bytes) = flag("--max").and_then(|bytes| bytes.parse().ok()) {
        config = config.with_limits(Limits::default().with_max_message_bytes(bytes));
    }
    if let Some(how) = flag("--deflate") {
        config = deflated(config, how == "keep");
    }
    let opened = match role.as_str() {
        "serve" => serve(at, &config, flag("--protocol")).await,
        _ => ask(at, &config, flag("--protocol")).await,
    };
    let (ws, protocol) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            tell(&format!("refused {error}"));
            return ExitCode::FAILURE;
        }
    };
    tell(&format!("open {}", protocol.as_deref().unwrap_or("-")));
    let (write, read) = ws.split();
    let mut orders = orders();
    let obeying = async {
        let mut write = write;
        while let Some(order) = orders.recv().await {
            if order == "drop" {
                return;
            }
            if let Err(error) = obey(&mut write, &order).await {
                tell(&format!("fault {error}"));
            }
        }
    };
    tokio::select! {
        () = obeying => {}
        () = listen(read) => {}
    }
    ExitCode::SUCCESS
}

#[cfg(feature = "deflate")]
fn deflated(config: Config, is_kept: bool) -> Config {
    use fanfare_tokio::deflate::{DeflateOffer, DeflatePolicy, DeflateSettings};
    let policy = DeflatePolicy::DEFAULT
        .with_server_takeover(is_kept)
        .with_client_takeover(is_kept);
    let mut offer = DeflateOffer::default();
    if !is_kept {
        offer = offer.without_server_takeover().without_client_takeover();
    }
    config
        .with_deflate_policy(Some(policy))
        .with_deflate_offer(Some(offer))
        .with_deflate_settings(DeflateSettings::DEFAULT.with_threshold_bytes(16))
}

#[cfg(not(feature = "deflate"))]
fn deflated(config: Config, _: bool) -> Config {
    eprintln!("scripted: --deflate needs the feature `deflate`");
    config
}

/// Waits for one client.
async fn serve(
    address: &str,
    config: &Config,
    protocol: Option<&str>,
) -> Result<(Ws, Option<String>), Error> {
    let listener = TcpListener::bind(address).await?;
    tell(&format!("listening ws://{}/", listener.local_addr()?));
    let (socket, _) = listener.accept().await?;
    socket.set_nodelay(true)?;
    let mut chosen = None;
    let ws = accept_with(socket, config, |_, upgrade, response| {
        let common = protocol.and_then(|protocol| upgrade.select_protocol(&[protocol]));
        chosen = common.map(str::to_owned);
        Ok(match common {
            Some(protocol) => response.subprotocol(protocol).expect("a token"),
            None => response,
        })
    });
    let ws = ws.await?;
    Ok((ws, chosen))
}

async fn ask(
    url: &str,
    config: &Config,
    protocol: Option<&str>,
) -> Result<(Ws, Option<String>), Error> {
    let mut request = ClientRequest::new(url)?;
    if let Some(protocol) = protocol {
        request = request.subprotocol("other")?.subprotocol(protocol)?;
    }
    let socket = TcpStream::connect((request.host(), request.port())).await?;
    socket.set_nodelay(true)?;
    let (ws, answer) = client(socket, request, config).await?;
    Ok((ws, answer.protocol))
}

/// Lines of stdin, which only a thread can wait for.
fn orders() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
        // Whoever gives no more orders may still want to hear.
        std::mem::forget(sender);
    });
    receiver
}

/// Does what one line says.
async fn obey(write: &mut WriteHalf<TcpStream>, order: &str) -> Result<(), Error> {
    let mut words = order.split(' ');
    let verb = words.next().unwrap_or_default();
    let mut payloads = words.map(bytes);
    let mut next = || payloads.next().unwrap_or_default();
    match verb {
        "text" => write.send(text(next()).into()).await,
        "binary" => write.send(next().into()).await,
        "ping" => write.send(Message::Ping(next().into())).await,
        "pong" => write.send(Message::Pong(next().into())).await,
        "prepared" => write.send_prepared(&prepared(text(next()))).await,
        // Without a flush; whatever comes next lets them leave, in one write.
        "feed" => write.feed(text(next()).into()).await,
        "close" => {
            let code = text(next());
            let close = code.parse().ok().map(|code| {
                let reason = text(next());
                CloseFrame::new(CloseCode(code), reason)
            });
            write.send(Message::Close(close)).await
        }
        "fragments-text" | "fragments-binary" => {
            let kind = match verb {
                "fragments-text" => MessageKind::Text,
                _ => MessageKind::Binary,
            };
            let mut pieces: Vec<Vec<u8>> = payloads.collect();
            let last = pieces.pop().unwrap_or_default();
            let mut pieces = pieces.iter();
            let first = pieces.next().map_or(&[][..], Vec::as_slice);
            write.ready().await?;
            write.begin(kind, first)?;
            for piece in pieces {
                write.ready().await?;
                write.proceed(piece)?;
            }
            write.ready().await?;
            write.end(&last)?;
            write.flush().await
        }
        other => panic!("{other}: no order"),
    }
}

fn prepared(text: String) -> PreparedFrame {
    let frame = PreparedFrame::text(text);
    #[cfg(feature = "deflate")]
    let frame = frame.with_deflate();
    frame
}

/// Tells of all that comes, to the end.
async fn listen(mut read: ReadHalf<TcpStream>) {
    while let Some(received) = read.recv().await {
        let (word, payload) = match received {
            Ok(Message::Text(text)) => ("text", hex(text.as_bytes())),
            Ok(Message::Binary(bytes)) => ("binary", hex(&bytes)),
            Ok(Message::Ping(payload)) => ("ping", hex(&payload)),
            Ok(Message::Pong(payload)) => ("pong", hex(&payload)),
            Ok(Message::Close(None)) => ("close", "- -".to_owned()),
            Ok(Message::Close(Some(close))) => {
                let reason = hex(close.reason.as_bytes());
                ("close", format!("{} {reason}", close.code.0))
            }
            Err(Error::Protocol(error)) => ("broken", error.close_code().0.to_string()),
            Err(Error::Disconnected | Error::Io(_)) => ("disconnected", "-".to_owned()),
            Err(error) => ("failed", error.to_string()),
        };
        tell(&format!("{word} {payload}"));
    }
    tell("end -");
}

fn tell(line: &str) {
    println!("{line}");
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks_exact(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    pairs.filter_map(byte).collect()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("orders are UTF-8")
}
