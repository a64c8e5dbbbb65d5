//! Upgrades of requests that hyper has parsed, against its own servers: what is accepted, what is refused and how, and
//! what is handed over.
#![cfg(feature = "hyper")]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use fanfare_tokio::{
    ClientRequest, Config, Error, Message, NotOffered, Upgrade, Upgraded, UpgradedIo,
    WebSocketStream, client,
};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Which server of hyper's.
#[derive(Clone, Copy, Debug)]
enum Server {
    Http1,
    Auto,
}

type Connection = Result<WebSocketStream<UpgradedIo>, Error>;

/// Serves one connection; what becomes of its upgrade is sent to whoever holds the other end.
fn serve<S>(server: Server, io: S, config: Config) -> oneshot::Receiver<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (send, receive) = oneshot::channel();
    let send = Arc::new(Mutex::new(Some(send)));
    let service = service_fn(move |mut request: Request<Incoming>| {
        let send = Arc::clone(&send);
        async move { Ok::<_, Infallible>(upgrade(&mut request, &config, &send)) }
    });
    let io = TokioIo::new(io);
    tokio::spawn(async move {
        match server {
            Server::Http1 => {
                let served = http1::Builder::new().serve_connection(io, service);
                served.with_upgrades().await.map_err(Into::into)
            }
            Server::Auto => {
                let builder = auto::Builder::new(TokioExecutor::new());
                builder.serve_connection_with_upgrades(io, service).await
            }
        }
    });
    receive
}

fn upgrade(
    request: &mut Request<Incoming>,
    config: &Config,
    send: &Mutex<Option<oneshot::Sender<Connection>>>,
) -> Response<Full<Bytes>> {
    let mut upgrade = match Upgrade::from_request(request) {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let chosen = upgrade.protocols().last().map(str::to_owned);
    let refused: Result<(), NotOffered> = upgrade.set_protocol("never offered");
    assert!(refused.is_err());
    if let Some(protocol) = chosen {
        // The last one set is the one.
        let first = upgrade.protocols().next().expect("some").to_owned();
        upgrade.set_protocol(&first).expect("it is offered");
        upgrade.set_protocol(&protocol).expect("it is offered");
    }
    let (response, upgraded) = upgrade.accept(config);
    let send = send.lock().expect("not poisoned").take().expect("once");
    tokio::spawn(async move { send.send(upgraded.await) });
    response
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let connected = TcpStream::connect(address).await.expect("it listens");
    (connected, listener.accept().await.expect("a client").0)
}

async fn converse<A, B>(client: &mut WebSocketStream<A>, server: &mut WebSocketStream<B>)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    client.send("there".into()).await.expect("open");
    let there = server.recv().await.expect("open").expect("good");
    assert_eq!(there, Message::text("there"));
    server.send(vec![7; 3].into()).await.expect("open");
    let back = client.recv().await.expect("open").expect("good");
    assert_eq!(back, Message::binary(vec![7; 3]));
}

#[tokio::test]
async fn each_server_hands_over_the_socket_itself() {
    for server in [Server::Http1, Server::Auto] {
        let (ours, theirs) = pair().await;
        let connection = serve(server, theirs, Config::DEFAULT);
        let request = ClientRequest::new("ws://localhost/chat").expect("a URL");
        let request = request.subprotocol("a").expect("a token");
        let request = request.subprotocol("b").expect("a token");
        let (mut ws, answer) = client(ours, request, &Config::DEFAULT)
            .await
            .expect("accepted");
        assert_eq!(answer.protocol.as_deref(), Some("b"), "{server:?}");
        let mut other = connection.await.expect("upgraded").expect("handed over");
        assert!(other.io().tcp().is_some(), "{server:?}");
        converse(&mut ws, &mut other).await;
    }
}

#[tokio::test]
async fn whatever_else_is_served_is_handed_over_by_hyper() {
    for server in [Server::Http1, Server::Auto] {
        let (ours, theirs) = duplex(100);
        let connection = serve(server, theirs, Config::DEFAULT);
        let request = ClientRequest::new("ws://localhost/").expect("a URL");
        let (mut ws, _) = client(ours, request, &Config::DEFAULT)
            .await
            .expect("accepted");
        let mut other = connection.await.expect("upgraded").expect("handed over");
        assert!(other.io().tcp().is_none(), "{server:?}");
        converse(&mut ws, &mut other).await;
    }
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn send_and_leave(io: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    io.write_all(bytes).await.expect("connected");
    io.shutdown().await.expect("connected");
}

#[tokio::test]
async fn frames_behind_the_request_are_not_lost() {
    for server in [Server::Http1, Server::Auto] {
        for is_socket in [true, false] {
            let mut answer = *b"HTTP/1.1 ???";
            let head = format!("{REQUEST}\r\n");
            // "Hello", masked with zeros, twice.
            let mut bytes = head.into_bytes();
            for _ in 0..2 {
                bytes.extend_from_slice(b"\x81\x85\0\0\0\0Hello");
            }
            let connection = if is_socket {
                let (mut ours, theirs) = pair().await;
                send_and_leave(&mut ours, &bytes).await;
                let connection = serve(server, theirs, Config::DEFAULT).await;
                ours.read_exact(&mut answer).await.expect("the answer");
                connection
            } else {
                let (mut ours, theirs) = duplex(1000);
                send_and_leave(&mut ours, &bytes).await;
                let connection = serve(server, theirs, Config::DEFAULT).await;
                ours.read_exact(&mut answer).await.expect("the answer");
                connection
            };
            assert_eq!(&answer, b"HTTP/1.1 101");
            let mut ws = connection.expect("upgraded").expect("handed over");
            for _ in 0..2 {
                let message = ws.recv().await.expect("open").expect("good");
                assert_eq!(message, Message::text("Hello"), "{server:?} {is_socket}");
            }
            let end = ws.recv().await;
            assert!(matches!(end, Some(Err(Error::Disconnected))), "{end:?}");
        }
    }
}

/// The answer's head and body to a request, up to the end of the connection.
async fn ask(request: &str) -> String {
    let (mut ours, theirs) = pair().await;
    let _connection = serve(Server::Http1, theirs, Config::DEFAULT);
    ours.write_all(request.as_bytes()).await.expect("connected");
    let mut answer = String::new();
    ours.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn what_is_no_upgrade_is_told_what_is_wrong() {
    let table = [
        (
            REQUEST.replace("GET", "POST"),
            "405 Method Not Allowed",
            "allow: GET",
        ),
        (
            REQUEST.replace(": websocket", ": h2c"),
            "426 Upgrade Required",
            "upgrade: websocket",
        ),
        (
            REQUEST.replace(": 13", ": 8"),
            "426 Upgrade Required",
            "sec-websocket-version: 13",
        ),
        (
            REQUEST.replace("dGhl", "!"),
            "400 Bad Request",
            "Sec-WebSocket-Key must be 16 bytes",
        ),
        (
            format!("{REQUEST}Sec-WebSocket-Version: 13\r\n"),
            "400 Bad Request",
            "more than one Sec-WebSocket-Version",
        ),
        (
            REQUEST.replace("HTTP/1.1", "HTTP/1.0"),
            "400 Bad Request",
            "HTTP/1.0 has no upgrade",
        ),
    ];
    for (request, status, hint) in table {
        let answer = ask(&format!("{request}\r\n")).await;
        let first = answer.lines().next().expect("a status line");
        assert!(first.ends_with(status), "{answer}");
        assert!(answer.contains(hint), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[test]
fn a_request_that_hyper_does_not_hand_over_is_the_servers_fault() {
    let mut request = Request::new(());
    for line in REQUEST.lines().skip(1).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").expect("a header");
        let name = hyper::header::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        let value = value.parse().expect("a value");
        request.headers_mut().insert(name, value);
    }
    let rejection = Upgrade::from_request(&mut request).expect_err("not of hyper");
    let response = rejection.into_response::<String>();
    assert_eq!(response.status(), 500);
    assert!(response.body().contains("does not hand connections over"));
    *request.version_mut() = hyper::Version::HTTP_2;
    let rejection = Upgrade::from_request(&mut request).expect_err("HTTP/2");
    let response = rejection.into_response::<String>();
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "CONNECT");
}

#[tokio::test]
async fn a_server_that_stops_before_it_has_answered_is_an_error() {
    let (mut ours, theirs) = pair().await;
    let (send, receive) = oneshot::channel::<Upgraded>();
    let send = Mutex::new(Some(send));
    let service = service_fn(move |mut request: Request<Incoming>| {
        let upgrade = Upgrade::from_request(&mut request).expect("an upgrade");
        let (_, upgraded) = upgrade.accept::<String>(&Config::DEFAULT);
        let send = send.lock().expect("not poisoned").take().expect("once");
        send.send(upgraded).expect("it waits");
        std::future::pending::<Result<Response<String>, Infallible>>()
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(theirs), service);
    let serving = tokio::spawn(served.with_upgrades());
    let head = format!("{REQUEST}\r\n");
    ours.write_all(head.as_bytes()).await.expect("connected");
    let upgraded = receive.await.expect("asked");
    serving.abort();
    let upgraded = upgraded.await;
    assert!(matches!(upgraded, Err(Error::Io(_))), "{upgraded:?}");
}

#[cfg(feature = "http2")]
mod http2 {
    use fanfare_tokio::{CloseCode, CloseFrame, Role};
    use hyper::Method;
    use hyper::client::conn::http2 as client;
    use hyper::ext::Protocol;
    use hyper::server::conn::http2 as server;

    use super::*;

    /// What a server answers over HTTP/2, and what becomes of the upgrade.
    async fn ask(
        request: impl FnOnce(&mut Request<String>),
    ) -> (Response<Incoming>, oneshot::Receiver<Connection>) {
        let (ours, theirs) = pair().await;
        let (send, receive) = oneshot::channel();
        let send = Arc::new(Mutex::new(Some(send)));
        let service = service_fn(move |mut request: Request<Incoming>| {
            let send = Arc::clone(&send);
            async move { Ok::<_, Infallible>(upgrade(&mut request, &Config::DEFAULT, &send)) }
        });
        let mut builder = server::Builder::new(TokioExecutor::new());
        builder.enable_connect_protocol();
        tokio::spawn(builder.serve_connection(TokioIo::new(theirs), service));
        let io = TokioIo::new(ours);
        let (mut client, connection) = client::handshake(TokioExecutor::new(), io)
            .await
            .expect("HTTP/2");
        tokio::spawn(connection);
        // The server's settings, which allow it.
        client.ready().await.expect("open");
        let mut asked = Request::new(String::new());
        *asked.method_mut() = Method::CONNECT;
        *asked.uri_mut() = "http://a/chat".parse().expect("a URI");
        let version = "13".parse().expect("a value");
        asked.headers_mut().insert("sec-websocket-version", version);
        asked
            .extensions_mut()
            .insert(Protocol::from_static("websocket"));
        request(&mut asked);
        loop {
            let answer = client.send_request(asked.clone()).await;
            match answer {
                Ok(answer) => return (answer, receive),
                // They have not come yet.
                Err(error) => assert!(error.is_user(), "{error:?}"),
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn an_extended_connect_becomes_a_connection() {
        let (answer, connection) = ask(|request| {
            let offered = "a, b".parse().expect("a value");
            let headers = request.headers_mut();
            headers.insert("sec-websocket-protocol", offered);
            // As some do, though it means nothing here.
            let key = "dGhlIHNhbXBsZSBub25jZQ==".parse().expect("a value");
            headers.insert("sec-websocket-key", key);
        })
        .await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["sec-websocket-protocol"], "b");
        let upgraded = hyper::upgrade::on(answer).await.expect("accepted");
        let io = TokioIo::new(upgraded);
        let mut ws = WebSocketStream::from_raw(io, Role::Client, &Config::DEFAULT, &[]);
        let mut other = connection.await.expect("upgraded").expect("handed over");
        converse(&mut ws, &mut other).await;
        let (closed, end) = tokio::join!(ws.close(CloseCode::NORMAL, "bye"), async {
            let close = other.recv().await;
            (close, other.recv().await.is_none())
        });
        closed.expect("a clean end");
        let bye = Message::Close(Some(CloseFrame::new(CloseCode::NORMAL, "bye")));
        assert_eq!(end.0.expect("told").expect("good"), bye);
        assert!(end.1);
    }

    #[tokio::test]
    async fn the_same_rules_hold() {
        let (answer, _) = ask(|request| {
            request.headers_mut().remove("sec-websocket-version");
        })
        .await;
        assert_eq!(answer.status(), 400);
        let (answer, _) = ask(|request| {
            let version = "8".parse().expect("a value");
            request
                .headers_mut()
                .insert("sec-websocket-version", version);
        })
        .await;
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.headers()["sec-websocket-version"], "13");
        let (answer, _) = ask(|request| {
            let other = Protocol::from_static("connect-udp");
            request.extensions_mut().insert(other);
        })
        .await;
        assert_eq!(answer.status(), 501);
        let (answer, _) = ask(|request| {
            *request.method_mut() = Method::GET;
            request.extensions_mut().clear();
        })
        .await;
        assert_eq!(answer.status(), 405);
    }
}

#[cfg(feature = "deflate")]
mod deflate {
    use fanfare_tokio::deflate::{DeflateOffer, DeflatePolicy};

    use super::*;

    #[tokio::test]
    async fn compression_is_agreed_on() {
        let policy = Config::DEFAULT.with_deflate_policy(Some(DeflatePolicy::default()));
        let offer = Config::DEFAULT.with_deflate_offer(Some(DeflateOffer::default()));
        let (ours, theirs) = pair().await;
        let connection = serve(Server::Http1, theirs, policy);
        let request = ClientRequest::new("ws://localhost/").expect("a URL");
        let (mut ws, answer) = client(ours, request, &offer).await.expect("accepted");
        let name = "sec-websocket-extensions";
        let agreed = answer.headers.iter().find(|(header, _)| header == name);
        let (_, agreed) = agreed.expect("the answer names it");
        assert!(agreed.starts_with(b"permessage-deflate"));
        let mut other = connection.await.expect("upgraded").expect("handed over");
        converse(&mut ws, &mut other).await;
        let long = "the same again and again, ".repeat(1000);
        ws.write_text(&long).expect("room");
        assert!(ws.waiting_bytes() < long.len() / 10, "it is compressed");
        ws.flush().await.expect("open");
        let back = other.recv().await.expect("open").expect("good");
        assert_eq!(back, Message::text(long));
    }

    #[tokio::test]
    async fn a_malformed_offer_is_a_bad_request() {
        let policy = Config::DEFAULT.with_deflate_policy(Some(DeflatePolicy::default()));
        let (mut ours, theirs) = pair().await;
        let connection = serve(Server::Http1, theirs, policy);
        let head = format!("{REQUEST}Sec-WebSocket-Extensions: a;=\r\n\r\n");
        ours.write_all(head.as_bytes()).await.expect("connected");
        let mut answer = String::new();
        ours.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        let connection = connection.await.expect("told");
        let is_told = matches!(connection, Err(Error::Extensions));
        assert!(is_told, "{connection:?}");
    }
}
