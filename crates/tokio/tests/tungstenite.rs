//! tokio-tungstenite at the other end of a socket, in both roles: what of its HTTP upgrade and its halves is its own.
//! What all peers have in common is in `peers`.

use std::net::SocketAddr;

use fanfare_tokio::handshake::{Response, Status};
use fanfare_tokio::{
    ClientRequest, CloseCode, Config, Error, Message, MessageKind, MessageRef, WebSocketStream,
    accept, accept_with, client,
};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite;
use tungstenite::Message as Theirs;

/// Texts and binaries of every length form, and of more than one read.
fn messages() -> Vec<Message> {
    let mut messages = Vec::new();
    for len in [0, 1, 125, 126, 4_000, 65_535, 65_536, 300_000] {
        let text: String = ('a'..='z')
            .chain("éß漢字😀".chars())
            .cycle()
            .take(len)
            .collect();
        messages.push(Message::text(text));
        let bytes: Vec<u8> = (0..=255).cycle().take(len).collect();
        messages.push(Message::binary(bytes));
    }
    messages
}

fn theirs(message: &Message) -> Theirs {
    match message {
        Message::Text(text) => Theirs::text(text.as_str()),
        Message::Binary(bytes) => Theirs::binary(bytes.clone()),
        other => panic!("{other:?}"),
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

async fn connect(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let request = ClientRequest::new(&format!("ws://{address}/chat")).expect("a URL");
    let socket = TcpStream::connect(address).await.expect("a listener");
    client(socket, request, &Config::default())
        .await
        .expect("accepted")
        .0
}

/// Sends everything back, until the peer closes.
async fn echo(mut ws: WebSocketStream<TcpStream>) -> Result<(), Error> {
    while let Some(received) = ws.next_with_replies().await {
        let (message, mut replies) = received?;
        match message {
            MessageRef::Text(text) => replies.text(text)?,
            MessageRef::Binary(bytes) => replies.binary(bytes)?,
            _ => {}
        }
    }
    Ok(())
}

/// A server of theirs that sends everything back.
async fn echo_of_theirs(listener: TcpListener) {
    let (socket, _) = listener.accept().await.expect("a client");
    let mut ws = tokio_tungstenite::accept_async(socket)
        .await
        .expect("an upgrade");
    while let Some(message) = ws.next().await {
        let message = message.expect("by the rules");
        if message.is_text() || message.is_binary() {
            ws.send(message).await.expect("open");
        }
    }
}

#[tokio::test]
async fn what_comes_can_be_forwarded_to_where_it_came_from() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("bound"));
    let serving = async {
        let (socket, _) = listener.accept().await.expect("a client");
        let ws = accept(socket, &Config::DEFAULT).await.expect("an upgrade");
        let (write, read) = ws.split();
        read.forward(write).await
    };
    let asking = async {
        let (mut ws, _) = tokio_tungstenite::connect_async(url)
            .await
            .expect("accepted");
        ws.send(Theirs::text("hello")).await.expect("open");
        let back = ws.next().await.expect("open").expect("good");
        assert_eq!(back, Theirs::text("hello"));
        ws.close(None).await.expect("open");
        while let Some(message) = ws.next().await {
            message.expect("our answer");
        }
    };
    let (forwarded, ()) = tokio::join!(serving, asking);
    forwarded.expect("a clean end");
}

#[tokio::test]
async fn their_client_gets_every_message_back_and_a_clean_close() {
    let (listener, address) = listen().await;
    let serving = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("a client");
        echo(accept(socket, &Config::default()).await?).await
    });
    let url = format!("ws://{address}/any/path");
    let (mut ws, _) = tokio_tungstenite::connect_async(url)
        .await
        .expect("accepted");
    for message in messages() {
        ws.send(theirs(&message)).await.expect("open");
        let back = ws.next().await.expect("open").expect("by the rules");
        assert!(
            back == theirs(&message),
            "{} bytes",
            message.payload().len()
        );
    }
    // All at once: answers leave while messages come.
    let (mut write, mut read) = ws.split();
    let sending = tokio::spawn(async move {
        for message in messages() {
            write.feed(theirs(&message)).await.expect("open");
        }
        write
            .send(Theirs::Ping("alive?".into()))
            .await
            .expect("open");
        write
    });
    for message in messages() {
        let back = read.next().await.expect("open").expect("by the rules");
        assert!(
            back == theirs(&message),
            "{} bytes",
            message.payload().len()
        );
    }
    assert_eq!(
        read.next().await.expect("open").expect("good"),
        Theirs::Pong("alive?".into())
    );
    let mut ws = sending
        .await
        .expect("a task")
        .reunite(read)
        .expect("one stream");
    ws.close(None).await.expect("open");
    assert_eq!(
        ws.next().await.expect("open").expect("good"),
        Theirs::Close(None)
    );
    assert!(ws.next().await.is_none(), "we end first, and cleanly");
    serving.await.expect("a task").expect("a clean end");
}

#[tokio::test]
async fn our_client_gets_every_message_back_and_a_clean_close() {
    let (listener, address) = listen().await;
    let serving = tokio::spawn(echo_of_theirs(listener));
    let mut ws = connect(address).await;
    for message in messages() {
        ws.send(message.clone()).await.expect("open");
        let back = ws.recv().await.expect("open").expect("by the rules");
        assert!(back == message, "{} bytes", message.payload().len());
    }
    ws.begin(MessageKind::Text, "hal\u{e9}".as_bytes().split_at(4).0)
        .expect("open");
    ws.write_ping(b"between").expect("open");
    ws.proceed(&[0xA9]).expect("open");
    ws.end(b"!").expect("open");
    ws.flush().await.expect("open");
    let pong = ws.recv().await.expect("open").expect("good");
    assert_eq!(pong, Message::Pong(b"between"[..].into()));
    let whole = ws.next_message().await.expect("open").expect("good");
    assert_eq!(whole, MessageRef::Text("halé!"));
    ws.close(CloseCode::NORMAL, "done")
        .await
        .expect("a clean end");
    assert!(ws.recv().await.is_none());
    serving.await.expect("a task");
}

#[tokio::test]
async fn halves_in_two_tasks_and_ends_that_theirs_begins() {
    let (listener, address) = listen().await;
    let serving = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("a client");
        let mut ws = tokio_tungstenite::accept_async(socket)
            .await
            .expect("an upgrade");
        for _ in messages() {
            let message = ws.next().await.expect("open").expect("by the rules");
            ws.send(message).await.expect("open");
        }
        ws.close(None).await.expect("open");
        while let Some(message) = ws.next().await {
            message.expect("our answer");
        }
    });
    let (mut write, mut read) = connect(address).await.split();
    let writing = tokio::spawn(async move {
        for message in messages() {
            write.send(message).await.expect("open");
        }
        write
    });
    for message in messages() {
        let back = read.next().await.expect("open").expect("by the rules");
        assert!(back == message, "{} bytes", message.payload().len());
    }
    assert_eq!(
        read.next().await.expect("open").expect("good"),
        Message::Close(None)
    );
    assert!(read.next().await.is_none());
    serving.await.expect("a task");
    drop(writing.await.expect("a task"));
}

#[tokio::test]
async fn a_subprotocol_is_agreed_on_and_a_path_refused() {
    let (listener, address) = listen().await;
    let serving = tokio::spawn(async move {
        let mut ends = Vec::new();
        for _ in 0..2 {
            let (socket, _) = listener.accept().await.expect("a client");
            let ws = accept_with(socket, &Config::DEFAULT, |request, upgrade, response| {
                if request.path() != "/chat" {
                    return Err(Response::refusal(Status::NOT_FOUND, &"nothing here"));
                }
                let protocol = upgrade.select_protocol(&["b"]).expect("offered");
                Ok(response.subprotocol(protocol).expect("a token"))
            });
            ends.push(ws.await.map(|_| ()).map_err(|error| error.to_string()));
        }
        ends
    });
    let offer = |path: &str| {
        let request = ClientRequest::new(&format!("ws://{address}{path}"))?;
        request.subprotocol("a")?.subprotocol("b")
    };
    let socket = TcpStream::connect(address).await.expect("a listener");
    let request = offer("/chat").expect("a URL");
    let (_, answer) = client(socket, request, &Config::default())
        .await
        .expect("accepted");
    assert_eq!(answer.protocol.as_deref(), Some("b"));
    let socket = TcpStream::connect(address).await.expect("a listener");
    let refused = client(socket, offer("/else").expect("a URL"), &Config::default()).await;
    let status = match refused {
        Err(Error::Upgrade(refusal)) => refusal.status,
        other => panic!("{other:?}"),
    };
    assert_eq!(status, Status::NOT_FOUND);
    let ends = serving.await.expect("a task");
    assert_eq!(
        ends,
        [Ok(()), Err("HTTP upgrade: refused with 404".to_owned())]
    );
}

#[tokio::test]
async fn plain_http_is_told_426_and_a_slow_request_is_given_up() {
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (listener, address) = listen().await;
    let serving = tokio::spawn(async move {
        let config = Config::default().with_handshake_timeout(Some(Duration::from_millis(200)));
        let mut errors = Vec::new();
        for _ in 0..3 {
            let (socket, _) = listener.accept().await.expect("a client");
            errors.push(accept(socket, &config).await.expect_err("no upgrade"));
        }
        errors
    });
    let mut statuses = Vec::new();
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01",
        "GET / HTTP",
    ] {
        let mut socket = TcpStream::connect(address).await.expect("a listener");
        socket.write_all(request.as_bytes()).await.expect("open");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("an end");
        statuses.push(answer.split(' ').nth(1).unwrap_or("none").to_owned());
    }
    assert_eq!(statuses, ["426", "400", "none"]);
    let errors = serving.await.expect("a task");
    assert!(matches!(
        errors[..],
        [Error::Request(_), Error::Head(_), Error::HandshakeTimeout]
    ));
}
