//! What the test suites share: the conformance catalogue, the drivers that run it against the codec
//! and against the daemon, and a frame writer and reader that know nothing of the codec's.
//!
//! Never: is linked into anything that ships.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a panic is a failed test and names its place"
)]

pub mod api;
pub mod backend;
pub mod binaries;
pub mod bystander;
pub mod catalogue;
pub mod client;
pub mod clock;
pub mod compressed;
pub mod crowd;
pub mod daemon;
pub mod drivers;
pub mod folder;
pub mod http;
pub mod hub;
pub mod jwt;
pub mod log;
pub mod push;
pub mod read;
pub mod report;
pub mod samples;
pub mod session;
pub mod texts;
pub mod tls;
pub mod wire;
pub mod zlib;
