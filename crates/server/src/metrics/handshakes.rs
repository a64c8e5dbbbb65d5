//! How handshakes of TLS end. In: ends. Out: sums, by version or by cause.
//!
//! Whoever has a session counts it, workers and the HTTP thread alike, on one set of numbers: a handshake costs a
//! signature, beside which an atomic addition is nothing.
//!
//! Never: counts a connection on which nothing came: a balancer looks at ports so.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsVersion {
    V12,
    V13,
}

impl TlsVersion {
    pub(super) const ALL: [(Self, &str); 2] = [(Self::V12, "1.2"), (Self::V13, "1.3")];
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsFailure {
    /// It began like plain HTTP.
    PlainHttp,
    /// No version, suite or group that both know.
    Incompatible,
    /// The client's certificate is missing, or not to be believed.
    ClientCertificate,
    /// The client has said no: it does not believe ours, for instance.
    Alert,
    /// What came breaks the protocol, or is none of it.
    Malformed,
    /// The client has left, or took too long.
    Unfinished,
}

impl TlsFailure {
    pub(super) const ALL: [(Self, &str); 6] = [
        (Self::PlainHttp, "plain_http"),
        (Self::Incompatible, "incompatible"),
        (Self::ClientCertificate, "client_certificate"),
        (Self::Alert, "alert"),
        (Self::Malformed, "malformed"),
        (Self::Unfinished, "unfinished"),
    ];
}

/// Handshakes that have ended, of all threads.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    completed: [AtomicU64; TlsVersion::ALL.len()],
    failed: [AtomicU64; TlsFailure::ALL.len()],
}

impl Handshakes {
    /// There is a session.
    pub(crate) fn completes(&self, version: TlsVersion) {
        self.completed[version as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// There will be none.
    pub(crate) fn fails(&self, failure: TlsFailure) {
        self.failed[failure as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Sessions that there were.
    pub(crate) fn completed(&self, version: TlsVersion) -> u64 {
        self.completed[version as usize].load(Ordering::Relaxed)
    }

    /// Handshakes that came to nothing.
    pub(crate) fn failed(&self, failure: TlsFailure) -> u64 {
        self.failed[failure as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_where_their_numbers_are() {
        for (n, (version, _)) in TlsVersion::ALL.iter().enumerate() {
            assert_eq!(*version as usize, n);
        }
        for (n, (failure, _)) in TlsFailure::ALL.iter().enumerate() {
            assert_eq!(*failure as usize, n);
        }
    }

    #[test]
    fn each_end_is_counted_in_its_place() {
        let handshakes = Handshakes::default();
        handshakes.completes(TlsVersion::V13);
        handshakes.fails(TlsFailure::Alert);
        handshakes.fails(TlsFailure::Alert);
        assert_eq!(handshakes.completed(TlsVersion::V12), 0);
        assert_eq!(handshakes.completed(TlsVersion::V13), 1);
        assert_eq!(handshakes.failed(TlsFailure::Alert), 2);
        assert_eq!(handshakes.failed(TlsFailure::PlainHttp), 0);
    }
}
