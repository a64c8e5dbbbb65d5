//! The extractor in a real axum server, asked by our client.
#![cfg(feature = "axum")]

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use fanfare_tokio::axum::{WebSocket, WebSocketUpgrade};
use fanfare_tokio::{
    Answer, ClientRequest, CloseCode, Config, Error, Message, WebSocketStream, client,
};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn start(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address.to_string()
}

async fn ask(address: &str, protocols: &[&str]) -> (WebSocketStream<TcpStream>, Answer) {
    let mut request = ClientRequest::new(&format!("ws://{address}/ws")).expect("a URL");
    for protocol in protocols {
        request = request.subprotocol(protocol).expect("a token");
    }
    let socket = TcpStream::connect(address).await.expect("it listens");
    let asked = client(socket, request, &Config::DEFAULT).await;
    asked.expect("accepted")
}

async fn echo(mut socket: WebSocket) {
    assert!(socket.io().tcp().is_some());
    while let Some(Ok(message)) = socket.recv().await {
        if message.is_data() && socket.send(message).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_handler_answers_with_a_connection() {
    let app = Router::new().route("/ws", any(async |ws: WebSocketUpgrade| ws.on_upgrade(echo)));
    let address = start(app).await;
    let (mut ws, answer) = ask(&address, &["chat"]).await;
    assert_eq!(answer.protocol, None);
    for message in [Message::text("hello"), Message::binary(vec![7; 70_000])] {
        ws.send(message.clone()).await.expect("open");
        let back = ws.recv().await.expect("open").expect("good");
        assert!(back == message);
    }
    ws.close(CloseCode::NORMAL, "").await.expect("a clean end");
}

#[tokio::test]
async fn the_servers_first_choice_among_what_is_offered_is_the_protocol() {
    async fn handler(ws: WebSocketUpgrade) -> Response {
        let offered: Vec<String> = ws.requested_protocols().map(str::to_owned).collect();
        let ws = ws.protocols(["v3", "v2", "v1"]);
        let chosen = ws.selected_protocol().map(str::to_owned);
        ws.on_upgrade(async move |mut socket| {
            let line = format!("{offered:?} {chosen:?}");
            socket.send(line.into()).await.expect("open");
        })
    }
    let address = start(Router::new().route("/ws", any(handler))).await;
    for (offered, chosen) in [
        (&["v1", "x", "v2"][..], Some("v2")),
        (&["x"], None),
        (&[], None),
    ] {
        let (mut ws, answer) = ask(&address, offered).await;
        assert_eq!(answer.protocol.as_deref(), chosen);
        let line = ws.recv().await.expect("open").expect("good");
        assert_eq!(line, Message::text(format!("{offered:?} {chosen:?}")));
    }
}

#[tokio::test]
async fn a_handler_may_choose_by_its_own_rules_among_what_is_offered() {
    async fn handler(mut ws: WebSocketUpgrade) -> Response {
        assert!(ws.set_selected_protocol("never offered").is_err());
        assert_eq!(ws.selected_protocol(), None);
        ws.set_selected_protocol("b").expect("it is offered");
        ws.on_upgrade(echo)
    }
    let address = start(Router::new().route("/ws", any(handler))).await;
    let (_, answer) = ask(&address, &["a", "b"]).await;
    assert_eq!(answer.protocol.as_deref(), Some("b"));
}

#[tokio::test]
async fn caps_are_the_connections() {
    async fn handler(ws: WebSocketUpgrade) -> Response {
        // In whichever order.
        ws.max_message_size(1000)
            .config(Config::DEFAULT)
            .on_upgrade(echo)
    }
    let address = start(Router::new().route("/ws", any(handler))).await;
    let (mut ws, _) = ask(&address, &[]).await;
    ws.send(vec![0; 1001].into()).await.expect("open");
    let end = ws.recv().await.expect("told").expect("good");
    let Message::Close(Some(close)) = end else {
        panic!("{end:?}");
    };
    assert_eq!(close.code, CloseCode::MESSAGE_TOO_BIG);
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_can_be_served_by_the_same_handler() {
    async fn handler(ws: Result<WebSocketUpgrade, fanfare_tokio::Rejection>) -> Response {
        match ws {
            Ok(ws) => ws.on_upgrade(echo),
            Err(rejection) => (axum::http::StatusCode::OK, rejection.to_string()).into_response(),
        }
    }
    let address = start(Router::new().route("/ws", any(handler))).await;
    let mut socket = TcpStream::connect(&address).await.expect("it listens");
    let head = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    socket.write_all(head.as_bytes()).await.expect("connected");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("send an upgrade"), "{answer}");
}

#[tokio::test]
async fn who_waits_for_a_connection_that_never_comes_is_told() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let handler = async move |ws: WebSocketUpgrade| {
        let tell = tell.clone();
        let ws = ws.on_failed_upgrade(move |error: Error| {
            let _ = tell.send(error.to_string());
        });
        ws.on_upgrade(async |_| unreachable!("it is not handed over"))
    };
    let app = TowerToHyperService::new(Router::new().route("/ws", any(handler)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("a client");
        // Without upgrades.
        let served = http1::Builder::new().serve_connection(TokioIo::new(socket), app);
        served.await
    });
    let _asked = ask(&address, &[]).await;
    let error = told.recv().await.expect("told");
    assert!(error.starts_with("transport: "), "{error}");
}
