//! The codec without a runtime: a thread for each connection, sockets of the standard library. In: an address. Out: every
//! message, sent back.
//!
//! ```console
//! $ cargo run -p fanfare-tokio --example std_thread -- 127.0.0.1:9001
//! ```
//!
//! Never: uses tokio; writes more than once for what one read brought.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use fanfare_codec::handshake::{HeadLimits, RequestDecoder, Response};
use fanfare_codec::{
    CloseFrame, Encoder, Limits, Message, MessageDecoder, Role, UNCONSUMED_BYTES_MAX,
};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: std_thread ADDR")?;
    let listener = TcpListener::bind(address)?;
    eprintln!("listening on ws://{}", listener.local_addr()?);
    for socket in listener.incoming() {
        let socket = socket?;
        // How a client leaves is its own business.
        thread::spawn(move || serve(socket).is_ok());
    }
    Ok(())
}

fn serve(mut socket: TcpStream) -> Result<(), Box<dyn Error>> {
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; (16 << 10) + UNCONSUMED_BYTES_MAX];
    let Some(mut held) = upgrade(&mut socket, &mut buffer)? else {
        return Ok(());
    };
    let mut decoder = MessageDecoder::new(Role::Server, Limits::default());
    let mut replies = Vec::new();
    loop {
        let mut input = &mut buffer[..held];
        let goes_on = answer(&mut decoder, &mut input, &mut replies);
        let rest = input.len();
        buffer.copy_within(held - rest..held, 0);
        socket.write_all(&replies)?;
        replies.clear();
        if !goes_on {
            return Ok(());
        }
        match socket.read(&mut buffer[rest..])? {
            0 => return Ok(()),
            read => held = rest + read,
        }
    }
}

/// Answers the upgrade; how many bytes behind it are at the buffer's front, or `None` if there is none.
fn upgrade(socket: &mut TcpStream, buffer: &mut [u8]) -> Result<Option<usize>, Box<dyn Error>> {
    let mut decoder = RequestDecoder::new(HeadLimits::default());
    let mut end = 0;
    let mut out = Vec::new();
    let head_len = loop {
        match socket.read(&mut buffer[end..])? {
            0 => return Ok(None),
            read => end += read,
        }
        let refusal = match decoder.decode(&buffer[..end]) {
            Ok(None) => continue,
            Ok(Some(request)) => match request.upgrade() {
                Ok(upgrade) => {
                    Response::switching_protocols(&upgrade).encode(&mut out);
                    break request.head_len();
                }
                Err(error) => Response::from(&error),
            },
            Err(error) => Response::from(&error),
        };
        refusal.encode(&mut out);
        socket.write_all(&out)?;
        return Ok(None);
    };
    socket.write_all(&out)?;
    buffer.copy_within(head_len..end, 0);
    Ok(Some(end - head_len))
}

/// Appends an echo of every whole message; whether the connection goes on.
fn answer(decoder: &mut MessageDecoder, input: &mut &mut [u8], out: &mut Vec<u8>) -> bool {
    let mut encoder = Encoder::server();
    loop {
        let encoded = match decoder.next_message(input) {
            Ok(None) => return true,
            Ok(Some(Message::Text(text))) => encoder.text(out, text),
            Ok(Some(Message::Binary(bytes))) => encoder.binary(out, bytes),
            Ok(Some(Message::Ping(payload))) => encoder.pong(out, payload),
            Ok(Some(Message::Pong(_))) => Ok(()),
            Ok(Some(Message::Close(close))) => {
                encoder.close(out, close.map(CloseFrame::without_reason));
                return false;
            }
            Err(error) => {
                let reason = error.to_string();
                encoder.close(out, CloseFrame::new(error.close_code(), &reason).ok());
                return false;
            }
        };
        encoded.expect("no message is fragmented, and no pong longer than its ping");
    }
}
