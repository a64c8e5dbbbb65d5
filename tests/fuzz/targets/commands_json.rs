//! Any bytes as a frame of the JSON wire: the same commands wherever it is taken up again; and what a client
//! says in one is a line of JSON to all others.
//!
//! Input: the frame.
//!
//! Never: judges which commands are to be accepted; the protocol's own tests do.
#![no_main]

use fanfare_fuzz::check_data;
use fanfare_protocol::{Encoding, Method};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    for command in fanfare_fuzz::commands(Encoding::Json, frame) {
        let data = match command.method {
            Method::Connect(connect) => connect.data,
            Method::Subscribe(subscribe) => subscribe.data,
            Method::Publish(publish) => publish.data,
            Method::Send { data } => data,
            Method::Rpc(rpc) => rpc.data,
            _ => continue,
        };
        assert!(data.is_empty() || check_data(&data), "it came as JSON");
        assert!(!data.iter().any(|byte| matches!(byte, b'\n' | b'\r')));
    }
});
