//! What no echo server on tokio can be cheaper than: one read and one write for all that it brought, on the bare socket,
//! from one buffer of the thread. Frames are answered where they lie, by the codec, without looking at messages
//! one by one. It shows how much of the others' figures is tokio and the kernel.
//!
//! Never: answers anything but whole messages of one frame, or waits for a client that does not read.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use fanfare_codec::{Limits, MessageDecoder, Role};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::Echoed;
use crate::count::Count;
use crate::fastwebsockets::upgrade;

const BUFFER_BYTES: usize = 256 << 10;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into());
}

pub(crate) async fn echo(mut socket: TcpStream, count: Count, frame_bytes: usize) -> Echoed {
    upgrade(&mut socket).await?;
    let mut decoder = MessageDecoder::new(Role::Server, Limits::default());
    let mut cut = Vec::new();
    loop {
        let answered = poll_fn(|cx| {
            BUFFER.with_borrow_mut(|buffer| {
                poll_answer(cx, &mut socket, &mut decoder, &mut cut, buffer)
            })
        });
        match answered.await? {
            None => return Ok(()),
            Some(bytes) => count.add_many(bytes / frame_bytes),
        }
    }
}

/// Reads once and writes once: how many bytes were answered with.
fn poll_answer(
    cx: &mut Context<'_>,
    socket: &mut TcpStream,
    decoder: &mut MessageDecoder,
    cut: &mut Vec<u8>,
    buffer: &mut [u8],
) -> Poll<io::Result<Option<usize>>> {
    let mut into = ReadBuf::new(buffer);
    into.put_slice(cut);
    ready!(Pin::new(&mut *socket).poll_read(cx, &mut into))?;
    let filled = into.filled_mut();
    if filled.len() == cut.len() {
        return Poll::Ready(Ok(None));
    }
    let mut input = filled;
    let replies = decoder.echo_in_place(&mut input);
    cut.clear();
    cut.extend_from_slice(input);
    let mut sent = 0;
    while sent < replies.len() {
        match Pin::new(&mut *socket).poll_write(cx, &replies[sent..]) {
            Poll::Ready(written) => sent += written?,
            Poll::Pending => return Poll::Ready(Err(io::ErrorKind::WouldBlock.into())),
        }
    }
    Poll::Ready(Ok(Some(sent)))
}
