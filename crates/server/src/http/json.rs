//! JSON of the API. In: a body, or an answer. Out: what it says, or its text.
//!
//! Never: looks into what is published.

use std::fmt;
use std::io::{self, Write};
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

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

/// A `T` that is written as an object: to serde alone an array of its fields would do.
#[derive(Debug, Default)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// A field that may be left out but whose `null` is a value.
pub(super) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
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
