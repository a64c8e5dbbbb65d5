//! The server's side of the HTTP upgrade. In: a transport that has just been accepted. Out: a connection, or an answer that
//! says why not.
//!
//! Never: routes; reads past a limit, or longer than it may take.

use std::time::Duration;

use fanfare_codec::Role;
use fanfare_codec::handshake::{Request, RequestDecoder, Response, Status, Upgrade};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{Config, Error, WebSocketStream};

/// Accepts whatever asks for a WebSocket, on any path.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use fanfare_tokio::{Config, accept};
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:9001").await?;
/// let (socket, _) = listener.accept().await?;
/// socket.set_nodelay(true)?;
/// let mut ws = accept(socket, &Config::default()).await?;
/// ws.send_text("welcome").await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error::Head`], [`Error::Request`] or [`Error::Extensions`], which the client was told with a status;
/// [`Error::HandshakeTimeout`], [`Error::Disconnected`], [`Error::Io`].
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    io: S,
    config: &Config,
) -> Result<WebSocketStream<S>, Error> {
    accept_with(io, config, |_, _, response| Ok(response)).await
}

/// Accepts what `decide` does not refuse.
///
/// It is given the request, the upgrade that it asks for and the 101 that accepts it, which it may add a subprotocol or
/// headers to; or it gives another response, which refuses. permessage-deflate is agreed on behind it, as
/// `config` says.
///
/// ```no_run
/// use fanfare_tokio::handshake::{InvalidHeader, Response, Status};
/// use fanfare_tokio::{Config, accept_with};
///
/// # async fn run(socket: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let ws = accept_with(socket, &Config::DEFAULT, |request, upgrade, response| {
///     if request.path() != "/chat" {
///         return Err(Response::refusal(Status::NOT_FOUND, &"nothing here"));
///     }
///     match upgrade.select_protocol(&["chat.v2", "chat.v1"]) {
///         Some(protocol) => Ok(response.subprotocol(protocol).expect("a token")),
///         None => Ok(response),
///     }
/// });
/// let ws = ws.await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`accept`], and [`Error::Refused`]. The refused client has [`close_timeout`](Config::close_timeout) to take the
/// answer and go.
pub async fn accept_with<S, F>(
    io: S,
    config: &Config,
    decide: F,
) -> Result<WebSocketStream<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnOnce(&Request<'_>, &Upgrade<'_>, Response) -> Result<Response, Response>,
{
    let refused = match within(config.handshake_timeout, upgrade(io, config, decide)).await? {
        Ok(stream) => return Ok(stream),
        Err(refused) => refused,
    };
    let Refused {
        io,
        response,
        error,
    } = *refused;
    // Why it was refused is what the caller is told, whatever becomes of the answer.
    let _ = within(config.close_timeout, answer(io, &response)).await;
    Err(error)
}

/// Bounds a handshake.
pub(crate) async fn within<T>(
    timeout: Option<Duration>,
    handshake: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match timeout {
        None => handshake.await,
        Some(timeout) => tokio::time::timeout(timeout, handshake)
            .await
            .unwrap_or(Err(Error::HandshakeTimeout)),
    }
}

/// Bytes that a head's buffer has room for at first.
pub(crate) const HEAD_BYTES: usize = 1024;

/// A request that is to be answered with anything but a 101.
struct Refused<S> {
    io: S,
    response: Response,
    error: Error,
}

/// The most that is still taken from a client that is refused.
const LINGER_BYTES_MAX: u64 = 256 << 10;

/// Sends the answer and waits until the client has gone, or has sent too much: a socket that is dropped with bytes unread
/// takes back what it has sent.
async fn answer<S>(mut io: S, response: &Response) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = Vec::new();
    response.encode(&mut out);
    io.write_all(&out).await?;
    io.shutdown().await?;
    out.resize(HEAD_BYTES, 0);
    let mut io = io.take(LINGER_BYTES_MAX);
    while io.read(&mut out).await? > 0 {}
    Ok(())
}

async fn upgrade<S, F>(
    mut io: S,
    config: &Config,
    decide: F,
) -> Result<Result<WebSocketStream<S>, Box<Refused<S>>>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnOnce(&Request<'_>, &Upgrade<'_>, Response) -> Result<Response, Response>,
{
    let mut decoder = RequestDecoder::new(config.head_limits);
    let mut received = Vec::with_capacity(HEAD_BYTES);
    let verdict = loop {
        if io.read_buf(&mut received).await? == 0 {
            return Err(Error::Disconnected);
        }
        match decoder.decode(&received) {
            Ok(None) => {}
            Ok(Some(request)) => break judge(&request, config, decide),
            Err(error) => break Err((Response::from(&error), error.into())),
        }
    };
    let accepted = match verdict {
        Ok(accepted) => accepted,
        Err((response, error)) => {
            let refused = Refused {
                io,
                response,
                error,
            };
            return Ok(Err(Box::new(refused)));
        }
    };
    let mut out = Vec::new();
    accepted.response.encode(&mut out);
    io.write_all(&out).await?;
    io.flush().await?;
    let read = &received[accepted.head_len..];
    let role = Role::Server;
    #[cfg(feature = "deflate")]
    let stream = WebSocketStream::from_raw_deflate(io, role, config, read, accepted.deflate);
    #[cfg(not(feature = "deflate"))]
    let stream = WebSocketStream::from_raw(io, role, config, read);
    Ok(Ok(stream))
}

struct Accepted {
    response: Response,
    head_len: usize,
    #[cfg(feature = "deflate")]
    deflate: Option<crate::deflate::DeflateTerms>,
}

fn judge(
    request: &Request<'_>,
    #[cfg_attr(
        not(feature = "deflate"),
        expect(unused, reason = "nothing to agree on")
    )]
    config: &Config,
    decide: impl FnOnce(&Request<'_>, &Upgrade<'_>, Response) -> Result<Response, Response>,
) -> Result<Accepted, (Response, Error)> {
    let refuse = |response: Response, error| match request.method() {
        "HEAD" => (response.without_body(), error),
        _ => (response, error),
    };
    let upgrade = request
        .upgrade()
        .map_err(|error| refuse(Response::from(&error), error.into()))?;
    let decided = decide(request, &upgrade, Response::switching_protocols(&upgrade));
    let response = match decided {
        Ok(response) if response.status() == Status::SWITCHING_PROTOCOLS => response,
        Ok(response) | Err(response) => {
            let status = response.status();
            return Err((response, Error::Refused(status)));
        }
    };
    #[cfg(feature = "deflate")]
    let (response, deflate) = match config.deflate_policy {
        None => (response, None),
        Some(policy) => match policy.answer(upgrade.headers()) {
            Ok(None) => (response, None),
            Ok(Some(answer)) => (response.deflate(&answer), Some(answer.terms())),
            Err(error) => {
                let response = Response::refusal(Status::BAD_REQUEST, &error);
                return Err((response, Error::Extensions));
            }
        },
    };
    Ok(Accepted {
        response,
        head_len: request.head_len(),
        #[cfg(feature = "deflate")]
        deflate,
    })
}

impl From<fanfare_codec::handshake::HeadError> for Error {
    fn from(error: fanfare_codec::handshake::HeadError) -> Self {
        Self::Head(error)
    }
}

impl From<fanfare_codec::handshake::UpgradeError> for Error {
    fn from(error: fanfare_codec::handshake::UpgradeError) -> Self {
        Self::Request(error)
    }
}
