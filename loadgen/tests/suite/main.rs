//! `loadgen` as a user runs it, against servers that behave and servers that do not.

mod broadcast;
mod centrifuge;
mod churn;
mod clock;
mod cuts;
mod echo;
mod fanout;
mod harness;
mod help;
mod interrupt;
mod peer;
mod ping;
mod positions;
mod receive;
mod server;
mod slow;
mod stream;
mod tasks;
mod truth;
