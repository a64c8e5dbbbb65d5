//! Limits of the config that somebody has met. In: nothing. Out: names for the log, for metrics, and for whoever is
//! turned away.
//!
//! Never: decides whether a limit is met.

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    Connections,
    ConnectionsPerAddress,
    ConnectionsPerUser,
    NewConnections,
    /// The process, or the machine, has no more.
    Descriptors,
    HandshakeTime,
    HandshakeBytes,
    /// A handshake came more slowly than it may.
    HandshakeRate,
    Messages,
    Fragments,
    Commands,
    /// Compressed messages that have begun to come.
    HalfReceived,
    /// What those are inflated to so far.
    HalfReceivedBytes,
    /// One of those has taken too long.
    HalfReceivedTime,
    /// One client's.
    Output,
    /// That of all together.
    OutputInAll,
}

impl Exceeded {
    pub(crate) const ALL: [Self; 16] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::ConnectionsPerUser,
        Self::NewConnections,
        Self::Descriptors,
        Self::HandshakeTime,
        Self::HandshakeBytes,
        Self::HandshakeRate,
        Self::Messages,
        Self::Fragments,
        Self::Commands,
        Self::HalfReceived,
        Self::HalfReceivedBytes,
        Self::HalfReceivedTime,
        Self::Output,
        Self::OutputInAll,
    ];

    /// The key of the config that sets it, without its table.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Connections => "max_connections",
            Self::ConnectionsPerAddress => "max_connections_per_address",
            Self::ConnectionsPerUser => "max_connections_per_user",
            Self::NewConnections => "max_new_connections_per_second",
            Self::Descriptors => "descriptors",
            Self::HandshakeTime => "handshake_timeout",
            Self::HandshakeBytes => "max_handshake_bytes",
            Self::HandshakeRate => "min_handshake_bytes_per_second",
            Self::Messages => "max_messages_per_second",
            Self::Fragments => "max_fragments_per_second",
            Self::Commands => "max_commands_per_second",
            Self::HalfReceived => "max_half_received",
            Self::HalfReceivedBytes => "max_half_received_bytes",
            Self::HalfReceivedTime => "half_received_timeout",
            Self::Output => "max_output_bytes",
            Self::OutputInAll => "max_output_bytes_in_all",
        }
    }

    /// Why a client is turned away, for the client.
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::Connections => "too many connections",
            Self::ConnectionsPerAddress => "too many connections of your address",
            Self::ConnectionsPerUser => "too many connections of this user",
            Self::NewConnections => "too many new connections at the moment",
            Self::Descriptors => "no more connections can be opened",
            Self::HandshakeTime => "the request took too long",
            Self::HandshakeBytes => "the request is too long",
            Self::HandshakeRate => "the request came too slowly",
            Self::Messages => "too many messages a second",
            Self::Fragments => "too many fragments or control frames a second",
            Self::Commands => "too many commands a second",
            Self::HalfReceived => "too many compressed messages are under way",
            Self::HalfReceivedBytes => "too much of compressed messages is under way",
            Self::HalfReceivedTime => "a compressed message took too long",
            Self::Output | Self::OutputInAll => "slow: too much waits to be read",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_a_place_and_a_name_of_its_own() {
        for (place, exceeded) in Exceeded::ALL.into_iter().enumerate() {
            assert_eq!(exceeded as usize, place);
        }
        let keys: BTreeSet<_> = Exceeded::ALL.map(Exceeded::key).into();
        assert_eq!(keys.len(), Exceeded::ALL.len());
    }

    #[test]
    fn those_that_are_set_have_their_key_in_the_default_file() {
        for exceeded in Exceeded::ALL {
            let key = exceeded.key();
            let is_there = crate::config::DEFAULT_FILE.lines().any(|line| {
                line.trim_start_matches('#')
                    .starts_with(&format!("{key} = "))
            });
            assert_eq!(is_there, exceeded != Exceeded::Descriptors, "{key}");
        }
    }
}
