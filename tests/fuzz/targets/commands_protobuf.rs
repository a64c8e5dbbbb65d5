//! Any bytes as a frame of the Protobuf wire: the same commands wherever it is taken up again; and what a
//! client says in one is a line of JSON to clients of the JSON wire, whatever it is.
//!
//! Input: the frame.
//!
//! Never: judges which commands are to be accepted; the protocol's own tests do.
#![no_main]

use fanfare_fuzz::check_data;
use fanfare_protocol::{Encoding, Method};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    for command in fanfare_fuzz::commands(Encoding::Protobuf, frame) {
        let data = match command.method {
            Method::Connect(connect) => connect.data,
            Method::Subscribe(subscribe) => subscribe.data,
            Method::Publish(publish) => publish.data,
            Method::Send { data } => data,
            Method::Rpc(rpc) => rpc.data,
            _ => continue,
        };
        check_data(&data);
    }
});
