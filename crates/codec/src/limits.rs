//! What a peer may cost us. In: numbers from the embedding server. Out: the caps that the
//! decoders enforce.
//!
//! Never: unlimited by default.

/// The largest payload of a control frame (RFC 6455 §5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// The longest frame header: two bytes, a 64-bit length and a mask key (RFC 6455 §5.2).
pub const HEADER_BYTES_MAX: usize = 14;

/// The most bytes a decoder ever leaves unconsumed: a masked control frame that lacks its last byte.
///
/// A server needs to keep no more than this between two reads of a connection.
pub const UNCONSUMED_BYTES_MAX: usize = 2 + 4 + CONTROL_PAYLOAD_BYTES_MAX - 1;

/// Caps on what one peer may send; crossing one fails the connection with close code 1009.
///
/// ```
/// const LIMITS: fanfare_codec::Limits = fanfare_codec::Limits::DEFAULT.with_max_message_bytes(4096);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Limits {
    /// The largest payload of one data frame, in bytes, as its header declares it.
    pub max_frame_bytes: u64,
    /// The largest message, in bytes, summed over its frames as their headers declare them.
    pub max_message_bytes: u64,
    /// The most data frames one message may be cut into; empty ones count.
    pub max_fragments: u32,
}

impl Limits {
    /// 16 MiB a frame and a message, 131,072 fragments: 16 MiB in pieces of 128 bytes.
    pub const DEFAULT: Self = Self {
        max_frame_bytes: 16 << 20,
        max_message_bytes: 16 << 20,
        max_fragments: 1 << 17,
    };

    /// With another [`max_frame_bytes`](Self::max_frame_bytes).
    #[must_use]
    pub const fn with_max_frame_bytes(mut self, bytes: u64) -> Self {
        self.max_frame_bytes = bytes;
        self
    }

    /// With another [`max_message_bytes`](Self::max_message_bytes).
    #[must_use]
    pub const fn with_max_message_bytes(mut self, bytes: u64) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// With another [`max_fragments`](Self::max_fragments).
    #[must_use]
    pub const fn with_max_fragments(mut self, fragments: u32) -> Self {
        self.max_fragments = fragments;
        self
    }
}

impl Default for Limits {
    /// [`Limits::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}
