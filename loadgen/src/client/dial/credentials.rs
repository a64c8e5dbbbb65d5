//! What each connection says about itself in its request. In: flags and files. Out: headers and
//! subprotocols for connection `i`, which takes line `i` of each file, modulo its lines.
//!
//! Everything is checked before the run; a value is never printed, since it may be a secret.
//!
//! Never: opens a socket, sets a header that belongs to the upgrade.

use std::fs;
use std::path::Path;

use fanfare_codec::handshake::{ClientHandshake, InvalidHeader};

use super::{DialError, DialOptions};

/// Headers that the upgrade needs for itself, or that would make the server wait for a body.
const RESERVED: [&str; 5] = [
    "Host",
    "Upgrade",
    "Connection",
    "Content-Length",
    "Transfer-Encoding",
];
/// So are all that start like this.
const RESERVED_START: &str = "Sec-WebSocket-";

/// The connections' headers and subprotocols.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    subprotocols: Vec<String>,
    /// Of every connection.
    headers: Vec<Header>,
    /// Of single connections: a set a line, of each file that was given.
    lines: Vec<Vec<Box<[Header]>>>,
}

#[derive(Clone, Debug)]
struct Header {
    name: Box<str>,
    value: Box<str>,
}

/// Where a value came from, for error messages.
struct Place<'a> {
    flag: &'static str,
    file: Option<(&'a Path, usize)>,
}

impl Credentials {
    /// Those that the flags ask for; the files are read now.
    ///
    /// # Errors
    ///
    /// What is wrong with which flag, or with which line of which file.
    pub(super) fn load(options: &DialOptions) -> Result<Self, DialError> {
        let mut all = Self::default();
        for header in &options.headers {
            let place = Place::of("--header");
            all.headers.push(Header::parse(header, &place)?);
        }
        if let Some(path) = &options.headers_file {
            all.lines
                .push(each_line("--headers-file", path, |line, place| {
                    line.split('\t').map(|h| Header::parse(h, place)).collect()
                })?);
        }
        for protocol in &options.subprotocols {
            all.offer(protocol)?;
        }
        all.add_tokens(options)?;
        all.add_cookies(options)?;
        Ok(all)
    }

    fn offer(&mut self, protocol: &str) -> Result<(), DialError> {
        self.subprotocols.push(protocol.to_owned());
        self.subprotocols
            .iter()
            .try_fold(sample(), |request, offered| request.subprotocol(offered))
            .map_err(|_| {
                Place::of("--subprotocol").refuse("it is not a token, or offered twice")
            })?;
        Ok(())
    }

    fn add_tokens(&mut self, options: &DialOptions) -> Result<(), DialError> {
        let bearer = |token: &str, place: &Place<'_>| {
            check_token(token, place)?;
            Header::new("Authorization", &format!("Bearer {token}"), place)
        };
        if let Some(token) = &options.token {
            let place = Place::of("--token");
            self.refuse_second("Authorization", &place)?;
            self.headers.push(bearer(token, &place)?);
        }
        if let Some(path) = &options.tokens_file {
            self.refuse_second("Authorization", &Place::of("--tokens-file"))?;
            self.lines
                .push(each_line("--tokens-file", path, |line, place| {
                    Ok([bearer(line, place)?].into())
                })?);
        }
        Ok(())
    }

    fn add_cookies(&mut self, options: &DialOptions) -> Result<(), DialError> {
        if !options.cookies.is_empty() {
            let place = Place::of("--cookie");
            self.refuse_second("Cookie", &place)?;
            self.headers
                .push(cookie(&options.cookies.join("; "), &place)?);
        }
        if let Some(path) = &options.cookies_file {
            self.refuse_second("Cookie", &Place::of("--cookies-file"))?;
            self.lines
                .push(each_line("--cookies-file", path, |line, place| {
                    Ok([cookie(line, place)?].into())
                })?);
        }
        Ok(())
    }

    /// A header that may stand once (RFC 9110 §11.6.2, RFC 6265 §5.4) would stand twice.
    fn refuse_second(&self, name: &str, place: &Place<'_>) -> Result<(), DialError> {
        let sets = self.lines.iter().flatten();
        let mut headers = self.headers.iter().chain(sets.flat_map(|set| set.iter()));
        if headers.any(|header| header.name.eq_ignore_ascii_case(name)) {
            return Err(place.refuse(format_args!("another flag sets {name} already")));
        }
        Ok(())
    }

    /// `request` with all that connection `number` of the run adds to it.
    ///
    /// # Errors
    ///
    /// None, after [`load`](Self::load) has checked the same.
    pub(super) fn add_to(
        &self,
        mut request: ClientHandshake,
        number: usize,
    ) -> Result<ClientHandshake, InvalidHeader> {
        for protocol in &self.subprotocols {
            request = request.subprotocol(protocol)?;
        }
        let own = self.lines.iter().map(|lines| &lines[number % lines.len()]);
        for header in self.headers.iter().chain(own.flat_map(|set| set.iter())) {
            request = request.header(&header.name, &header.value)?;
        }
        Ok(request)
    }
}

impl Header {
    /// `Name: value`.
    fn parse(text: &str, place: &Place<'_>) -> Result<Self, DialError> {
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| place.refuse("a header is written 'Name: value'"))?;
        let is_reserved = RESERVED.iter().any(|r| r.eq_ignore_ascii_case(name))
            || name
                .get(..RESERVED_START.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_START));
        if is_reserved {
            return Err(place.refuse(format_args!("{name} is the upgrade's own header")));
        }
        Self::new(name, value.trim_matches([' ', '\t']), place)
    }

    fn new(name: &str, value: &str, place: &Place<'_>) -> Result<Self, DialError> {
        sample().header(name, value).map_err(|_| {
            place.refuse(
                "a header's name holds letters, digits and !#$%&'*+-.^_`|~, and its value no \
                 control character",
            )
        })?;
        Ok(Self {
            name: name.into(),
            value: value.into(),
        })
    }
}

/// Tokens that are sent behind the upgrade: `token`, or a line a connection of `file`.
///
/// # Errors
///
/// What is wrong with which flag, or with which line of the file.
pub(crate) fn load_tokens(
    token: Option<String>,
    file: Option<&Path>,
) -> Result<Vec<String>, DialError> {
    match (token, file) {
        (Some(_), Some(_)) => {
            Err(Place::of("--tokens-file").refuse("--token says what the token is already"))
        }
        (None, Some(file)) => each_line("--tokens-file", file, |line, place| {
            check_token(line, place)?;
            Ok(line.to_owned())
        }),
        (Some(token), None) => {
            check_token(&token, &Place::of("--token"))?;
            Ok(vec![token])
        }
        (None, None) => Ok(Vec::new()),
    }
}

fn check_token(token: &str, place: &Place<'_>) -> Result<(), DialError> {
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(place.refuse("a token is printable ASCII without white space"));
    }
    Ok(())
}

/// A `Cookie` header (RFC 6265 §4.2.1).
fn cookie(pairs: &str, place: &Place<'_>) -> Result<Header, DialError> {
    let is_pair = |pair: &str| {
        pair.split_once('=')
            .is_some_and(|(name, value)| sample().header(name, value).is_ok())
    };
    if !pairs.split(';').all(|pair| is_pair(pair.trim_matches(' '))) {
        return Err(place.refuse("cookies are written 'name=value; name=value'"));
    }
    Header::new("Cookie", pairs, place)
}

/// A request that headers are tried on.
fn sample() -> ClientHandshake {
    ClientHandshake::new("host", "/", [0; 16]).expect("host and path are valid")
}

/// The headers that `parse` makes of each line of a file.
fn each_line<T>(
    flag: &'static str,
    path: &Path,
    parse: impl Fn(&str, &Place<'_>) -> Result<T, DialError>,
) -> Result<Vec<T>, DialError> {
    let whole = |why: &dyn std::fmt::Display| {
        DialError::new(flag, format_args!("{}: {why}", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|error| whole(&error))?;
    if text.is_empty() {
        return Err(whole(&"the file is empty"));
    }
    let line = |(at, line): (usize, &str)| {
        let place = Place {
            flag,
            file: Some((path, at + 1)),
        };
        if line.is_empty() {
            return Err(place.refuse("the line is empty"));
        }
        parse(line, &place)
    };
    text.lines().enumerate().map(line).collect()
}

impl Place<'_> {
    const fn of(flag: &'static str) -> Self {
        Self { flag, file: None }
    }

    fn refuse(&self, why: impl std::fmt::Display) -> DialError {
        match self.file {
            None => DialError::new(self.flag, why),
            Some((path, line)) => {
                DialError::new(self.flag, format_args!("{}:{line}: {why}", path.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that goes with the test.
    struct File(std::path::PathBuf);

    impl File {
        fn new(name: &str, text: &str) -> Self {
            let name = format!("loadgen-credentials-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::write(&path, text).expect("the temporary folder can be written");
            Self(path)
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            fs::remove_file(&self.0).expect("it is ours");
        }
    }

    fn request(credentials: &Credentials, number: usize) -> String {
        let request = credentials.add_to(sample(), number).expect("checked");
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        String::from_utf8(bytes).expect("requests of tests are text")
    }

    #[test]
    fn a_connection_takes_its_line_modulo_the_lines() {
        let headers = File::new("headers", "X-A: 1\tX-B: 2\nX-A: 3\n");
        let tokens = File::new("tokens", "red\r\ngreen\r\nblue");
        let cookies = File::new("cookies", "id=1; theme=dark\nid=2\n");
        let credentials = Credentials::load(&DialOptions {
            headers: vec!["Origin: https://example.org".to_owned()],
            headers_file: Some(headers.0.clone()),
            tokens_file: Some(tokens.0.clone()),
            cookies_file: Some(cookies.0.clone()),
            subprotocols: vec!["b".to_owned(), "a".to_owned()],
            ..DialOptions::default()
        })
        .expect("all is valid");
        for (number, lines) in [
            (
                0,
                "X-A: 1\r\nX-B: 2\r\nAuthorization: Bearer red\r\nCookie: id=1; theme=dark\r\n",
            ),
            (
                1,
                "X-A: 3\r\nAuthorization: Bearer green\r\nCookie: id=2\r\n",
            ),
            (
                5,
                "X-A: 3\r\nAuthorization: Bearer blue\r\nCookie: id=2\r\n",
            ),
        ] {
            let request = request(&credentials, number);
            let lines = format!(
                "Origin: https://example.org\r\n{lines}Sec-WebSocket-Protocol: b, a\r\n\r\n"
            );
            assert!(request.ends_with(&lines), "{number}: {request}");
        }
    }

    #[test]
    fn one_set_for_all_is_the_same_for_each() {
        let credentials = Credentials::load(&DialOptions {
            token: Some("t.o-k_e~n+/=".to_owned()),
            cookies: vec!["a=b".to_owned(), "c=d".to_owned()],
            ..DialOptions::default()
        })
        .expect("all is valid");
        for number in [0, 7] {
            let request = request(&credentials, number);
            let lines = "Authorization: Bearer t.o-k_e~n+/=\r\nCookie: a=b; c=d\r\n\r\n";
            assert!(request.ends_with(lines), "{request}");
        }
    }

    #[test]
    fn what_could_break_out_of_its_line_is_refused() {
        let header = |text: &str| DialOptions {
            headers: vec![text.to_owned()],
            ..DialOptions::default()
        };
        for text in [
            "",
            "X-A",
            ": 1",
            "X A: 1",
            "X-A : 1",
            "X-A: 1\r\nX-B: 2",
            "X-A: 1\n",
            "X-\u{e9}: 1",
            "X-A: \0",
            "Host: other",
            "upgrade: h2c",
            "CONNECTION: close",
            "sec-websocket-key: x",
            "Sec-WebSocket-Extensions: permessage-deflate",
            "Content-Length: 5",
            "Transfer-Encoding: chunked",
        ] {
            let error = Credentials::load(&header(text))
                .expect_err(text)
                .to_string();
            assert!(error.starts_with("--header: "), "{text:?}: {error}");
        }
        for (options, flag) in [
            (
                DialOptions {
                    token: Some("a b".to_owned()),
                    ..DialOptions::default()
                },
                "--token: ",
            ),
            (
                DialOptions {
                    token: Some(String::new()),
                    ..DialOptions::default()
                },
                "--token: ",
            ),
            (
                DialOptions {
                    cookies: vec!["a".to_owned()],
                    ..DialOptions::default()
                },
                "--cookie: ",
            ),
            (
                DialOptions {
                    cookies: vec!["a=b\r\nX: y".to_owned()],
                    ..DialOptions::default()
                },
                "--cookie: ",
            ),
            (
                DialOptions {
                    subprotocols: vec!["a b".to_owned()],
                    ..DialOptions::default()
                },
                "--subprotocol: ",
            ),
            (
                DialOptions {
                    subprotocols: vec!["a".to_owned(), "a".to_owned()],
                    ..DialOptions::default()
                },
                "--subprotocol: ",
            ),
            (
                DialOptions {
                    headers: vec!["authorization: Basic x".to_owned()],
                    token: Some("t".to_owned()),
                    ..DialOptions::default()
                },
                "--token: ",
            ),
            (
                DialOptions {
                    headers: vec!["Cookie: a=b".to_owned()],
                    cookies: vec!["c=d".to_owned()],
                    ..DialOptions::default()
                },
                "--cookie: ",
            ),
        ] {
            let error = Credentials::load(&options).expect_err(flag).to_string();
            assert!(error.starts_with(flag), "{options:?}: {error}");
        }
    }

    #[test]
    fn a_bad_line_is_named_with_its_file() {
        for (name, text, line, part) in [
            ("reserved", "X-A: 1\nHost: b\n", ":2: ", "Host"),
            ("empty-line", "X-A: 1\n\nX-A: 2\n", ":2: ", "empty"),
            ("stray-return", "X-A: 1\rX-B: 2\n", ":1: ", "control"),
            ("empty", "", ": ", "empty"),
        ] {
            let file = File::new(name, text);
            let options = DialOptions {
                headers_file: Some(file.0.clone()),
                ..DialOptions::default()
            };
            let error = Credentials::load(&options).expect_err(name).to_string();
            let start = format!("--headers-file: {}{line}", file.0.display());
            assert!(error.starts_with(&start), "{error}");
            assert!(error.contains(part), "{error}");
        }
        let options = DialOptions {
            tokens_file: Some("/nowhere/at/all".into()),
            ..DialOptions::default()
        };
        let error = Credentials::load(&options)
            .expect_err("no file")
            .to_string();
        assert!(
            error.starts_with("--tokens-file: /nowhere/at/all: "),
            "{error}"
        );
    }
}
