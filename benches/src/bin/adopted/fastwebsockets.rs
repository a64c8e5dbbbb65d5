//! fastwebsockets: `FragmentCollector` and `write_frame`, a write for each message, as its echo server has it: its
//! defaults, out of tokio's budget. Its own upgrade goes through hyper; here it has the bare socket, which is faster,
//! and the request is answered by our codec.
//!
//! Never: measures.

use fanfare_codec::handshake::{HeadLimits, RequestDecoder, Response};
use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Echoed;
use crate::count::Count;

pub(crate) async fn echo(mut socket: TcpStream, count: Count) -> Echoed {
    upgrade(&mut socket).await?;
    tokio::task::unconstrained(run(socket, count)).await
}

async fn run(socket: TcpStream, count: Count) -> Echoed {
    let mut ws = FragmentCollector::new(WebSocket::after_handshake(socket, Role::Server));
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => continue,
        }
        count.add();
    }
}

/// Answers the request, behind which a client sends nothing before it has the answer.
pub(crate) async fn upgrade(socket: &mut TcpStream) -> Echoed {
    let mut decoder = RequestDecoder::new(HeadLimits::default());
    let mut received = Vec::with_capacity(1024);
    let mut response = Vec::new();
    loop {
        if socket.read_buf(&mut received).await? == 0 {
            return Err("it left".into());
        }
        if let Some(request) = decoder.decode(&received)? {
            Response::switching_protocols(&request.upgrade()?).encode(&mut response);
            break;
        }
    }
    socket.write_all(&response).await?;
    Ok(())
}
