//! Zero-copy, sans-IO WebSocket codec.
