//! Stands between clients and a server. In: an address, and the URL of the server. Out: what each side sends, to the other.
//!
//! ```console
//! $ cargo run --release -p fanfare-tokio --example proxy -- 127.0.0.1:9002 ws://127.0.0.1:9001/
//! ```
//!
//! Messages go through in pieces, as they come: however long one is, no more of it is held than one read brings and
//! the other side has not taken. Pings are answered on each side by itself. The request's path and headers stay here, and
//! no subprotocol is agreed on.
//!
//! Never: puts a message together.

use std::process::ExitCode;
use std::time::Duration;

use fanfare_tokio::{
    ClientRequest, CloseCode, Config, Error, Event, Limits, Message, MessageKind, MessageRef,
    ReadHalf, WebSocketStream, WriteHalf, accept, client,
};
use tokio::net::{TcpListener, TcpStream};

fn config() -> Config {
    // What a message may have in all is the server's business; a frame is never held as a whole.
    let limits = Limits::DEFAULT
        .with_max_frame_bytes(u64::MAX)
        .with_max_message_bytes(u64::MAX);
    Config::DEFAULT.with_limits(limits)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, url] = args.as_slice() else {
        eprintln!("usage: proxy ADDR URL");
        return ExitCode::from(2);
    };
    match serve(address, url).await {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: &str, url: &str) -> Result<std::convert::Infallible, Error> {
    let request = ClientRequest::new(url)?;
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on ws://{}", listener.local_addr()?);
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                eprintln!("proxy: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let request = request.clone();
        tokio::spawn(async move {
            if let Err(error) = stand_between(socket, request).await {
                eprintln!("proxy: {error}");
            }
        });
    }
}

async fn stand_between(socket: TcpStream, request: ClientRequest) -> Result<(), Error> {
    socket.set_nodelay(true)?;
    let mut near = accept(socket, &config()).await?;
    let far = match connect(request).await {
        Ok(far) => far,
        Err(error) => {
            near.close(CloseCode::BAD_GATEWAY, "the server is not there")
                .await?;
            return Err(error);
        }
    };
    let (near_write, near_read) = near.split();
    let (far_write, far_read) = far.split();
    let (there, back) = tokio::join!(relay(near_read, far_write), relay(far_read, near_write));
    there.and(back)
}

async fn connect(request: ClientRequest) -> Result<WebSocketStream<TcpStream>, Error> {
    let socket = TcpStream::connect((request.host(), request.port())).await?;
    socket.set_nodelay(true)?;
    let (far, _) = client(socket, request, &config()).await?;
    Ok(far)
}

/// Hands on what one side sends, up to its close. Once the other side takes nothing more, what is still to come is dropped,
/// up to the close that answers the other's.
async fn relay(mut from: ReadHalf<TcpStream>, mut to: WriteHalf<TcpStream>) -> Result<(), Error> {
    let mut begun = None;
    let mut is_taken = true;
    loop {
        let event = tokio::select! {
            biased;
            event = from.next_event() => event,
            // Nothing more has come for now: what was handed on leaves.
            flushed = to.flush(), if is_taken && to.waiting_bytes() > 0 => {
                is_taken = flushed.is_ok();
                continue;
            }
        };
        match event {
            Some(Ok(event)) if is_taken => {
                is_taken = hand_on(event, &mut to, &mut begun).await.is_ok();
            }
            Some(Ok(_)) => {}
            // The close was handed on.
            None => return to.flush().await,
            Some(Err(error)) => {
                // The other side has closed already, if it is not open.
                let _ = to
                    .close(CloseCode::BAD_GATEWAY, "the other side is gone")
                    .await;
                return Err(error);
            }
        }
    }
}

/// `begun`: the kind of a message of which no piece was handed on yet.
async fn hand_on(
    event: Event<'_>,
    to: &mut WriteHalf<TcpStream>,
    begun: &mut Option<MessageKind>,
) -> Result<(), Error> {
    match event {
        Event::Begin(kind) => *begun = Some(kind),
        Event::Piece { data, is_last } => {
            to.ready().await?;
            match begun.take() {
                Some(kind) if is_last => {
                    to.begin(kind, data)?;
                    to.end(&[])?;
                }
                Some(kind) => to.begin(kind, data)?,
                None if is_last => to.end(data)?,
                None => to.proceed(data)?,
            }
        }
        Event::Whole(MessageRef::Ping(_) | MessageRef::Pong(_)) => {}
        Event::Whole(message) => to.feed(Message::from(message)).await?,
    }
    Ok(())
}
