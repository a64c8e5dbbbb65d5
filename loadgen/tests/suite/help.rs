//! Every help text shows an example that works as printed.

use super::broadcast::{self, Broadcast};
use super::harness::{output, stderr};
use super::server::{Conduct, Server};

#[test]
fn every_help_shows_an_example_that_works() {
    let server = Server::start(Conduct::Honest);
    let broadcast = Broadcast::start(broadcast::Conduct::Honest);
    for args in [
        "--help",
        "-h",
        "echo --help",
        "echo -h",
        "fanout --help",
        "fanout -h",
    ] {
        let help = output(args);
        assert_eq!(help.status.code(), Some(0), "{args}");
        let text = String::from_utf8(help.stdout).expect("help is UTF-8");
        let examples: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("  loadgen "))
            .collect();
        assert!(!examples.is_empty(), "{args} shows no example");
        for example in examples {
            let url = if example.starts_with("fanout") {
                &broadcast.url
            } else {
                &server.url
            };
            // As printed, but for the port: another server may have it.
            let ours = example.replace("ws://127.0.0.1:9001/", url);
            assert_ne!(ours, example, "it names the port that `fanfare echo` takes");
            let run = output(&ours);
            assert_eq!(run.status.code(), Some(0), "{example}: {}", stderr(&run));
        }
    }
}
