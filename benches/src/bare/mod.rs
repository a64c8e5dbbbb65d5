//! The bare client: an echo client that is not the limit, and an opener of idle connections.
//!
//! In: where the server is and how hard to press it. Out: counts, times, CPU time; or a
//! [`Failure`].
//!
//! Never: reads what is in a frame. It counts bytes and compares nothing, so a server that
//! answers the right number of wrong bytes passes; conformance is tested elsewhere.

mod burst;
pub mod echo;
mod failure;
pub mod idle;
mod upgrade;

pub use burst::{BURST_BYTES_MAX, Burst};
pub use failure::Failure;

use std::net::SocketAddr;

/// The server to measure and the path to ask for.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The path of the upgrade request, `/` first.
    pub path: String,
    /// Whether it must agree to permessage-deflate, without windows that outlive a message.
    pub deflate: bool,
}
