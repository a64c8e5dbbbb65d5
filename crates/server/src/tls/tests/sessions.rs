//! A session and a client of rustls's, on a wire in memory that may be cut and full. In: what both say. Out: what
//! both hear, and what the session keeps.
//!
//! Never: more room than the wire has.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Read, Write};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, SupportedProtocolVersion};

use super::super::session::Kept;
use super::*;
use crate::limits::{READ_BYTES, TLS_SEND_BYTES_MAX};

/// The socket between the two.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) to_server: VecDeque<u8>,
    to_client: Vec<u8>,
    /// What a `recv` gives at most.
    piece: usize,
    /// What the socket still takes.
    room: usize,
    has_finished: bool,
    client_has_finished: bool,
}

impl Wire for Memory {
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.to_server.is_empty() && !self.client_has_finished {
            return Err(ErrorKind::WouldBlock.into());
        }
        let piece = buf.len().min(self.piece);
        self.to_server.read(&mut buf[..piece])
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.has_finished, "nothing follows FIN");
        let len = bytes.len().min(self.room);
        if len == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= len;
        self.to_client.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.has_finished = true;
        Ok(())
    }
}

pub(super) struct Pair {
    client: ClientConnection,
    pub(super) server: TlsSession,
    pub(super) wire: Memory,
    /// What the server has received, and what the client has.
    heard: Vec<u8>,
    told: Vec<u8>,
}

pub(super) fn client_config(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    certificate: Option<&Signed>,
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(authority.roots());
    match certificate {
        None => builder.with_no_client_auth(),
        Some(signed) => builder
            .with_client_auth_cert(
                vec![signed.der.clone(); signed.copies],
                signed.private_key(),
            )
            .unwrap(),
    }
}

pub(super) fn pair(tls: &Tls, config: ClientConfig, host: &str) -> Pair {
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), host).unwrap();
    client.set_buffer_limit(None);
    Pair {
        client,
        server: tls.session().unwrap(),
        wire: Memory {
            piece: usize::MAX,
            room: usize::MAX,
            ..Memory::default()
        },
        heard: Vec::new(),
        told: Vec::new(),
    }
}

impl Pair {
    /// Lets both work until neither has anything to do; what the server's last receive said.
    pub(super) fn exchange(&mut self) -> io::Result<()> {
        let mut buf = vec![0; READ_BYTES];
        loop {
            while self.client.wants_write() {
                self.client.write_tls(&mut self.wire.to_server).unwrap();
            }
            let end = loop {
                match self.server.receive(&mut buf, &mut self.wire) {
                    Ok(received) if received.len == 0 => break Ok(()),
                    Ok(received) => self.heard.extend_from_slice(&buf[..received.len]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            let to_client = std::mem::take(&mut self.wire.to_client);
            let mut to_client = &to_client[..];
            while !to_client.is_empty() {
                self.client.read_tls(&mut to_client).unwrap();
                self.client
                    .process_new_packets()
                    .map_err(io::Error::other)?;
                self.hear();
            }
            end?;
            if !self.client.wants_write() {
                return Ok(());
            }
        }
    }

    fn hear(&mut self) {
        match self.client.reader().read_to_end(&mut self.told) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error}"),
            _ => {}
        }
    }

    /// What the client has received since the last time.
    fn read(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.told)
    }

    fn kept(&self) -> Kept {
        self.server.kept()
    }
}

fn one_certificate(authority: &Authority) -> (Folder, Tls) {
    let folder = Folder::new();
    let signed = authority.sign(&["a.test"]);
    let (certificate, key) = put(&folder, "a", &signed);
    let tls = Tls::new(settings(&[(&certificate, &key)]).load().unwrap());
    (folder, tls)
}

fn noise(len: usize) -> Vec<u8> {
    let byte = |at: usize| (at * 31 % 251).to_le_bytes()[0];
    (0..len).map(byte).collect()
}

#[test]
fn what_is_said_is_heard_in_both_versions_however_it_is_cut() {
    let authority = Authority::new();
    let (_folder, tls) = one_certificate(&authority);
    for version in [&TLS12, &TLS13] {
        for piece in [1, 7, 4096, usize::MAX] {
            let mut config = client_config(&authority, &[version], None);
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let mut pair = pair(&tls, config, "a.test");
            pair.wire.piece = piece;
            pair.exchange().unwrap();
            assert_eq!(pair.client.alpn_protocol(), Some(&b"http/1.1"[..]));
            for len in [1, 125, 16 << 10, 70_000] {
                let message = noise(len);
                pair.client.writer().write_all(&message).unwrap();
                pair.exchange().unwrap();
                assert_eq!(pair.heard, message, "{version:?}, {piece}, {len}");
                pair.heard.clear();
                let mut sent = 0;
                while sent < len {
                    sent += pair.server.send(&message[sent..], &mut pair.wire).unwrap();
                }
                pair.exchange().unwrap();
                assert_eq!(pair.read(), message, "{version:?}, {piece}, {len}");
                assert_eq!(pair.kept(), Kept::default(), "idle, it keeps nothing");
            }
        }
    }
}

#[test]
fn a_reader_with_little_room_is_told_that_there_is_more() {
    let authority = Authority::new();
    let (_folder, tls) = one_certificate(&authority);
    let mut pair = pair(&tls, client_config(&authority, &[&TLS13], None), "a.test");
    pair.exchange().unwrap();
    let message = noise(5000);
    for part in message.chunks(100) {
        pair.client.writer().write_all(part).unwrap(); // a record each
    }
    while pair.client.wants_write() {
        pair.client.write_tls(&mut pair.wire.to_server).unwrap();
    }
    let (mut heard, mut buf) = (Vec::new(), [0; 64]);
    let mut was_drained = false;
    loop {
        match pair.server.receive(&mut buf, &mut pair.wire) {
            Ok(received) => {
                heard.extend_from_slice(&buf[..received.len]);
                assert!(!received.drained || heard.len() == message.len());
                was_drained = received.drained;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(heard, message);
    assert!(was_drained, "no read of an empty socket is needed");
    assert_eq!(pair.kept(), Kept::default());
}

#[test]
fn what_a_full_socket_leaves_behind_is_bounded_and_comes_in_its_order() {
    let authority = Authority::new();
    let (_folder, tls) = one_certificate(&authority);
    for version in [&TLS12, &TLS13] {
        let mut pair = pair(&tls, client_config(&authority, &[version], None), "a.test");
        pair.exchange().unwrap();
        let message = noise(300_000);
        pair.wire.room = 1000;
        let mut sent = pair.server.send(&message, &mut pair.wire).unwrap();
        assert_eq!(sent, TLS_SEND_BYTES_MAX, "sealed, and most of it waits");
        for _ in 0..3 {
            assert_eq!(
                pair.server.send(&message[sent..], &mut pair.wire).unwrap(),
                0
            );
        }
        let waits = pair.kept().outgoing;
        assert!(waits <= TLS_SEND_BYTES_MAX + 256, "{waits} bytes");
        assert!(!pair.server.is_flushed());
        let mut heard = Vec::new();
        while heard.len() < message.len() {
            pair.wire.room = 10_007;
            pair.server.flush(&mut pair.wire).unwrap();
            let (next, rest) = message[sent..].split_at((message.len() - sent).min(40_000));
            let parts = [
                IoSlice::new(&next[..next.len() / 2]),
                IoSlice::new(&next[next.len() / 2..]),
            ];
            sent += pair.server.send_parts(&parts, &mut pair.wire).unwrap();
            assert!(rest.len() <= message.len());
            pair.exchange().unwrap();
            heard.extend(pair.read());
        }
        assert_eq!(heard, message);
        assert_eq!(pair.kept(), Kept::default());
    }
}

#[test]
fn the_end_is_said_and_understood_and_a_cut_is_an_end_too() {
    let authority = Authority::new();
    let (_folder, tls) = one_certificate(&authority);
    for version in [&TLS12, &TLS13] {
        let config = client_config(&authority, &[version], None);
        let mut closes = pair(&tls, config.clone(), "a.test");
        closes.exchange().unwrap();
        closes.client.send_close_notify();
        closes.exchange().unwrap();
        let mut buf = [0; 16];
        let end = closes.server.receive(&mut buf, &mut closes.wire).unwrap();
        assert_eq!(end.len, 0);
        closes
            .server
            .send(b"a last word", &mut closes.wire)
            .unwrap();
        closes.wire.room = 0;
        let full = closes.server.finish(&mut closes.wire).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        assert!(!closes.wire.has_finished);
        closes.wire.room = usize::MAX;
        closes.server.finish(&mut closes.wire).unwrap();
        assert!(closes.wire.has_finished);
        let mut records = &closes.wire.to_client[..];
        while !records.is_empty() {
            closes.client.read_tls(&mut records).unwrap();
        }
        let state = closes.client.process_new_packets().unwrap();
        assert!(state.peer_has_closed(), "a close_notify, once");

        let mut cut = pair(&tls, config, "a.test");
        cut.exchange().unwrap();
        cut.wire.client_has_finished = true;
        let end = cut.server.receive(&mut buf, &mut cut.wire).unwrap();
        assert_eq!(end.len, 0);
    }
}

/// What comes back of bytes that are no session; whether FIN came behind it.
fn answer_to(tls: &Tls, bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut server = tls.session().unwrap();
    let mut wire = Memory {
        piece: usize::MAX,
        room: usize::MAX,
        ..Memory::default()
    };
    wire.to_server.extend(bytes);
    let mut buf = vec![0; READ_BYTES];
    loop {
        match server.receive(&mut buf, &mut wire) {
            Ok(received) => panic!("{} bytes of plaintext", received.len),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return (wire.to_client, wire.has_finished),
        }
    }
}

#[test]
fn plain_http_is_told_so_and_garbage_gets_an_alert() {
    let authority = Authority::new();
    let (_folder, tls) = one_certificate(&authority);
    let get = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(40_000)
    );
    let (answer, has_finished) = answer_to(&tls, get.as_bytes());
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    assert!(answer.contains("wss://") && has_finished, "{answer}");
    for garbage in [
        &[0; 4000][..],
        &[0x80; 64],
        &[22, 3, 1, 0xff, 0xff],
        &noise(1000)[..],
    ] {
        let (answer, has_finished) = answer_to(&tls, garbage);
        let is_alert = answer.first() == Some(&21);
        assert_eq!(is_alert, has_finished, "{:?}: {answer:?}", &garbage[..5]);
    }
}

/// A client's bytes with one of them changed never do harm, wherever it is.
#[test]
fn a_handshake_that_is_forged_anywhere_ends_or_is_none() {
    let authority = Authority::new();
    let (_folder, tls) = one_certificate(&authority);
    let config = Arc::new(client_config(&authority, &[&TLS13], None));
    let host = ServerName::try_from("a.test").unwrap();
    let mut hello = Vec::new();
    let mut client = ClientConnection::new(config, host).unwrap();
    client.write_tls(&mut hello).unwrap();
    for at in 0..hello.len() {
        let mut forged = hello.clone();
        forged[at] ^= 0x41;
        let _ = answer_to(&tls, &forged);
        let _ = answer_to(&tls, &forged[..at]);
    }
}

/// The certificate that a client which names `host` is shown.
fn shown(tls: &Tls, authority: &Authority, host: &str) -> Vec<u8> {
    let mut pair = pair(tls, client_config(authority, &[&TLS13], None), host);
    let _ = pair.exchange(); // the client may not like it
    let shown = pair.client.peer_certificates();
    shown.map_or_else(Vec::new, |chain| chain[0].to_vec())
}

#[test]
fn the_name_chooses_among_certificates_and_the_first_is_for_all_others() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let hosts: [&[&str]; 3] = [
        &["a.test", "127.0.0.1"],
        &["b.test", "*.b.test"],
        &["a.test", "c.test"],
    ];
    let signed = hosts.map(|hosts| authority.sign(hosts));
    let named = (0..).zip(&signed);
    let files: Vec<_> = named
        .map(|(n, signed)| put(&folder, &format!("{n}"), signed))
        .collect();
    let files: Vec<_> = files
        .iter()
        .map(|(c, k)| (c.as_path(), k.as_path()))
        .collect();
    let tls = Tls::new(settings(&files).load().unwrap());
    for (host, number) in [
        ("a.test", 0),
        ("A.TEST", 0),
        ("b.test", 1),
        ("x.b.test", 1),
        ("c.test", 2),
        ("127.0.0.1", 0), // an address is not sent
    ] {
        let shown = shown(&tls, &authority, host);
        assert!(shown == signed[number].der.as_ref(), "{host}");
    }
    // A client does not accept what is not for it, and that is the first.
    let mut stranger = pair(&tls, client_config(&authority, &[&TLS13], None), "d.test");
    let refused = stranger.exchange().unwrap_err().to_string();
    assert!(refused.contains("a.test"), "{refused}");
}

#[test]
fn clients_show_certificates_as_the_settings_say() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let (certificate, key) = put(&folder, "a", &authority.sign(&["a.test"]));
    let ca = folder.write("ca", &authority.pem);
    let (known, forged) = (
        authority.sign(&["client"]),
        Authority::new().sign(&["client"]),
    );
    for (client_auth, without, with_forged) in [
        (ClientAuth::None, true, true),
        (ClientAuth::Optional, true, false),
        (ClientAuth::Required, false, false),
    ] {
        let loaded = TlsSettings {
            client_auth,
            client_ca: Some(ca.clone()),
            ..settings(&[(&certificate, &key)])
        };
        let tls = Tls::new(loaded.load().unwrap());
        for version in [&TLS12, &TLS13] {
            let serves = |certificate| {
                let config = client_config(&authority, &[version], certificate);
                let mut pair = pair(&tls, config, "a.test");
                let ends = pair.exchange();
                let sent = pair.server.send(b"hello", &mut pair.wire).is_ok();
                assert_eq!(ends.is_ok(), sent, "{client_auth:?}: a refusal is an alert");
                sent
            };
            assert!(serves(Some(&known)), "{client_auth:?}");
            assert_eq!(serves(None), without, "{client_auth:?}");
            assert_eq!(serves(Some(&forged)), with_forged, "{client_auth:?}");
        }
    }
}

#[test]
fn an_old_version_is_not_spoken_where_a_newer_is_asked_for() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let (certificate, key) = put(&folder, "a", &authority.sign(&["a.test"]));
    let loaded = TlsSettings {
        min_version: MinVersion::Tls13,
        ..settings(&[(&certificate, &key)])
    };
    let tls = Tls::new(loaded.load().unwrap());
    let old = client_config(&authority, &[&TLS12], None);
    assert!(pair(&tls, old, "a.test").exchange().is_err());
    let new = client_config(&authority, &[&TLS13], None);
    assert!(pair(&tls, new, "a.test").exchange().is_ok());
}

#[test]
fn keys_may_change_under_way() {
    let authority = Authority::new();
    let (_folder, tls) = one_certificate(&authority);
    let mut pair = pair(&tls, client_config(&authority, &[&TLS13], None), "a.test");
    pair.exchange().unwrap();
    for n in 0..20_u8 {
        // It asks for new keys of the server's, too.
        pair.client.refresh_traffic_keys().unwrap();
        pair.client.writer().write_all(&[n]).unwrap();
        pair.exchange().unwrap();
        assert_eq!(pair.heard, [n]);
        pair.heard.clear();
        pair.server.send(&[n], &mut pair.wire).unwrap();
        pair.exchange().unwrap();
        assert_eq!(pair.read(), [n]);
    }
    assert_eq!(pair.kept(), Kept::default());
}

#[test]
fn a_handshake_may_be_longer_than_a_record_and_not_without_end() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let (certificate, key) = put(&folder, "a", &authority.sign(&["a.test"]));
    let loaded = TlsSettings {
        client_auth: ClientAuth::Required,
        client_ca: Some(folder.write("ca", &authority.pem)),
        ..settings(&[(&certificate, &key)])
    };
    let tls = Tls::new(loaded.load().unwrap());
    let serves = |copies, piece| {
        let hosts: Vec<String> = (0..2000).map(|n| format!("host-{n:04}.test")).collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let client = Signed {
            copies,
            ..authority.sign(&hosts)
        };
        let config = client_config(&authority, &[&TLS13], Some(&client));
        let mut pair = pair(&tls, config, "a.test");
        pair.wire.piece = piece;
        let _ = pair.exchange();
        pair.server.send(b"hello", &mut pair.wire).is_ok()
    };
    assert!(serves(1, usize::MAX), "34 KB of names");
    assert!(serves(1, 100), "in pieces");
    assert!(!serves(4, usize::MAX), "four times as much");
    assert!(!serves(4, 100), "in pieces");
}
