//! Every help text shows an example that works as printed.

use std::collections::BTreeSet;

use super::broadcast::{self, Broadcast};
use super::centrifuge::{self, server::Centrifuge};
use super::harness::{output, shell, stderr};
use super::peer;
use super::server::{Conduct, Server};
use super::stream::{self, Stream};

#[test]
fn every_help_shows_an_example_that_works() {
    let server = Server::start(Conduct::Honest);
    let broadcast = Broadcast::start(broadcast::Conduct::Honest);
    let stream = Stream::start(stream::Conduct::Honest);
    let centrifuge = Centrifuge::start(centrifuge::server::Conduct::Honest);
    let pusher = peer::start(
        |_| Conduct::Honest,
        |_, peer| {
            peer.text("news");
            peer.flush()?;
            peer.behave()
        },
    );
    let mut seen = BTreeSet::new();
    let scenarios = [
        "echo", "fanout", "ping", "receive", "idle", "churn", "storm", "slow",
    ];
    let asks = scenarios
        .iter()
        .flat_map(|name| [format!("{name} --help"), format!("{name} -h")]);
    for args in ["--help".to_owned(), "-h".to_owned()]
        .into_iter()
        .chain(asks)
    {
        let args = &args;
        let help = output(args);
        assert_eq!(help.status.code(), Some(0), "{args}");
        let text = String::from_utf8(help.stdout).expect("help is UTF-8");
        let examples: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("  loadgen "))
            .collect();
        assert!(!examples.is_empty(), "{args} shows no example");
        // `-h` and `--help` show the same ones: each is run once.
        for example in examples {
            if !seen.insert(example.to_owned()) {
                continue;
            }
            // As printed, but for the port: another server may have it.
            let url = match example.split(' ').next() {
                Some("fanout") if example.contains("{position}") => &stream.url,
                Some("fanout") => &broadcast.url,
                Some("receive") => &pusher,
                _ => &server.url,
            };
            let ours = example
                .replace("ws://127.0.0.1:9001/", url)
                .replace("ws://127.0.0.1:8000/", &centrifuge.url);
            assert_ne!(
                ours, example,
                "it names the port that `fanfare echo` takes, or `fanfare serve`"
            );
            let run = shell(&ours);
            assert_eq!(run.status.code(), Some(0), "{example}: {}", stderr(&run));
        }
    }
}
