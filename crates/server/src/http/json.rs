//! JSON of the API. In: a body, or an answer. Out: what it says, or its text.
//!
//! Never: looks into what is published.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

pub(super) use fanfare_protocol::{Object, present};

use super::error::{ApiError, Refusal};

/// Reads a request from a body.
///
/// # Errors
///
/// [`Refusal::Malformed`], which names the field.
pub(super) fn parse<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let request = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.inner();
        if path == "." {
            Refusal::malformed(error)
        } else {
            Refusal::malformed(&format_args!("{path}: {error}"))
        }
    })?;
    json.end().map_err(|error| Refusal::malformed(&error))?;
    Ok(request)
}

/// The text of `answer`.
///
/// # Errors
///
/// [`ApiError::LimitExceeded`] past `bytes_max`; [`ApiError::Internal`] if the engine has given what is no
/// JSON for JSON.
pub(super) fn write(answer: &impl Serialize, bytes_max: usize) -> Result<Vec<u8>, ApiError> {
    let mut text = Bounded {
        bytes: Vec::new(),
        bytes_max,
    };
    match serde_json::to_writer(&mut text, answer) {
        Ok(()) => Ok(text.bytes),
        Err(error) if error.is_io() => Err(ApiError::LimitExceeded),
        Err(error) => {
            tracing::error!("no answer: {error}");
            Err(ApiError::Internal)
        }
    }
}

/// Takes so many bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.bytes_max - self.bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_cap() {
        assert_eq!(write(&"abc", 5).unwrap(), b"\"abc\"");
        assert_eq!(write(&"abc", 4), Err(ApiError::LimitExceeded));
    }
}
