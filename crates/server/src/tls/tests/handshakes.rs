//! How handshakes end, as they are counted.
//!
//! Never: a count that something else could have moved: each case has settings of its own.

use rustls::version::{TLS12, TLS13};

use super::sessions::{client_config, pair};
use super::*;
use crate::metrics::{Handshakes, TlsFailure, TlsVersion};

/// What has been counted, without what is 0.
#[derive(Debug, PartialEq, Eq)]
struct Counted {
    completed: Vec<(TlsVersion, u64)>,
    failed: Vec<(TlsFailure, u64)>,
}

fn counted(handshakes: &Handshakes) -> Counted {
    let completed = [TlsVersion::V12, TlsVersion::V13].map(|v| (v, handshakes.completed(v)));
    let failed = [
        TlsFailure::PlainHttp,
        TlsFailure::Incompatible,
        TlsFailure::ClientCertificate,
        TlsFailure::Alert,
        TlsFailure::Malformed,
        TlsFailure::Unfinished,
    ];
    let failed = failed.map(|failure| (failure, handshakes.failed(failure)));
    Counted {
        completed: completed.into_iter().filter(|(_, n)| *n > 0).collect(),
        failed: failed.into_iter().filter(|(_, n)| *n > 0).collect(),
    }
}

fn tls(authority: &Authority, folder: &Folder, change: impl FnOnce(&mut TlsSettings)) -> Tls {
    let (certificate, key) = put(folder, "a", &authority.sign(&["a.test"]));
    let mut settings = settings(&[(&certificate, &key)]);
    change(&mut settings);
    Tls::new(settings.load().unwrap())
}

#[test]
fn a_session_counts_once_by_its_version_whatever_becomes_of_it() {
    let (folder, authority) = (Folder::new(), Authority::new());
    for (version, counts) in [(&TLS12, TlsVersion::V12), (&TLS13, TlsVersion::V13)] {
        let once = Counted {
            completed: vec![(counts, 1)],
            failed: vec![],
        };
        let tls = tls(&authority, &folder, |_| {});
        let mut pair = pair(&tls, client_config(&authority, &[version], None), "a.test");
        pair.exchange().unwrap();
        assert_eq!(counted(&tls.handshakes()), once);
        // A record that is forged ends it, and so does the end of the connection.
        pair.wire.to_server.extend([23, 3, 3, 0, 40]);
        pair.wire.to_server.extend([0; 40]);
        assert!(pair.exchange().is_err());
        drop(pair);
        assert_eq!(counted(&tls.handshakes()), once);
    }
}

/// Lets a client and a session with these settings try, and then leave; what was counted.
fn failed(
    change: impl FnOnce(&mut TlsSettings),
    meet: impl FnOnce(&Authority, &Tls),
) -> Vec<(TlsFailure, u64)> {
    let (folder, authority) = (Folder::new(), Authority::new());
    let ca = folder.write("ca", &authority.pem);
    let tls = tls(&authority, &folder, |settings| {
        settings.client_ca = Some(ca);
        change(settings);
    });
    meet(&authority, &tls);
    let counted = counted(&tls.handshakes());
    assert_eq!(counted.completed, []);
    counted.failed
}

/// Sends these bytes to a session and leaves.
fn sends(bytes: &'static [u8]) -> impl FnOnce(&Authority, &Tls) {
    move |authority, tls| {
        let config = client_config(authority, &[&TLS13], None);
        let mut pair = pair(tls, config, "a.test");
        let mut buf = [0; 100];
        pair.wire.to_server.extend(bytes);
        for _ in 0..2 {
            let _ = pair.server.receive(&mut buf, &mut pair.wire);
        }
    }
}

#[test]
fn a_handshake_that_fails_counts_once_by_its_cause() {
    let one = |failure| vec![(failure, 1)];
    let no_more = |_: &mut TlsSettings| {};
    let http = sends(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(failed(no_more, http), one(TlsFailure::PlainHttp));
    let garbage = sends(&[22, 3, 1, 0, 4, 9, 9, 9, 9]);
    assert_eq!(failed(no_more, garbage), one(TlsFailure::Malformed));
    let half = sends(&[22, 3, 1, 2, 0, 1]);
    assert_eq!(failed(no_more, half), one(TlsFailure::Unfinished));
    assert_eq!(failed(no_more, sends(&[])), [], "nobody has tried");

    let newer = |settings: &mut TlsSettings| settings.min_version = MinVersion::Tls13;
    let old = |authority: &Authority, tls: &Tls| {
        let config = client_config(authority, &[&TLS12], None);
        assert!(pair(tls, config, "a.test").exchange().is_err());
    };
    assert_eq!(failed(newer, old), one(TlsFailure::Incompatible));

    for version in [&TLS12, &TLS13] {
        let asks = |settings: &mut TlsSettings| settings.client_auth = ClientAuth::Required;
        for signer in [None, Some(Authority::new())] {
            let shows_none = |authority: &Authority, tls: &Tls| {
                let forged = signer.map(|signer| signer.sign(&["client"]));
                let config = client_config(authority, &[version], forged.as_ref());
                let mut pair = pair(tls, config, "a.test");
                assert!(pair.exchange().is_err());
            };
            let counted = failed(asks, shows_none);
            assert_eq!(counted, one(TlsFailure::ClientCertificate));
        }
        // It trusts somebody else, and says so.
        let stranger = |_: &Authority, tls: &Tls| {
            let config = client_config(&Authority::new(), &[version], None);
            let mut pair = pair(tls, config, "a.test");
            assert!(pair.exchange().is_err());
            let _ = pair.exchange();
        };
        assert_eq!(failed(no_more, stranger), one(TlsFailure::Alert));
    }
}
