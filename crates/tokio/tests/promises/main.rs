//! What RFC 6455 and the documentation promise, tried from outside with raw bytes: no codec stands between.

mod closing;
#[cfg(feature = "deflate")]
mod compressed;
mod extremes;
mod mixed;
mod upgrade;
mod wire;
