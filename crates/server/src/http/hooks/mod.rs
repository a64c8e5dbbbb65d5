//! The operator's backend. In: calls of workers. Out: its answers, at the address that came with each call.
//!
//! ```text
//! worker ── Hooks::call, Hooks::admit ── queue ── Asking ── client ── backend
//!    ↑                                                                   │
//!    └───────────── ReturnAddress ── Finding::Hooked, Admitted ──────────┘
//! ```
//!
//! Each kind of call has its own turns: a backend that does not answer calls of one kind holds up no others.
//!
//! Never: makes a worker wait; leaves a call that it has taken without an answer; asks twice.

mod entry;
mod headers;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use fanfare_hub::Busy;
use fanfare_protocol::hook::{BadAnswer, HookAnswer, HookCall, HookEvent, HookFailed, HookKind};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Uri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use super::body::Bodies;
use super::client::Client;
use super::error::Refusal;
use crate::config::HookSettings;
use crate::limits::{
    HOOK_ANSWER_BYTES_MAX, HOOK_ANSWERS_BYTES_MAX, HOOK_CALLS_BYTES_MAX, HOOK_SILENCE,
    HOOKS_WAITING_MAX,
};
use crate::returns::{Finding, ReturnAddress};

pub(crate) use entry::{Decision, Entry};
pub(crate) use headers::ClientHeaders;

const KINDS: usize = HookKind::ALL.len();

/// The way of calls to the backend. A clone is another way to the same.
#[derive(Clone, Debug)]
pub(crate) struct Hooks(Arc<Intake>);

#[derive(Debug)]
struct Intake {
    /// Bounded by `places` and `bytes`.
    calls: mpsc::UnboundedSender<Call>,
    places: [Arc<Semaphore>; KINDS],
    bytes: Arc<Semaphore>,
}

/// A call that was taken.
#[derive(Debug)]
struct Call {
    uri: Uri,
    timeout: Duration,
    call: HookCall,
    headers: ClientHeaders,
    asker: Asker,
    _place: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// What an answer becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Hooked,
    Admitted,
}

impl Form {
    const fn failed(self) -> Finding {
        match self {
            Self::Hooked => Finding::Hooked(Err(HookFailed)),
            Self::Admitted => Finding::Admitted(Err(HookFailed)),
        }
    }
}

/// Who waits for the answer. Dropped without one, it is told that there is none.
#[derive(Debug)]
struct Asker {
    form: Form,
    to: Option<ReturnAddress>,
}

impl Asker {
    fn send(mut self, finding: Finding) {
        if let Some(to) = self.to.take() {
            to.send(finding);
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            to.send(self.form.failed());
        }
    }
}

impl Hooks {
    /// Nobody is behind it: every call that it takes is told so.
    #[cfg(test)]
    pub(crate) fn closed() -> Self {
        new(1, Client::new()).0
    }

    /// Asks the backend. The answer is a [`Finding::Hooked`], never before this returns to the worker's loop.
    ///
    /// A connect takes the headers of the client's command into `headers`, as far as the config lists them: for
    /// all that is asked about the client later, too.
    ///
    /// # Errors
    ///
    /// [`Busy`]: as many wait as may; nothing will come.
    pub(crate) fn call(
        &self,
        settings: &HookSettings,
        call: HookCall,
        headers: &mut ClientHeaders,
        to: ReturnAddress,
    ) -> Result<(), Busy> {
        self.take(settings, call, headers, Form::Hooked, to)
    }

    /// Asks the backend in front of an upgrade: `call` is a connect. The answer is a [`Finding::Admitted`].
    ///
    /// # Errors
    ///
    /// [`Busy`], as for [`call`](Self::call).
    pub(crate) fn admit(
        &self,
        settings: &HookSettings,
        call: HookCall,
        headers: &mut ClientHeaders,
        to: ReturnAddress,
    ) -> Result<(), Busy> {
        self.take(settings, call, headers, Form::Admitted, to)
    }

    fn take(
        &self,
        settings: &HookSettings,
        call: HookCall,
        headers: &mut ClientHeaders,
        form: Form,
        to: ReturnAddress,
    ) -> Result<(), Busy> {
        let intake = &self.0;
        let bytes = u32::try_from(call.bytes().min(HOOK_CALLS_BYTES_MAX)).map_err(|_| Busy)?;
        let place = Arc::clone(&intake.places[call.event.kind() as usize]);
        let place = place.try_acquire_owned().map_err(|_| Busy)?;
        let bytes = Arc::clone(&intake.bytes).try_acquire_many_owned(bytes);
        let bytes = bytes.map_err(|_| Busy)?;
        if let HookEvent::Connect { headers: given, .. } = &call.event {
            headers.emulate(settings, given);
        }
        let asker = Asker { form, to: Some(to) };
        let Some(uri) = settings.url(&call.event).cloned() else {
            return Ok(()); // a reload has taken it away: failed
        };
        let call = Call {
            uri,
            timeout: settings.timeout,
            call,
            headers: headers.clone(),
            asker,
            _place: place,
            _bytes: bytes,
        };
        let _ = intake.calls.send(call); // with nobody there any more it fails
        Ok(())
    }
}

/// The calls on the HTTP thread.
pub(super) struct Asking {
    calls: mpsc::UnboundedReceiver<Call>,
    backend: Arc<Backend>,
}

/// Both ends. `in_flight_max`: calls of one kind that are asked at once.
pub(super) fn new(in_flight_max: usize, client: Client) -> (Hooks, Asking) {
    let (sender, calls) = mpsc::unbounded_channel();
    let turns = |count| std::array::from_fn(|_| Arc::new(Semaphore::new(count)));
    let hooks = Hooks(Arc::new(Intake {
        calls: sender,
        places: turns(HOOKS_WAITING_MAX),
        bytes: Arc::new(Semaphore::new(HOOK_CALLS_BYTES_MAX)),
    }));
    let backend = Arc::new(Backend {
        client,
        answers: Bodies::new(HOOK_ANSWERS_BYTES_MAX),
        in_flight: turns(in_flight_max),
        complaints: Default::default(),
    });
    (hooks, Asking { calls, backend })
}

impl Asking {
    /// Asks what workers want to know, for ever. What is under way when it is dropped fails.
    pub(super) async fn run(mut self) {
        while let Some(call) = self.calls.recv().await {
            let backend = Arc::clone(&self.backend);
            tokio::spawn(async move { backend.serve(call).await });
        }
        std::future::pending().await // no worker is left
    }
}

struct Backend {
    client: Client,
    answers: Bodies,
    in_flight: [Arc<Semaphore>; KINDS],
    complaints: [Complaint; KINDS],
}

/// What the log was told lately of one kind.
#[derive(Default)]
struct Complaint {
    is_muted: AtomicBool,
    untold: AtomicU64,
}

impl Backend {
    async fn serve(self: Arc<Self>, call: Call) {
        let kind = call.call.event.kind();
        let turn = timeout(call.timeout, self.in_flight[kind as usize].acquire()).await;
        let asked = match turn {
            Err(_) => Err(Failure::Crowded),
            // In a box: a call that waits for its turn needs no room for what comes then.
            Ok(_turn) => match timeout(call.timeout, Box::pin(self.ask(&call))).await {
                Ok(asked) => asked,
                Err(_) => Err(Failure::Late),
            },
        };
        match asked {
            Ok(finding) => call.asker.send(finding),
            Err(failure) => self.complain(kind, &call.uri, &failure), // and the asker is dropped
        }
    }

    async fn ask(&self, ask: &Call) -> Result<Finding, Failure> {
        let Call { uri, call, .. } = ask;
        let mut request = Request::new(Body::from(call.to_json()));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = uri.clone();
        ask.headers.append_to(request.headers_mut());
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);

        let answer = self.client.send(request).await;
        let (head, body) = answer.map_err(Failure::Unreachable)?.into_parts();
        let body = self.answers.receive(Body::new(body), HOOK_ANSWER_BYTES_MAX);
        let body = body.await.map_err(Failure::Body)?;
        let parse = || {
            let parsed = HookAnswer::parse(call.event.kind(), call.encoding, body.bytes());
            parsed.map_err(Failure::Answer)
        };
        match ask.asker.form {
            Form::Admitted => {
                let entry = Entry::from_answer(head.status, &head.headers, parse)?;
                Ok(Finding::Admitted(Ok(entry)))
            }
            Form::Hooked if head.status == hyper::StatusCode::OK => {
                Ok(Finding::Hooked(Ok(parse()?)))
            }
            Form::Hooked => Err(Failure::Status(head.status.as_u16())),
        }
    }

    /// Tells the log, but not of each one where many fail.
    fn complain(self: &Arc<Self>, kind: HookKind, uri: &Uri, failure: &Failure) {
        let complaint = &self.complaints[kind as usize];
        if complaint.is_muted.swap(true, Ordering::Relaxed) {
            complaint.untold.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // The rest of the URL may hold a secret.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        tracing::warn!("the {kind} hook at {authority} has failed: {failure}");
        let backend = Arc::clone(self);
        tokio::spawn(async move {
            sleep(HOOK_SILENCE).await;
            let complaint = &backend.complaints[kind as usize];
            complaint.is_muted.store(false, Ordering::Relaxed);
            let untold = complaint.untold.swap(0, Ordering::Relaxed);
            if untold > 0 {
                tracing::warn!("the {kind} hook has failed {untold} more times");
            }
        });
    }
}

/// Why there is no answer that a client could be given.
#[derive(Debug)]
enum Failure {
    /// Ours: its turn did not come.
    Crowded,
    /// The backend's: no answer in time.
    Late,
    /// The network's, or the backend's.
    Unreachable(String),
    /// The backend's: not the status of an answer.
    Status(u16),
    /// The backend's: too large, or cut; or ours: too many at once.
    Body(Refusal),
    /// The backend's: it makes no sense.
    Answer(BadAnswer),
    /// The backend's: a header that the client can't be given.
    Header(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crowded => f.write_str("too many wait for their turn (hooks.max_in_flight)"),
            Self::Late => f.write_str("no answer in time (hooks.timeout)"),
            Self::Unreachable(why) => f.write_str(why),
            Self::Status(status) => write!(f, "it was answered with status {status}"),
            Self::Body(Refusal::TooLarge { bytes_max }) => {
                write!(f, "its answer has more than {bytes_max} bytes")
            }
            Self::Body(Refusal::Full) => f.write_str("too much is being answered at once"),
            Self::Body(_) => f.write_str("its answer was cut off"),
            Self::Answer(why) => write!(f, "its answer makes no sense: {why}"),
            Self::Header(name) => write!(f, "{name} in its answer is no text, or too long"),
        }
    }
}
