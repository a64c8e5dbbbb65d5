//! The fanfare daemon.

fn main() {}
