//! What every peer can do. In: a socket. Out: what it sends and hears, in our words.
//!
//! Never: hides what the library gives.

use fanfare_tokio::{ClientRequest, Config, Message, Role, WebSocketStream, accept, client};
use tokio::net::{TcpListener, TcpStream};

/// Somebody's library.
pub(crate) trait Peer: Sized {
    /// Its side of the HTTP upgrade, and what is agreed on of extensions.
    async fn open(socket: TcpStream, role: Role, extensions: Option<&str>) -> Self;

    /// Sends a message in one frame; false if the connection is over.
    async fn send(&mut self, message: &Message) -> bool;

    /// Sends a message in so many frames.
    async fn send_fragments(&mut self, is_text: bool, pieces: &[&[u8]]);

    /// Sends a text that is not UTF-8.
    async fn send_bad_text(&mut self, bytes: &[u8]);

    /// What comes next, but pings, which it answers; `None` at any end.
    async fn next(&mut self) -> Option<Message>;
}

/// A connection with us in this role.
pub(crate) async fn ends<P: Peer>(
    role: Role,
    config: &Config,
    extensions: Option<&str>,
) -> (WebSocketStream<TcpStream>, P) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (asking, serving) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (asking, (serving, _)) = (asking.expect("a listener"), serving.expect("a client"));
    for socket in [&asking, &serving] {
        socket.set_nodelay(true).expect("a socket");
    }
    match role {
        Role::Server => {
            let theirs = P::open(asking, Role::Client, extensions);
            let (ours, theirs) = tokio::join!(accept(serving, config), theirs);
            (ours.expect("an upgrade"), theirs)
        }
        Role::Client => {
            let request = ClientRequest::new(&format!("ws://{address}/chat")).expect("a URL");
            let theirs = P::open(serving, Role::Server, extensions);
            let (ours, theirs) = tokio::join!(client(asking, request, config), theirs);
            (ours.expect("accepted").0, theirs)
        }
    }
}
