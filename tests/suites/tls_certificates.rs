//! Certificates against the live daemon: which one is shown to whom, which of clients are accepted, and what a new
//! file changes while messages go to and fro.
//!
//! Never: takes a file that was written for one that was loaded.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]
#![allow(clippy::print_stdout, reason = "the suite prints what it has measured")]

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use fanfare_tests::daemon::{ConfigFile, fanfare, output_of};
use fanfare_tests::folder::Folder;
use fanfare_tests::http::request;
use fanfare_tests::push::{NAMESPACES, eventually};
use fanfare_tests::tls::{Authority, HOST, Secured, Signed, TlsClient, certificates, put};
use fanfare_tests::wire::Frame;
use rustix::process::Signal;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
/// Clients that begin to talk at a time, and as many that listen.
const NEWCOMERS: usize = 3;
/// Echoes of each, and publications, while certificates change.
const MESSAGES_MIN: usize = 200;

fn serve(folder: &Folder, names: &[&str], more: &str) -> Secured {
    let certificates = certificates(folder, names);
    Secured::serve(&format!(
        "workers = 2\necho = true\n[tls]\n{certificates}\n{more}"
    ))
}

#[test]
fn the_host_that_a_client_names_chooses_the_certificate() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let signed = [&["a.test", "127.0.0.1"][..], &["b.test", "*.c.test"]].map(|h| authority.sign(h));
    put(&folder, "a", &signed[0]);
    put(&folder, "b", &signed[1]);
    let server = serve(&folder, &["a", "b"], "");
    for version in VERSIONS {
        let config = authority.trusted(&[version], None);
        for (host, number) in [
            ("a.test", 0),
            ("b.test", 1),
            ("x.c.test", 1),
            ("127.0.0.1", 0),
        ] {
            let client = TlsClient::connect(server.addr(), &config, host).unwrap();
            assert!(*client.shown() == signed[number].der, "{host}");
        }
        let stranger = TlsClient::connect(server.addr(), &config, "d.test");
        let refused = stranger.expect_err("it is for another host").to_string();
        assert!(refused.contains("a.test"), "the first one: {refused}");
    }
}

/// Whether a request of this client is answered.
fn is_answered(server: &Secured, config: &ClientConfig) -> bool {
    let Ok(mut client) = TlsClient::connect(server.addr(), config, HOST) else {
        return false;
    };
    // In TLS 1.3 a client learns that it is refused when it reads.
    let sent = client.stream.write_all(&request("GET /health", &[], b""));
    sent.is_ok() && matches!(client.more(), Ok(Some(())))
}

#[test]
fn clients_show_certificates_as_they_are_asked_to() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let clients = Authority::new();
    put(&folder, "a", &authority.sign(&[HOST]));
    let ca = folder.write("clients.pem", &clients.pem);
    let (known, forged) = (clients.sign(&["client"]), authority.sign(&["client"]));
    for (client_auth, without, with_forged) in
        [("optional", true, false), ("required", false, false)]
    {
        let more = format!("client_auth = \"{client_auth}\"\nclient_ca_file = {ca:?}");
        let server = serve(&folder, &["a"], &more);
        for version in VERSIONS {
            let answered = |shown: Option<&Signed>| {
                is_answered(&server, &authority.trusted(&[version], shown))
            };
            assert!(answered(Some(&known)), "{client_auth}");
            assert_eq!(answered(None), without, "{client_auth}");
            assert_eq!(answered(Some(&forged)), with_forged, "{client_auth}");
        }
    }
}

#[test]
fn an_old_version_is_refused_where_the_config_says_so() {
    let (folder, authority) = (Folder::new(), Authority::new());
    put(&folder, "a", &authority.sign(&[HOST]));
    let server = serve(&folder, &["a"], "min_version = \"1.3\"");
    assert!(!is_answered(&server, &authority.trusted(&[&TLS12], None)));
    assert!(is_answered(&server, &authority.trusted(&[&TLS13], None)));
}

#[test]
fn bad_files_are_one_line_that_names_key_and_file() {
    let (folder, authority) = (Folder::new(), Authority::new());
    put(&folder, "a", &authority.sign(&[HOST]));
    put(&folder, "b", &authority.sign(&[HOST]));
    let crossed = format!(
        "certificates = [{{ certificate_file = {:?}, key_file = {:?} }}]",
        folder.path("a.crt"),
        folder.path("b.key")
    );
    let good = certificates(&folder, &["a"]);
    let ca = folder.write("prose.pem", "no certificate");
    let missing = certificates(&folder, &["a", "missing"]);
    for (tls, key, says) in [
        (crossed, "tls.certificates.0.key_file", folder.path("b.key")),
        (
            missing,
            "tls.certificates.1.certificate_file",
            folder.path("missing.crt"),
        ),
        (
            format!("{good}\nclient_auth = \"required\"\nclient_ca_file = {ca:?}"),
            "tls.client_ca_file",
            ca.clone(),
        ),
        (
            format!("{good}\nclient_ca_file = {ca:?}"),
            "tls.client_ca_file",
            "client_auth".to_owned(),
        ),
        (
            format!("{good}\nclient_auth = \"required\""),
            "tls.client_auth",
            "client_ca_file".to_owned(),
        ),
        (
            format!("{good}\nmin_version = \"1.1\""),
            "tls.min_version",
            "1.2, 1.3".to_owned(),
        ),
        (
            "[api]\nlisten = \"127.0.0.1:0\"\ntls = true".to_owned(),
            "api.tls",
            "tls.certificates".to_owned(),
        ),
        (
            format!("{good}\n[api]\ntls = true"),
            "api.tls",
            "api.listen".to_owned(),
        ),
    ] {
        let config = ConfigFile::new(&format!("[tls]\n{tls}")).unwrap();
        for command in ["check-config", "serve"] {
            let mut daemon = fanfare();
            daemon.args([command, "--listen", "127.0.0.1:0", "--config"]);
            daemon.arg(config.path());
            let output = output_of(daemon).unwrap();
            let line = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{line}");
            assert_eq!(line.lines().count(), 1, "{line}");
            assert!(
                line.contains(&format!(" {key}: ")) && line.contains(&says),
                "{line}"
            );
        }
    }
    for (certificate, key, flag) in [
        ("a.crt", "b.key", "--tls-key: "),
        ("a.key", "a.key", "--tls-certificate: "),
        ("missing", "a.key", "--tls-certificate: "),
    ] {
        let mut daemon = fanfare();
        daemon.args(["echo", "--listen", "127.0.0.1:0"]);
        daemon.args(["--tls-certificate", &folder.path(certificate)]);
        daemon.args(["--tls-key", &folder.path(key)]);
        let output = output_of(daemon).unwrap();
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(line.starts_with(&format!("error: {flag}")), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}

/// Messages that go to and fro all the time: echoes, and publications that come to everybody in their order.
struct Traffic<'s> {
    server: &'s Secured,
    config: ClientConfig,
    stops: Arc<AtomicBool>,
    echoes: Arc<AtomicUsize>,
    published: Arc<AtomicUsize>,
    publisher: thread::JoinHandle<usize>,
    talkers: Vec<thread::JoinHandle<()>>,
    audience: Vec<thread::JoinHandle<()>>,
}

const CHANNEL: &str = "/raw/open:a";
const END: &[u8] = b"end";

impl<'s> Traffic<'s> {
    fn begin(server: &'s Secured, config: &ClientConfig) -> Self {
        let stops = Arc::new(AtomicBool::new(false));
        let published = Arc::new(AtomicUsize::new(0));
        let mut client = TlsClient::open(server.addr(), config, CHANNEL);
        let publisher = {
            let (stops, published) = (Arc::clone(&stops), Arc::clone(&published));
            thread::spawn(move || {
                let mut next = 0;
                while !stops.load(Ordering::Relaxed) {
                    client.expect_echo(&next.to_string());
                    next += 1;
                    published.store(next, Ordering::Relaxed);
                }
                client.say(&Frame::text("end"));
                client.expect(END);
                next
            })
        };
        let mut traffic = Self {
            server,
            config: config.clone(),
            stops,
            echoes: Arc::new(AtomicUsize::new(0)),
            published,
            publisher,
            talkers: Vec::new(),
            audience: Vec::new(),
        };
        traffic.grow();
        traffic
    }

    /// More connections, with the certificate of now, that stay to the end.
    fn grow(&mut self) {
        for _ in 0..NEWCOMERS {
            self.talks();
            self.listens();
        }
    }

    fn talks(&mut self) {
        let mut client = TlsClient::open(self.server.addr(), &self.config, "/echo");
        let (stops, echoes) = (Arc::clone(&self.stops), Arc::clone(&self.echoes));
        let number = self.talkers.len();
        self.talkers.push(thread::spawn(move || {
            for n in 0.. {
                if stops.load(Ordering::Relaxed) {
                    return;
                }
                client.expect_echo(&format!("{number}: {n}"));
                echoes.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }

    /// A subscriber that gets everything from here on to the end, each once, and in its order.
    fn listens(&mut self) {
        let mut client = TlsClient::open(self.server.addr(), &self.config, CHANNEL);
        // One more may have been on its way.
        let first_max = self.published.load(Ordering::Relaxed) + 1;
        let published = Arc::clone(&self.published);
        self.audience.push(thread::spawn(move || {
            let mut next = None;
            loop {
                let payload = client.frame().expect("a frame, not the end").payload;
                if payload == END {
                    break;
                }
                let number: usize = std::str::from_utf8(&payload).unwrap().parse().unwrap();
                match next {
                    None => assert!(
                        number <= first_max,
                        "{number}, not {first_max}, is the first"
                    ),
                    Some(next) => assert_eq!(number, next),
                }
                next = Some(number + 1);
            }
            assert_eq!(
                next,
                Some(published.load(Ordering::Relaxed)),
                "up to the last"
            );
        }));
    }

    /// Waits until all of it has gone on for a while.
    fn go_on(&self) {
        let now = || {
            let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
            (count(&self.echoes), count(&self.published))
        };
        let (echoes, published) = now();
        eventually("more messages", || {
            let after = now();
            after.0 >= echoes + self.talkers.len() * MESSAGES_MIN
                && after.1 >= published + MESSAGES_MIN
        });
    }

    /// Nobody has missed anything.
    fn end(self) {
        self.stops.store(true, Ordering::Relaxed);
        let published = self.publisher.join().expect("what it publishes comes back");
        let echoes = self.echoes.load(Ordering::Relaxed);
        let (talkers, audience) = (self.talkers.len(), self.audience.len());
        for thread in self.talkers {
            thread.join().expect("every message has come back");
        }
        for thread in self.audience {
            thread.join().expect("every publication has come, in order");
        }
        println!("{echoes} echoes to {talkers}, {published} publications to {audience}: none lost");
    }
}

fn shows(server: &Secured, config: &ClientConfig, signed: &Signed) -> bool {
    let client = TlsClient::connect(server.addr(), config, HOST).unwrap();
    *client.shown() == signed.der
}

#[test]
fn sighup_changes_certificates_under_traffic_and_nobody_loses_a_message() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let mut signed = authority.sign(&[HOST]);
    put(&folder, "a", &signed);
    let server = serve(&folder, &["a"], NAMESPACES);
    let config = authority.trusted(&VERSIONS, None);
    let mut traffic = Traffic::begin(&server, &config);
    traffic.go_on();
    for _ in 0..3 {
        assert!(shows(&server, &config, &signed));
        signed = authority.sign(&[HOST]);
        put(&folder, "a", &signed);
        let from = server.daemon.log().len();
        server.daemon.signal(Signal::HUP).unwrap();
        let is_told = |line: &str| line.contains("reload: ");
        let _ = server.daemon.log().wait_for("reload", from, is_told);
        eventually("the new certificate", || shows(&server, &config, &signed));
        traffic.grow();
        traffic.go_on();
    }
    // A bad one changes nothing, and is named.
    let _ = folder.write("a.key", "no key");
    let from = server.daemon.log().len();
    server.daemon.signal(Signal::HUP).unwrap();
    let is_told = |line: &str| {
        line.contains("ERROR")
            && line.contains("tls.certificates.0.key_file")
            && line.contains("a.key")
    };
    let _ = server.daemon.log().wait_for("error", from, is_told);
    assert!(shows(&server, &config, &signed));
    traffic.grow();
    traffic.go_on();
    traffic.end();
}

#[test]
fn files_that_change_are_taken_by_themselves_and_bad_ones_are_named_once() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let old = authority.sign(&[HOST]);
    put(&folder, "a", &old);
    let server = serve(&folder, &["a"], NAMESPACES);
    let config = authority.trusted(&VERSIONS, None);
    let mut traffic = Traffic::begin(&server, &config);
    assert!(shows(&server, &config, &old));

    let from = server.daemon.log().len();
    let _ = folder.write("a.crt", "no certificate");
    let is_error = |line: &str| line.contains("ERROR") && line.contains("a.crt");
    let _ = server.daemon.log().wait_for("error", from, is_error);
    assert!(shows(&server, &config, &old), "it stays as it was");
    traffic.grow();
    traffic.go_on();

    let new = authority.sign(&[HOST]);
    put(&folder, "a", &new);
    eventually("the new certificate", || shows(&server, &config, &new));
    let lines = server.daemon.log().lines();
    let errors = lines[from..].iter().filter(|line| line.contains("ERROR"));
    assert_eq!(errors.count(), 1, "{lines:#?}");
    traffic.grow();
    traffic.go_on();
    traffic.end();
}
