//! `loadgen` as a user runs it, against servers that behave and servers that do not.

mod broadcast;
mod clock;
mod echo;
mod fanout;
mod harness;
mod help;
mod server;
mod truth;
