//! zlib, the C library, through Python: what reads our streams and writes others with knowledge of its own.
//! In: bytes and window bits. Out: bytes.
//!
//! Never: shares code with what it checks.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const PROGRAM: &str = include_str!("zlib.py");

/// A Python process that answers until it is dropped.
#[derive(Debug)]
pub struct Zlib {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Zlib {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        let mut child = Command::new("python3")
            .args(["-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is there: scripts/setup test");
        Self {
            to: child.stdin.take().unwrap(),
            from: child.stdout.take().unwrap(),
            child,
        }
    }

    /// A new stream, 8–15 bits, that inflates messages and keeps its window between them.
    pub fn open_inflater(&mut self, bits: u8) {
        self.ask(b'I', bits, &[]).expect("started");
    }

    /// The message that a payload is.
    ///
    /// # Errors
    ///
    /// What zlib says, or that the message ends inside a block.
    pub fn inflate(&mut self, payload: &[u8]) -> Result<Vec<u8>, String> {
        self.ask(b'i', 0, payload)
    }

    /// A new stream, 9–15 bits, that deflates messages and keeps its window between them.
    pub fn open_deflater(&mut self, bits: u8) {
        self.ask(b'D', bits, &[]).expect("started");
    }

    /// The payload that a message is sent as.
    pub fn deflate(&mut self, message: &[u8]) -> Vec<u8> {
        self.ask(b'd', 0, message).expect("any bytes")
    }

    fn ask(&mut self, what: u8, bits: u8, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let len = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        let mut request = vec![what, bits];
        request.extend_from_slice(&len);
        request.extend_from_slice(bytes);
        self.to.write_all(&request).unwrap();
        let mut head = [0; 5];
        self.from.read_exact(&mut head).unwrap();
        let len = u32::from_be_bytes(head[1..].try_into().unwrap());
        let mut answer = vec![0; usize::try_from(len).unwrap()];
        self.from.read_exact(&mut answer).unwrap();
        match head[0] {
            b'+' => Ok(answer),
            _ => Err(String::from_utf8_lossy(&answer).into_owned()),
        }
    }
}

impl Drop for Zlib {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
