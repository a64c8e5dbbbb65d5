//! What runs a case. In: a case, a chop and an endpoint. Out: nothing, or the first step that did not
//! hold, with what was expected and what came.
//!
//! Never: knows how an endpoint works inside; reads its frames with the codec.

pub mod codec;
pub mod live_server;
mod pool;

pub use pool::run_parallel;

use crate::catalogue::{Case, Chop, Closer, Step, chop::Cutter};
use crate::wire::{self, CLOSE, CONTINUATION, Frame, Head, Received, Sender};
use fanfare_codec::Role;

/// What has come from an endpoint since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// Bytes, appended.
    Bytes,
    /// The end of the connection.
    End,
    /// Nothing, within the patience given.
    Nothing,
}

/// How long to wait for an endpoint that works in its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Something must come.
    Long,
    /// Nothing should.
    Short,
}

/// The endpoint under test, as its peer sees it.
pub trait Endpoint {
    /// One piece of bytes; an endpoint that is gone may ignore it.
    fn send(&mut self, piece: &[u8]);
    /// The peer half-closes.
    fn eof(&mut self);
    /// The peer resets the connection.
    fn reset(&mut self);
    /// Asks the endpoint to close by itself.
    fn begin_close(&mut self, code: u16);
    /// Appends what the endpoint has sent to `out`.
    fn receive(&mut self, out: &mut Vec<u8>, patience: Patience) -> Came;
    /// The `Sec-WebSocket-Key` that the 101 has to prove.
    fn key(&self) -> &str {
        KEY
    }
}

/// The key of RFC 6455 §1.3, which the catalogue's requests carry.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A step that did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Index of the step.
    pub step: usize,
    /// What the case wants.
    pub expected: String,
    /// What came.
    pub got: String,
}

/// Runs one case once.
///
/// # Errors
///
/// The first step that does not hold.
pub fn run(case: &Case, chop: Chop, endpoint: &mut dyn Endpoint) -> Result<(), Failure> {
    let mut run = Run {
        case,
        endpoint,
        received: Vec::new(),
        ended: false,
        headless: true,
    };
    let mut cutter = Cutter::new(chop);
    for (index, step) in case.steps.iter().enumerate() {
        run.step(step, &mut cutter).map_err(|got| Failure {
            step: index,
            expected: describe(step),
            got,
        })?;
    }
    Ok(())
}

struct Run<'r> {
    case: &'r Case,
    endpoint: &'r mut dyn Endpoint,
    received: Vec<u8>,
    ended: bool,
    /// No HTTP head has been taken off `received`.
    headless: bool,
}

impl Run<'_> {
    fn step(&mut self, step: &Step, cutter: &mut Cutter) -> Result<(), String> {
        match step {
            Step::Send(parts) => {
                for piece in cutter.cut(parts) {
                    self.endpoint.send(&piece);
                }
                Ok(())
            }
            Step::Eof => {
                self.endpoint.eof();
                Ok(())
            }
            Step::Reset => {
                self.endpoint.reset();
                Ok(())
            }
            Step::BeginClose(code) => {
                self.endpoint.begin_close(*code);
                Ok(())
            }
            Step::Expect { opcode, payload } => self.expect_message(*opcode, payload),
            Step::ExpectAccepted { protocol } => self.expect_accepted(protocol.as_deref()),
            Step::ExpectRefused { statuses, header } => self.expect_refused(statuses, *header),
            Step::ExpectSilence => self.expect_silence(),
            Step::ExpectClose { codes, tcp } => self.expect_close(codes, *tcp),
            Step::ExpectEnd => self.expect_end(),
        }
    }

    /// More bytes; `false` at the end or when patience runs out.
    fn more(&mut self, patience: Patience) -> bool {
        if self.ended {
            return false;
        }
        match self.endpoint.receive(&mut self.received, patience) {
            Came::Bytes => true,
            Came::End => {
                self.ended = true;
                false
            }
            Came::Nothing => false,
        }
    }

    const fn endpoint_sends_as(&self) -> Sender {
        match self.case.role {
            Role::Client => Sender::Client,
            Role::Server => Sender::Server,
        }
    }

    fn frame(&mut self) -> Result<Received, String> {
        loop {
            if let Some((frame, len)) = wire::read_frame(&self.received, self.endpoint_sends_as())?
            {
                self.received.drain(..len);
                return Ok(frame);
            }
            if !self.more(Patience::Long) {
                return Err(self.nothing());
            }
        }
    }

    fn nothing(&self) -> String {
        let end = if self.ended {
            "the end of the connection"
        } else {
            "nothing more"
        };
        match self.received.as_slice() {
            [] => end.to_owned(),
            bytes => format!("{} and then {end}", brief(bytes)),
        }
    }

    fn expect_message(&mut self, opcode: u8, payload: &[u8]) -> Result<(), String> {
        let mut got = self.frame()?;
        let mut fin = got.fin;
        while !fin {
            let more = self.frame()?;
            if more.opcode != CONTINUATION {
                return Err(format!(
                    "a fragment of {}, then {}",
                    show(&got),
                    show(&more)
                ));
            }
            fin = more.fin;
            got.payload.extend_from_slice(&more.payload);
        }
        if got.opcode == opcode && got.payload == payload {
            Ok(())
        } else {
            Err(show(&got))
        }
    }

    fn head(&mut self) -> Result<Head, String> {
        loop {
            if let Some(head) = wire::read_head(&self.received) {
                self.received.drain(..head.len);
                self.headless = false;
                return Ok(head);
            }
            if !self.more(Patience::Long) {
                return Err(self.nothing());
            }
        }
    }

    fn expect_accepted(&mut self, protocol: Option<&str>) -> Result<(), String> {
        let head = self.head()?;
        let accept = wire::accept_for(self.endpoint.key());
        let proves = head.all("sec-websocket-accept").eq([accept.as_str()]);
        let right = head.status() == Some(101)
            && head.lists("upgrade", "websocket")
            && head.lists("connection", "upgrade")
            && proves
            && head.all("sec-websocket-protocol").eq(protocol)
            && head.all("sec-websocket-extensions").next().is_none();
        if right {
            Ok(())
        } else {
            Err(format!("{head:?}"))
        }
    }

    fn expect_refused(
        &mut self,
        statuses: &[u16],
        header: Option<(&str, &str)>,
    ) -> Result<(), String> {
        let head = self.head()?;
        let told = header.is_none_or(|(name, token)| head.lists(name, token));
        let ends = head.lists("connection", "close");
        if !head
            .status()
            .is_some_and(|status| statuses.contains(&status))
            || !told
            || !ends
        {
            return Err(format!("{head:?}"));
        }
        while self.more(Patience::Long) {}
        if self.ended {
            Ok(())
        } else {
            Err("the response, but the connection stays".to_owned())
        }
    }

    fn expect_silence(&mut self) -> Result<(), String> {
        self.more(Patience::Short);
        if self.received.is_empty() && !self.ended {
            Ok(())
        } else {
            Err(self.nothing())
        }
    }

    fn expect_close(&mut self, codes: &[Option<u16>], tcp: Closer) -> Result<(), String> {
        let frame = self.frame()?;
        let code = match frame.payload.as_slice() {
            [] => None,
            &[high, low, ref reason @ ..] if std::str::from_utf8(reason).is_ok() => {
                Some(u16::from_be_bytes([high, low]))
            }
            _ => return Err(show(&frame)),
        };
        if frame.opcode != CLOSE || !codes.contains(&code) {
            return Err(show(&frame));
        }
        match tcp {
            Closer::Endpoint => {
                // Completes the closing handshake; one that failed the connection ignores it.
                let answer = Frame::new(CLOSE, frame.payload).encode(self.case.sender());
                self.endpoint.send(&answer);
            }
            Closer::Peer => {
                self.expect_silence()?;
                self.endpoint.eof();
            }
        }
        self.expect_bare_end()
    }

    fn expect_bare_end(&mut self) -> Result<(), String> {
        while self.more(Patience::Long) {}
        if self.ended && self.received.is_empty() {
            Ok(())
        } else {
            Err(self.nothing())
        }
    }

    fn expect_end(&mut self) -> Result<(), String> {
        while self.more(Patience::Long) {}
        if self.ended && self.headless && !self.received.is_empty() {
            let head = self.head()?;
            return match head.status() {
                Some(400..=599) => Ok(()),
                _ => Err(format!("{head:?}")),
            };
        }
        if self.ended && self.received.is_empty() {
            Ok(())
        } else {
            Err(self.nothing())
        }
    }
}

fn describe(step: &Step) -> String {
    match step {
        Step::Expect { opcode, payload } => show(&Received {
            opcode: *opcode,
            fin: true,
            payload: payload.clone(),
        }),
        Step::Send(parts) => format!("to take {}", brief(&parts.concat())),
        other => format!("{other:?}"),
    }
}

fn show(frame: &Received) -> String {
    let code = match (frame.opcode, frame.payload.as_slice()) {
        (CLOSE, &[high, low, ..]) => format!(" ({})", u16::from_be_bytes([high, low])),
        _ => String::new(),
    };
    format!(
        "frame of opcode {:#x}{code}, {}",
        frame.opcode,
        brief(&frame.payload)
    )
}

/// The start of `bytes`, readable in a report.
#[must_use]
pub fn brief(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(48)];
    format!("{} bytes \"{}\"", bytes.len(), shown.escape_ascii())
}
