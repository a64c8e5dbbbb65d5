//! Who may ask for what (RFC 7692 §5–7). In: the extensions that a request lists, or those of a response.
//! Out: the terms and the answer, or why the connection must fail.
//!
//! Never: takes an offer that it does not understand to the last parameter; sends.

use core::fmt;

use super::{DeflateTerms, DirectionTerms, WindowBits};
use crate::handshake::{Extension, Headers, MalformedExtensions};

/// The name that is registered (§8.1).
const NAME: &str = "permessage-deflate";

/// What a server accepts, and what it asks of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeflatePolicy {
    /// The server's messages may refer to those before them, unless a client refuses.
    pub server_takeover: bool,
    /// The same of a client's messages.
    pub client_takeover: bool,
    /// The largest window to deflate with.
    pub server_window_bits_max: WindowBits,
    /// An offer that allows the server no more than a smaller one is declined: not worth its while.
    pub server_window_bits_min: WindowBits,
    /// The largest window of clients that let themselves be told; others take 32 KiB.
    pub client_window_bits_max: WindowBits,
}

impl DeflatePolicy {
    /// Takeover and windows of 32 KiB for whoever wants them.
    pub const DEFAULT: Self = Self {
        server_takeover: true,
        client_takeover: true,
        server_window_bits_max: WindowBits::MAX,
        server_window_bits_min: WindowBits::MIN,
        client_window_bits_max: WindowBits::MAX,
    };

    /// With [`server_takeover`](Self::server_takeover) or without.
    #[must_use]
    pub const fn with_server_takeover(mut self, allowed: bool) -> Self {
        self.server_takeover = allowed;
        self
    }

    /// With [`client_takeover`](Self::client_takeover) or without.
    #[must_use]
    pub const fn with_client_takeover(mut self, allowed: bool) -> Self {
        self.client_takeover = allowed;
        self
    }

    /// With another [`server_window_bits_max`](Self::server_window_bits_max).
    #[must_use]
    pub const fn with_server_window_bits_max(mut self, bits: WindowBits) -> Self {
        self.server_window_bits_max = bits;
        self
    }

    /// With another [`server_window_bits_min`](Self::server_window_bits_min).
    #[must_use]
    pub const fn with_server_window_bits_min(mut self, bits: WindowBits) -> Self {
        self.server_window_bits_min = bits;
        self
    }

    /// With another [`client_window_bits_max`](Self::client_window_bits_max).
    #[must_use]
    pub const fn with_client_window_bits_max(mut self, bits: WindowBits) -> Self {
        self.client_window_bits_max = bits;
        self
    }

    /// The answer to the first offer of a request that can be accepted (§5.1); `None` if none can, or
    /// none is there, and then nothing is compressed.
    ///
    /// ```
    /// use fanfare_codec::deflate::DeflatePolicy;
    /// use fanfare_codec::handshake::{HeadLimits, RequestDecoder};
    ///
    /// let head = b"GET / HTTP/1.1\r\nSec-WebSocket-Extensions: permessage-deflate; \
    ///     client_max_window_bits; server_max_window_bits=10\r\n\r\n";
    /// let request = RequestDecoder::new(HeadLimits::default()).decode(head)?.expect("whole");
    /// let policy = DeflatePolicy::DEFAULT.with_server_takeover(false);
    /// let answer = policy.answer(request.headers())?.expect("a good offer");
    /// assert_eq!(
    ///     answer.to_string(),
    ///     "permessage-deflate; server_no_context_takeover; server_max_window_bits=10"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MalformedExtensions`], wherever in the list: no connection may come of it.
    pub fn answer(
        &self,
        request: &Headers<'_>,
    ) -> Result<Option<DeflateAnswer>, MalformedExtensions> {
        let mut answer = None;
        for extension in request.extensions() {
            let extension = extension?;
            if answer.is_none() && extension.name() == NAME {
                answer = Params::read(&extension).and_then(|params| self.accept(params));
            }
        }
        Ok(answer)
    }

    /// The answer to one offer.
    fn accept(&self, offer: Params) -> Option<DeflateAnswer> {
        let server_bits = match offer.server_max_window_bits {
            None => self.server_window_bits_max,
            Some(asked) => asked?.min(self.server_window_bits_max),
        };
        if server_bits < self.server_window_bits_min {
            return None;
        }
        let client_bits = match offer.client_max_window_bits {
            // Not a word of it: it may not be told a size (§7.1.2.2).
            None => WindowBits::MAX,
            Some(hint) => hint.map_or(self.client_window_bits_max, |hint| {
                hint.min(self.client_window_bits_max)
            }),
        };
        let terms = DeflateTerms {
            server: DirectionTerms {
                takeover: self.server_takeover && !offer.server_no_context_takeover,
                window_bits: server_bits,
            },
            client: DirectionTerms {
                takeover: self.client_takeover && !offer.client_no_context_takeover,
                window_bits: client_bits,
            },
        };
        Some(DeflateAnswer {
            terms,
            names_server_bits: offer.server_max_window_bits.is_some()
                || server_bits < WindowBits::MAX,
            names_client_bits: client_bits < WindowBits::MAX,
        })
    }
}

impl Default for DeflatePolicy {
    /// [`DeflatePolicy::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A server's answer to the offer that it accepts; shown as the value of `Sec-WebSocket-Extensions`.
///
/// [`Response::deflate`](crate::handshake::Response::deflate) sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateAnswer {
    terms: DeflateTerms,
    names_server_bits: bool,
    names_client_bits: bool,
}

impl DeflateAnswer {
    /// What holds once it is sent.
    #[must_use]
    pub const fn terms(&self) -> DeflateTerms {
        self.terms
    }

    /// The same without takeover by the server's messages, which may be answered to any offer
    /// (§7.1.1.1): for a server whose contexts are all taken.
    #[must_use]
    pub const fn without_server_takeover(mut self) -> Self {
        self.terms.server.takeover = false;
        self
    }

    /// The same without takeover by the client's messages (§7.1.1.2).
    #[must_use]
    pub const fn without_client_takeover(mut self) -> Self {
        self.terms.client.takeover = false;
        self
    }
}

impl fmt::Display for DeflateAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeflateTerms { server, client } = self.terms;
        f.write_str(NAME)?;
        write_flag(f, "server_no_context_takeover", !server.takeover)?;
        write_flag(f, "client_no_context_takeover", !client.takeover)?;
        if self.names_server_bits {
            write!(f, "; server_max_window_bits={}", server.window_bits)?;
        }
        if self.names_client_bits {
            write!(f, "; client_max_window_bits={}", client.window_bits)?;
        }
        Ok(())
    }
}

/// What a client offers; shown as an element of `Sec-WebSocket-Extensions`.
///
/// [`ClientHandshake::offer_deflate`](crate::handshake::ClientHandshake::offer_deflate) sends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeflateOffer {
    /// The server must not refer to earlier messages: the client keeps no window for it.
    pub server_no_context_takeover: bool,
    /// The client will not, whatever the server says.
    pub client_no_context_takeover: bool,
    /// The server's window must not be larger.
    pub server_max_window_bits: Option<WindowBits>,
    /// Whether the server may choose the client's window.
    pub client_max_window_bits: OfferedClientWindow,
}

/// What a client says of its own window (§7.1.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OfferedClientWindow {
    /// It is 32 KiB, and the server has no say.
    Fixed,
    /// The server may say how large it is at most.
    #[default]
    Any,
    /// The same, and it is no larger than this in any case.
    AtMost(WindowBits),
}

impl DeflateOffer {
    /// With [`server_no_context_takeover`](Self::server_no_context_takeover).
    #[must_use]
    pub const fn without_server_takeover(mut self) -> Self {
        self.server_no_context_takeover = true;
        self
    }

    /// With [`client_no_context_takeover`](Self::client_no_context_takeover).
    #[must_use]
    pub const fn without_client_takeover(mut self) -> Self {
        self.client_no_context_takeover = true;
        self
    }

    /// With [`server_max_window_bits`](Self::server_max_window_bits).
    #[must_use]
    pub const fn with_server_max_window_bits(mut self, bits: WindowBits) -> Self {
        self.server_max_window_bits = Some(bits);
        self
    }

    /// With another [`client_max_window_bits`](Self::client_max_window_bits).
    #[must_use]
    pub const fn with_client_max_window_bits(mut self, window: OfferedClientWindow) -> Self {
        self.client_max_window_bits = window;
        self
    }

    /// The terms, if `answer` is one to this offer.
    fn terms(&self, answer: Params) -> Option<DeflateTerms> {
        // What was asked for must be granted, in so many words (§7.1.1.1, §7.1.2.1).
        let server_bits = match (self.server_max_window_bits, answer.server_max_window_bits) {
            (None, None) => WindowBits::MAX,
            (Some(_), None) => return None,
            (None, Some(granted)) => granted?,
            (Some(asked), Some(granted)) => granted.filter(|granted| *granted <= asked)?,
        };
        if self.server_no_context_takeover && !answer.server_no_context_takeover {
            return None;
        }
        let own_max = match self.client_max_window_bits {
            OfferedClientWindow::Fixed | OfferedClientWindow::Any => WindowBits::MAX,
            OfferedClientWindow::AtMost(bits) => bits,
        };
        let client_bits = match answer.client_max_window_bits {
            None => own_max,
            Some(_) if self.client_max_window_bits == OfferedClientWindow::Fixed => return None,
            Some(told) => told.filter(|told| *told <= own_max)?,
        };
        Some(DeflateTerms {
            server: DirectionTerms {
                takeover: !answer.server_no_context_takeover,
                window_bits: server_bits,
            },
            client: DirectionTerms {
                takeover: !answer.client_no_context_takeover && !self.client_no_context_takeover,
                window_bits: client_bits,
            },
        })
    }
}

impl fmt::Display for DeflateOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        write_flag(
            f,
            "server_no_context_takeover",
            self.server_no_context_takeover,
        )?;
        write_flag(
            f,
            "client_no_context_takeover",
            self.client_no_context_takeover,
        )?;
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        match self.client_max_window_bits {
            OfferedClientWindow::Fixed => Ok(()),
            OfferedClientWindow::Any => f.write_str("; client_max_window_bits"),
            OfferedClientWindow::AtMost(bits) => write!(f, "; client_max_window_bits={bits}"),
        }
    }
}

/// The terms that a response's extensions mean to a client that made `offers`: `None` if there are no
/// extensions.
///
/// # Errors
///
/// [`ContradictoryAnswer`]: anything but the answer to one of the offers (§5.1, RFC 6455 §4.1).
pub(crate) fn verify(
    response: &Headers<'_>,
    offers: &[DeflateOffer],
) -> Result<Option<DeflateTerms>, ContradictoryAnswer> {
    let mut terms = None;
    for extension in response.extensions() {
        let extension = extension.map_err(|_| ContradictoryAnswer)?;
        if extension.name() != NAME || terms.is_some() {
            return Err(ContradictoryAnswer);
        }
        let answer = Params::read(&extension).ok_or(ContradictoryAnswer)?;
        let meant = offers.iter().find_map(|offer| offer.terms(answer));
        terms = Some(meant.ok_or(ContradictoryAnswer)?);
    }
    Ok(terms)
}

/// The server has chosen what was not offered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContradictoryAnswer;

/// The parameters of an offer or an answer, each as it was given; of the window sizes the outer `Option`
/// says whether the parameter is there, the inner one whether it has a value.
#[derive(Clone, Copy, Default)]
struct Params {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<Option<WindowBits>>,
    client_max_window_bits: Option<Option<WindowBits>>,
}

impl Params {
    /// `None` if one is unknown, stands there twice or has a value that it may not have (§7).
    fn read(extension: &Extension<'_>) -> Option<Self> {
        let mut params = Self::default();
        for param in extension.params() {
            let bits = match param.value.as_deref() {
                None => None,
                Some(value) => Some(WindowBits::parse(value)?),
            };
            match param.name {
                "server_no_context_takeover" if param.value.is_none() => {
                    set_flag(&mut params.server_no_context_takeover)?;
                }
                "client_no_context_takeover" if param.value.is_none() => {
                    set_flag(&mut params.client_no_context_takeover)?;
                }
                "server_max_window_bits" => set(&mut params.server_max_window_bits, bits)?,
                "client_max_window_bits" => set(&mut params.client_max_window_bits, bits)?,
                _ => return None,
            }
        }
        Some(params)
    }
}

/// `None` if it was set before.
fn set_flag(flag: &mut bool) -> Option<()> {
    let was_set = core::mem::replace(flag, true);
    (!was_set).then_some(())
}

/// `None` if it was set before.
fn set<T>(place: &mut Option<T>, value: T) -> Option<()> {
    let before = place.replace(value);
    before.is_none().then_some(())
}

fn write_flag(f: &mut fmt::Formatter<'_>, name: &str, is_set: bool) -> fmt::Result {
    if is_set {
        write!(f, "; {name}")?;
    }
    Ok(())
}
