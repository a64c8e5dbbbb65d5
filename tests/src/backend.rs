//! A small HTTP server that plays the operator's backend, or the issuer of keys. In: what to answer to what.
//! Out: an address, and what was asked.
//!
//! Never: speaks more of HTTP than the server under test needs.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::read::read;
use crate::wire::{self, Head};

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The target.
    pub path: String,
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: Vec<u8>,
}

impl Asked {
    /// The body, which is JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// What comes back.
#[derive(Clone, Debug)]
pub enum Answer {
    /// 200 and JSON.
    Json(Value),
    /// A status, headers and a body.
    Full(u16, Vec<(String, String)>, Vec<u8>),
    /// Nothing, until whoever asked gives up.
    Silence,
    /// The end of the connection.
    End,
}

impl Answer {
    /// A status alone.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self::Full(status, Vec::new(), Vec::new())
    }
}

type Handler = dyn Fn(&Asked) -> Answer + Send + Sync;

/// A server on a thread of its own; it ends when dropped.
#[derive(Debug)]
pub struct Backend {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    ends: Arc<AtomicBool>,
}

impl Backend {
    /// One that answers like this.
    #[must_use]
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let backend = Self {
            addr: listener.local_addr().unwrap(),
            asked: Arc::default(),
            ends: Arc::default(),
        };
        let (asked, ends) = (backend.asked.clone(), backend.ends.clone());
        let answer: Arc<Handler> = Arc::new(answer);
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let (asked, answer) = (asked.clone(), answer.clone());
                thread::spawn(move || serve(socket, &asked, &*answer));
            }
        });
        backend
    }

    /// The URL of `path`, which begins with `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// What was asked on `path`, up to now.
    #[must_use]
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        let on_path = asked.iter().filter(|asked| asked.path == path);
        on_path.cloned().collect()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.addr);
    }
}

fn serve(mut socket: TcpStream, asked: &Mutex<Vec<Asked>>, answer: &Handler) {
    let mut received = Vec::new();
    while let Some(request) = request(&mut socket, &mut received) {
        asked.lock().unwrap().push(request.clone());
        let (status, headers, body) = match answer(&request) {
            Answer::Json(value) => (200, Vec::new(), value.to_string().into_bytes()),
            Answer::Full(status, headers, body) => (status, headers, body),
            Answer::Silence => {
                while more(&mut socket, &mut received).is_some() {}
                return;
            }
            Answer::End => return,
        };
        let mut out = format!("HTTP/1.1 {status} S\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            out += &format!("{name}: {value}\r\n");
        }
        out += "\r\n";
        let bytes = [out.as_bytes(), &body].concat();
        if socket.write_all(&bytes).is_err() {
            return;
        }
    }
}

fn request(socket: &mut TcpStream, received: &mut Vec<u8>) -> Option<Asked> {
    let head = loop {
        match wire::read_head(received) {
            Some(head) => break head,
            None => more(socket, received)?,
        }
    };
    received.drain(..head.len);
    let len = head.all("Content-Length").next();
    let len: usize = len.map_or(0, |len| len.parse().expect("a length"));
    while received.len() < len {
        more(socket, received)?;
    }
    let path = head.start_line.split(' ').nth(1)?.to_owned();
    let body = received.drain(..len).collect();
    Some(Asked { path, head, body })
}

fn more(socket: &mut TcpStream, received: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 16 << 10];
    let n = read(socket, &mut buffer).ok().filter(|n| *n > 0)?;
    received.extend_from_slice(&buffer[..n]);
    Some(())
}
