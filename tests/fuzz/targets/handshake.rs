//! Any bytes as a request and as a response, whole and cut: the same outcome; and what we answer is
//! itself a head that we accept.
//!
//! Input: a byte n, n cuts (two bytes each, big-endian), then the head.
//!
//! Never: judges which requests are to be accepted; the conformance catalogue does.
#![no_main]

use fanfare_codec::handshake::{
    ClientHandshake, HeadError, HeadLimits, Request, RequestDecoder, Response, ResponseDecoder,
    ResponseHead, Status,
};
use libfuzzer_sys::fuzz_target;

const LIMITS: HeadLimits = HeadLimits::DEFAULT
    .with_max_head_bytes(1_024)
    .with_max_headers(12);
const PROTOCOLS: [&str; 2] = ["chat", "superchat"];

fuzz_target!(|input: &[u8]| {
    let [cuts, rest @ ..] = input else { return };
    let cut_bytes = usize::from(cuts % 8) * 2;
    if rest.len() < cut_bytes {
        return;
    }
    let (cuts, head) = rest.split_at(cut_bytes);
    let mut ends: Vec<usize> = cuts
        .chunks_exact(2)
        .map(|pair| usize::from(u16::from_be_bytes([pair[0], pair[1]])) % (head.len() + 1))
        .chain([head.len()])
        .collect();
    ends.sort_unstable();

    let request = request(head, &[head.len()]);
    assert_eq!(request, self::request(head, &ends), "request, cut");
    assert_eq!(
        request,
        self::request(head, &singles(head)),
        "request, byte by byte"
    );
    let response = response(head, &[head.len()]);
    assert_eq!(response, self::response(head, &ends), "response, cut");
    assert_eq!(
        response,
        self::response(head, &singles(head)),
        "response, byte by byte"
    );
});

fn singles(head: &[u8]) -> Vec<usize> {
    (0..=head.len()).collect()
}

/// What a server says to `head`, shown up to each of `ends`.
fn request(head: &[u8], ends: &[usize]) -> String {
    let mut decoder = RequestDecoder::new(LIMITS);
    for &end in ends {
        match decoder.decode(&head[..end]) {
            Ok(None) => assert!(end < LIMITS.max_head_bytes, "{end} bytes and no end"),
            Ok(Some(request)) => return judge_request(&head[..end], &request),
            Err(error) => return refused(error),
        }
    }
    "unfinished".to_owned()
}

fn refused(error: HeadError) -> String {
    let response = Response::from(&error);
    assert!((400..600).contains(&response.status().0));
    assert_readable(&response, response.status());
    format!("{error:?} {error}")
}

fn judge_request(bytes: &[u8], request: &Request<'_>) -> String {
    let head = &bytes[..request.head_len()];
    assert!(head.len() <= LIMITS.max_head_bytes && head.ends_with(b"\r\n\r\n"));
    assert!(!head.contains(&0), "a NUL in an accepted head");
    assert!(
        head.iter()
            .enumerate()
            .all(|(i, &b)| b != b'\n' || head[i - 1] == b'\r'),
        "a bare LF"
    );
    assert!(request.headers().iter().count() <= LIMITS.max_headers);
    let outcome = match request.upgrade() {
        Ok(upgrade) => {
            assert_eq!(request.method(), "GET");
            assert!(request.path().starts_with('/') && !request.path().contains(['?', '#']));
            assert!(request.wants_websocket());
            let mut response = Response::switching_protocols(&upgrade);
            if let Some(protocol) = upgrade.select_protocol(&PROTOCOLS) {
                response = response
                    .subprotocol(protocol)
                    .expect("one of ours is a token");
            }
            assert_readable(&response, Status::SWITCHING_PROTOCOLS);
            format!(
                "{:?} {:?}",
                upgrade.protocols().collect::<Vec<_>>(),
                upgrade.origin()
            )
        }
        Err(error) => {
            let response = Response::from(&error);
            assert!((400..600).contains(&response.status().0));
            assert_readable(&response, response.status());
            format!("{error:?}")
        }
    };
    format!(
        "{request:?} {:?} {:?} {outcome}",
        request.path(),
        request.query()
    )
}

/// What we send is a head that our own client can read.
fn assert_readable(response: &Response, status: Status) {
    let mut bytes = Vec::new();
    response.encode(&mut bytes);
    let head = ResponseDecoder::new(HeadLimits::default()).decode(&bytes);
    let head = head.expect("well-formed").expect("whole");
    assert_eq!(head.status(), status);
}

/// What a client makes of `head`, shown up to each of `ends`.
fn response(head: &[u8], ends: &[usize]) -> String {
    let mut decoder = ResponseDecoder::new(LIMITS);
    for &end in ends {
        match decoder.decode(&head[..end]) {
            Ok(None) => assert!(end < LIMITS.max_head_bytes, "{end} bytes and no end"),
            Ok(Some(response)) => return judge_response(&response),
            Err(error) => return format!("{error:?}"),
        }
    }
    "unfinished".to_owned()
}

fn judge_response(response: &ResponseHead<'_>) -> String {
    let mut handshake =
        ClientHandshake::new("localhost", "/", *b"the sample nonce").expect("a good host");
    for protocol in PROTOCOLS {
        handshake = handshake.subprotocol(protocol).expect("a token");
    }
    let verdict = handshake.verify(response);
    if let Ok(accepted) = &verdict {
        assert_eq!(response.status(), Status::SWITCHING_PROTOCOLS);
        assert!(
            accepted
                .protocol
                .is_none_or(|protocol| PROTOCOLS.contains(&protocol))
        );
    }
    format!("{response:?} {verdict:?}")
}
