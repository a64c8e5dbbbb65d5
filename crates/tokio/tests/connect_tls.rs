//! `connect` with TLS, against servers whose certificates hold and those whose do not.
#![cfg(feature = "rustls")]

#[path = "common/tls.rs"]
mod servers;

use std::sync::Arc;
use std::time::Duration;

use fanfare_tokio::rustls::crypto::CryptoProvider;
use fanfare_tokio::rustls::{AlertDescription, CertificateError, Error as TlsError};
use fanfare_tokio::{
    CloseCode, Config, ConnectOptions, Error, MaybeTlsStream, Message, accept, connect_with,
};
use servers::{Authority, Secure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn trusting(authority: &Authority) -> ConnectOptions {
    ConnectOptions::default().with_tls(Some(authority.trusted()))
}

async fn tls_failure(url: &str, options: &ConnectOptions) -> TlsError {
    match connect_with(url, options).await {
        Err(Error::Tls(error)) => *error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_of_any_length_go_there_and_back() {
    let authority = Authority::new("ours");
    for name in ["localhost", "127.0.0.1"] {
        let secure = Secure {
            name,
            ..Secure::default()
        };
        let port = servers::echo(authority.server(&secure)).await.port();
        let url = format!("wss://{name}:{port}/a");
        let connected = connect_with(url, &trusting(&authority)).await;
        let (mut ws, answer) = connected.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(answer.header("Sec-WebSocket-Accept").is_some());
        let MaybeTlsStream::Rustls(session) = ws.io() else {
            panic!("in the clear");
        };
        assert_eq!(session.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert!(ws.io().io().nodelay().expect("a socket"));
        assert!(ws.io_mut().io_mut().nodelay().expect("a socket"));
        for len in [0, 1, 16_384, 1_000_000] {
            let message = Message::binary(vec![7; len]);
            ws.send(message.clone()).await.expect("sent");
            let back = ws.recv().await.expect("an answer").expect("binary");
            assert!(back == message, "{len}");
        }
        ws.close(CloseCode::NORMAL, "").await.expect("an end");
    }
    assert!(
        CryptoProvider::get_default().is_none(),
        "none was installed"
    );
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_is_named() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("theirs"));
    let port = async |secure| servers::echo(authority.server(&secure)).await.port();

    let other = Secure {
        name: "other.example",
        ..Secure::default()
    };
    let url = format!("wss://localhost:{}/", port(other).await);
    let error = tls_failure(&url, &trusting(&authority)).await;
    assert!(
        matches!(
            error,
            TlsError::InvalidCertificate(CertificateError::NotValidForNameContext { .. })
        ),
        "{error:?}"
    );
    let text = Error::from(error).to_string();
    assert!(
        text.contains("localhost") && text.contains("other.example"),
        "{text}"
    );

    let expired = Secure {
        is_expired: true,
        ..Secure::default()
    };
    let url = format!("wss://localhost:{}/", port(expired).await);
    let error = tls_failure(&url, &trusting(&authority)).await;
    assert!(
        matches!(
            error,
            TlsError::InvalidCertificate(CertificateError::ExpiredContext { .. })
        ),
        "{error:?}"
    );

    let url = format!("wss://localhost:{}/", port(Secure::default()).await);
    let error = tls_failure(&url, &trusting(&stranger)).await;
    servers::assert_unknown_issuer(&error);
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_of_ours_says_so() {
    let authority = Authority::new("ours");
    let secure = Secure {
        wants_certificates: true,
        ..Secure::default()
    };
    let port = servers::echo(authority.server(&secure)).await.port();
    let error = tls_failure(&format!("wss://localhost:{port}/"), &trusting(&authority)).await;
    assert!(
        matches!(
            error,
            TlsError::AlertReceived(AlertDescription::CertificateRequired)
        ),
        "{error:?}"
    );
}

/// A listener in the clear, whose one client is told `says`; then it is held or left.
async fn plain(says: &'static str, is_held: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a client");
        let mut hello = [0; 64];
        socket.read_exact(&mut hello).await.expect("its hello");
        socket.write_all(says.as_bytes()).await.expect("a client");
        if is_held {
            let _ = socket.read_to_end(&mut Vec::new()).await;
        } else {
            socket.shutdown().await.expect("a client");
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
    });
    format!("wss://localhost:{port}/")
}

#[tokio::test]
async fn a_server_without_tls_one_that_leaves_and_one_that_stalls_are_told_apart() {
    let options = trusting(&Authority::new("ours"));
    let url = plain("HTTP/1.1 400 Bad Request\r\n\r\n", true).await;
    let error = tls_failure(&url, &options).await;
    assert!(matches!(error, TlsError::InvalidMessage(_)), "{error:?}");

    match connect_with(plain("", false).await, &options).await {
        Err(Error::Io(error)) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof),
        other => panic!("{other:?}"),
    }

    let soon = options.with_connect_timeout(Some(Duration::from_millis(100)));
    match connect_with(plain("", true).await, &soon).await {
        Err(Error::ConnectTimeout) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_session_that_is_cut_is_an_end_without_a_close_and_behind_a_close_it_is_fine() {
    let authority = Authority::new("ours");
    for closes in [false, true] {
        let acceptor = authority.server(&Secure::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.expect("a client");
            let session = acceptor.accept(socket).await.expect("a session");
            let mut ws = accept(session, &Config::DEFAULT).await.expect("a request");
            if closes {
                let _ = ws.recv().await.expect("their close");
                ws.flush().await.expect("ours has left");
            }
            // The socket is left without TLS's own end.
        });
        let url = format!("wss://localhost:{port}/");
        let connected = connect_with(url, &trusting(&authority)).await;
        let (mut ws, _) = connected.expect("a server");
        if closes {
            ws.close(CloseCode::NORMAL, "").await.expect("an end");
        } else {
            match ws.recv().await {
                Some(Err(Error::Disconnected)) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(ws.recv().await.is_none());
    }
}

#[cfg(not(any(feature = "rustls-webpki-roots", feature = "rustls-native-roots")))]
#[tokio::test]
async fn without_anybody_to_trust_the_features_are_named() {
    let error = fanfare_tokio::connect("wss://localhost/").await;
    let error = error.expect_err("nobody is trusted");
    assert!(matches!(error, Error::NoTls));
    assert!(error.to_string().contains("rustls-native-roots"), "{error}");
}

#[cfg(any(feature = "rustls-webpki-roots", feature = "rustls-native-roots"))]
#[tokio::test]
async fn an_authority_of_ones_own_is_not_trusted_by_default() {
    let authority = Authority::new("ours");
    let port = servers::echo(authority.server(&Secure::default()))
        .await
        .port();
    let url = format!("wss://localhost:{port}/");
    let error = tls_failure(&url, &ConnectOptions::default()).await;
    servers::assert_unknown_issuer(&error);
    assert!(
        CryptoProvider::get_default().is_none(),
        "none was installed"
    );
}

/// The system's certificates are read once a process: this test starts another one, of itself, whose system they are.
#[cfg(feature = "rustls-native-roots")]
#[tokio::test]
async fn whom_the_system_trusts_is_trusted() {
    const URL: &str = "FANFARE_TEST_URL";
    const SELF: &str = "whom_the_system_trusts_is_trusted";
    if let Ok(url) = std::env::var(URL) {
        let (mut ws, _) = fanfare_tokio::connect(url).await.expect("a server");
        ws.send("hello".into()).await.expect("sent");
        let back = ws.recv().await.expect("an answer").expect("text");
        assert_eq!(back, Message::text("hello"));
        return;
    }
    let authority = Authority::new("ours");
    let port = servers::echo(authority.server(&Secure::default()))
        .await
        .port();
    let folder = std::env::temp_dir().join(format!("fanfare-tokio-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let run = |file: std::path::PathBuf| {
        let mut child = tokio::process::Command::new(std::env::current_exe().expect("a path"));
        child.args(["--exact", SELF, "--nocapture"]);
        child.env(URL, format!("wss://localhost:{port}/"));
        child.env("SSL_CERT_FILE", file);
        child.env_remove("SSL_CERT_DIR");
        child.kill_on_drop(true);
        child
    };
    let trusted = run(write("trusted.pem", &authority.pem())).output().await;
    let empty = run(write("empty.pem", "")).output().await;
    std::fs::remove_dir_all(&folder).expect("a folder");

    let trusted = trusted.expect("a process");
    let errors = String::from_utf8_lossy(&trusted.stderr);
    assert!(trusted.status.success(), "{errors}");
    let empty = empty.expect("a process");
    let errors = String::from_utf8_lossy(&empty.stderr);
    let named = match cfg!(feature = "rustls-webpki-roots") {
        true => "UnknownIssuer",
        false => "Roots(",
    };
    assert!(
        !empty.status.success() && errors.contains(named),
        "{errors}"
    );
}

/// What is taken is taken as it is.
#[tokio::test]
async fn a_configuration_of_ones_own_decides_alone() {
    let authority = Authority::new("ours");
    let port = servers::echo(authority.server(&Secure::default()))
        .await
        .port();
    let mut config = (*authority.trusted()).clone();
    config.alpn_protocols = vec![b"h3".to_vec()];
    let options = ConnectOptions::default().with_tls(Some(Arc::new(config)));
    let error = tls_failure(&format!("wss://localhost:{port}/"), &options).await;
    assert!(
        matches!(
            error,
            TlsError::AlertReceived(AlertDescription::NoApplicationProtocol)
        ),
        "{error:?}"
    );
}
