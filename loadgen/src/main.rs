//! The load generator.
//!
//! Never: shares code with the server; that would hide shared faults.

fn main() {}
