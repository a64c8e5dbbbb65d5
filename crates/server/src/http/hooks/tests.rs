//! The backend as calls see it.
//!
//! Never: waits without an event.
