//! What the benches share: corpora, and the bare client that measures servers.
//!
//! Never: shares framing code between `bare` and the servers it measures, or code with `loadgen`.

pub mod bare;
pub mod carry;
pub mod clock;
pub mod corpus;
pub mod cpu_time;
pub mod feed;
pub mod limit;
pub mod peers;
