//! Who a client is, as a JWT says (RFC 7519, 8725). In: a token, keys, the time. Out: its claims.
//!
//! | want | take |
//! |---|---|
//! | keys from a config or a JWK set | [`Keys`] |
//! | what a token says | [`Verifier`] |
//! | a token | [`Issuer`] |
//!
//! Never: takes the algorithm from the token; reads a clock; fetches a key.

mod algorithm;
mod claims;
mod issuer;
mod jwks;
mod keys;
mod payload;
mod refusal;
mod verifier;

#[cfg(test)]
mod tests;

pub use algorithm::{Algorithm, AlgorithmError, Algorithms, Family};
pub use claims::{Claims, Grant, Overrides, TokenKind};
pub use issuer::{IssueError, Issuer};
pub use keys::{KeyError, Keys};
pub use refusal::{Refusal, TokenError};
pub use verifier::{Demands, Verifier};
