//! Reads that nothing but the peer ends. In: a socket. Out: what `read` gives.
//!
//! Never: gives `Interrupted`: a `recv` with a timeout is not taken up again when the machine stops the process
//! for a moment and lets it go on (signal(7)).

use std::io::{self, Read};

/// [`Read::read`], again as long as it was interrupted.
///
/// # Errors
///
/// Those of the socket.
pub fn read(socket: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
