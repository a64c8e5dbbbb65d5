//! What the benches decode and encode. In: sizes and a seed. Out: payloads and wires, the same ones
//! each time.
//!
//! Never: measures.

pub mod json;
pub mod size;
pub mod text;
pub mod wire;
