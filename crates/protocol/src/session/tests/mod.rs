//! Sessions on the real hub: each rule by its name, and all of them together by seed.
//!
//! Never: knows a wire.

mod client;
mod connect;
mod desk;
mod liveness;
mod orders;
mod property;
mod recovery;
mod refresh;
mod requests;
mod settings;
mod subscribe;
mod told;
mod world;
