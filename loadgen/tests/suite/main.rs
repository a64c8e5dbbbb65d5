//! `loadgen` as a user runs it, against servers that behave and servers that do not.

mod clock;
mod echo;
mod harness;
mod help;
mod server;
mod truth;
