//! What permessage-deflate's two sides may say in their handshake, and what comes of it (RFC 7692 §5–7),
//! as tables.
//!
//! Never: compresses anything.

use fanfare_codec::deflate::{
    DeflateAnswer, DeflateOffer, DeflatePolicy, DeflateTerms, OfferedClientWindow, WindowBits,
};
use fanfare_codec::handshake::{
    ClientHandshake, HeadLimits, MalformedExtensions, RequestDecoder, Response, ResponseDecoder,
    UpgradeFailed,
};

fn bits(bits: u8) -> WindowBits {
    WindowBits::new(bits).expect("8–15")
}

/// What `policy` answers to a request with these extension headers.
fn answer(
    policy: DeflatePolicy,
    headers: &[&str],
) -> Result<Option<DeflateAnswer>, MalformedExtensions> {
    let lines: String = headers
        .iter()
        .map(|value| format!("Sec-WebSocket-Extensions: {value}\r\n"))
        .collect();
    let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
    let request = RequestDecoder::new(HeadLimits::default())
        .decode(head.as_bytes())
        .expect("a head")
        .expect("whole");
    policy.answer(request.headers())
}

/// As "server bits, client bits", each with `+` if a window outlives a message.
fn shown(terms: DeflateTerms) -> String {
    let side = |side: fanfare_codec::deflate::DirectionTerms| {
        format!(
            "{}{}",
            side.window_bits,
            if side.takeover { "+" } else { "" }
        )
    };
    format!("{}, {}", side(terms.server), side(terms.client))
}

const ALL: DeflatePolicy = DeflatePolicy::DEFAULT;

#[test]
fn s7_1_a_server_answers_offers_as_the_rfc_shows() {
    let fresh = ALL.with_server_takeover(false);
    let small = ALL
        .with_server_window_bits_max(bits(11))
        .with_client_window_bits_max(bits(10));
    let table: &[(DeflatePolicy, &str, &str, &str)] = &[
        (ALL, "permessage-deflate", "permessage-deflate", "15+, 15+"),
        (
            ALL,
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate",
            "15+, 15+",
        ),
        (
            ALL,
            "permessage-deflate; client_max_window_bits; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10",
            "10+, 15+",
        ),
        (
            ALL,
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover",
            "15, 15+",
        ),
        (
            ALL,
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; client_no_context_takeover",
            "15+, 15",
        ),
        (
            ALL,
            "permessage-deflate; client_max_window_bits=9",
            "permessage-deflate; client_max_window_bits=9",
            "15+, 9+",
        ),
        (
            ALL,
            "permessage-deflate; server_max_window_bits=8; client_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=8; client_max_window_bits=8",
            "8+, 8+",
        ),
        (
            ALL,
            "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15",
            "permessage-deflate; server_max_window_bits=15",
            "15+, 15+",
        ),
        (
            ALL,
            "permessage-deflate; server_max_window_bits=\"1\\0\"",
            "permessage-deflate; server_max_window_bits=10",
            "10+, 15+",
        ),
        // Unasked (§7.1.1.1, §7.1.2.1).
        (
            fresh,
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover",
            "15, 15+",
        ),
        (
            fresh.with_client_takeover(false),
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "15, 15",
        ),
        (
            small,
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=11; client_max_window_bits=10",
            "11+, 10+",
        ),
        (
            small,
            "permessage-deflate; client_max_window_bits=12; server_max_window_bits=12",
            "permessage-deflate; server_max_window_bits=11; client_max_window_bits=10",
            "11+, 10+",
        ),
        // Who does not say `client_max_window_bits` may not be told (§7.1.2.2).
        (
            small,
            "permessage-deflate",
            "permessage-deflate; server_max_window_bits=11",
            "11+, 15+",
        ),
    ];
    for (policy, offer, expected, terms) in table {
        let answer = answer(*policy, &[offer]).expect("well-formed");
        let answer = answer.unwrap_or_else(|| panic!("{offer}: declined"));
        assert_eq!(answer.to_string(), *expected, "{offer}");
        assert_eq!(shown(answer.terms()), *terms, "{offer}");
    }
}

/// Everything that RFC 7692 §7 says an offer must not have.
const BAD_OFFERS: &[&str] = &[
    "permessage-deflate; x",
    "permessage-deflate; x=1",
    "permessage-deflate; Server_no_context_takeover",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; server_no_context_takeover=15",
    "permessage-deflate; server_no_context_takeover=true",
    "permessage-deflate; client_no_context_takeover=10",
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_max_window_bits=16",
    "permessage-deflate; server_max_window_bits=0",
    "permessage-deflate; server_max_window_bits=08",
    "permessage-deflate; server_max_window_bits=010",
    "permessage-deflate; server_max_window_bits=+9",
    "permessage-deflate; server_max_window_bits=-9",
    "permessage-deflate; server_max_window_bits=9.0",
    "permessage-deflate; server_max_window_bits=1e1",
    "permessage-deflate; server_max_window_bits=150",
    "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
    "permessage-deflate; server_max_window_bits=10; server_max_window_bits=11",
    "permessage-deflate; client_max_window_bits=7",
    "permessage-deflate; client_max_window_bits=16",
    "permessage-deflate; client_max_window_bits=09",
    "permessage-deflate; client_max_window_bits=x",
    "permessage-deflate; client_max_window_bits; client_max_window_bits",
    "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
    "permessage-deflate; client_max_window_bits=10; x=\"10\"",
    "Permessage-Deflate",
    "permessage-deflate2",
    "x-webkit-deflate-frame",
    "permessage-bzip2; client_max_window_bits",
];

#[test]
fn s7_a_server_declines_every_bad_offer_and_takes_the_good_one_behind_it() {
    for bad in BAD_OFFERS {
        assert_eq!(answer(ALL, &[bad]), Ok(None), "{bad}");
        let good = "permessage-deflate; server_max_window_bits=12";
        let joined = format!("{bad}, {good}");
        for headers in [&[joined.as_str()][..], &[bad, good], &["", bad, ",", good]] {
            let answer = answer(ALL, headers).expect("well-formed");
            let answer = answer.unwrap_or_else(|| panic!("{headers:?}: declined"));
            assert_eq!(shown(answer.terms()), "12+, 15+", "{headers:?}");
        }
    }
    assert_eq!(answer(ALL, &[]), Ok(None));
}

#[test]
fn s5_of_several_good_offers_the_first_is_accepted_and_too_small_a_window_is_not() {
    let offers = "permessage-deflate; server_max_window_bits=9, \
        permessage-deflate; server_no_context_takeover, permessage-deflate";
    let first = answer(ALL, &[offers]).expect("well-formed").expect("good");
    assert_eq!(shown(first.terms()), "9+, 15+");
    let choosy = ALL.with_server_window_bits_min(bits(10));
    let second = answer(choosy, &[offers])
        .expect("well-formed")
        .expect("good");
    assert_eq!(shown(second.terms()), "15, 15+");
    let only = "permessage-deflate; server_max_window_bits=9";
    assert_eq!(answer(choosy, &[only]), Ok(None));
}

#[test]
fn rfc6455_s9_1_a_malformed_list_fails_the_handshake_wherever_it_is_malformed() {
    for malformed in [
        "permessage-deflate; ",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=\"10",
        "permessage-deflate, x; y=\"a b\"",
        "permessage-deflate client_max_window_bits",
    ] {
        let error = answer(ALL, &[malformed]).expect_err(malformed);
        assert_eq!(Response::from(&error).status().0, 400);
        answer(ALL, &["permessage-deflate", malformed]).expect_err(malformed);
    }
}

#[test]
fn a_server_without_contexts_to_spare_answers_without_takeover() {
    let answer = answer(ALL, &["permessage-deflate"])
        .expect("well-formed")
        .expect("good")
        .without_server_takeover()
        .without_client_takeover();
    assert_eq!(
        answer.to_string(),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    );
    assert_eq!(shown(answer.terms()), "15, 15");
}

/// What a client makes of a 101 with this extension header.
fn verify(offers: &[DeflateOffer], chosen: &[&str]) -> Result<Option<String>, UpgradeFailed> {
    let nonce = *b"the sample nonce";
    let mut handshake = ClientHandshake::new("example.org", "/", nonce).expect("valid");
    for offer in offers {
        handshake = handshake.offer_deflate(*offer);
    }
    let lines: String = chosen
        .iter()
        .map(|value| format!("Sec-WebSocket-Extensions: {value}\r\n"))
        .collect();
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{lines}\r\n"
    );
    let response = ResponseDecoder::new(HeadLimits::default())
        .decode(head.as_bytes())
        .expect("a head")
        .expect("whole");
    let accepted = handshake.verify(&response)?;
    Ok(accepted.deflate.map(shown))
}

fn plain() -> DeflateOffer {
    DeflateOffer::default()
}

#[test]
fn s7_1_a_client_offers_as_it_is_told_and_takes_answers_that_fit() {
    let fixed = plain().with_client_max_window_bits(OfferedClientWindow::Fixed);
    let ten = plain().with_client_max_window_bits(OfferedClientWindow::AtMost(bits(10)));
    let table: &[(DeflateOffer, &str, &str, &str)] = &[
        (
            fixed,
            "permessage-deflate",
            "permessage-deflate",
            "15+, 15+",
        ),
        (
            plain(),
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate",
            "15+, 15+",
        ),
        (
            plain(),
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=\"9\"",
            "15+, 9+",
        ),
        (
            ten,
            "permessage-deflate; client_max_window_bits=10",
            "permessage-deflate",
            "15+, 10+",
        ),
        (
            ten,
            "permessage-deflate; client_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=8",
            "15+, 8+",
        ),
        (
            fixed,
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8",
            "8, 15",
        ),
        (
            fixed.without_server_takeover().without_client_takeover(),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover",
            "15, 15",
        ),
        (
            fixed.with_server_max_window_bits(bits(12)),
            "permessage-deflate; server_max_window_bits=12",
            "permessage-deflate; server_max_window_bits=12",
            "12+, 15+",
        ),
        (
            fixed.with_server_max_window_bits(bits(12)),
            "permessage-deflate; server_max_window_bits=12",
            "permessage-deflate; server_max_window_bits=9",
            "9+, 15+",
        ),
    ];
    for (offer, written, chosen, terms) in table {
        assert_eq!(offer.to_string(), *written);
        assert_eq!(
            verify(&[*offer], &[chosen]),
            Ok(Some((*terms).to_owned())),
            "{written} -> {chosen}"
        );
    }
    assert_eq!(verify(&[plain()], &[]), Ok(None), "declined");
}

#[test]
fn s5_1_a_client_refuses_what_is_no_answer_to_its_offer() {
    let fixed = plain().with_client_max_window_bits(OfferedClientWindow::Fixed);
    let ten = plain().with_client_max_window_bits(OfferedClientWindow::AtMost(bits(10)));
    let mut table: Vec<(DeflateOffer, &str)> =
        BAD_OFFERS.iter().map(|bad| (plain(), *bad)).collect();
    table.extend([
        (fixed, "permessage-deflate; client_max_window_bits=15"),
        (plain(), "permessage-deflate; client_max_window_bits"),
        (ten, "permessage-deflate; client_max_window_bits=11"),
        (fixed.without_server_takeover(), "permessage-deflate"),
        (
            fixed.with_server_max_window_bits(bits(12)),
            "permessage-deflate",
        ),
        (
            fixed.with_server_max_window_bits(bits(12)),
            "permessage-deflate; server_max_window_bits=13",
        ),
        (plain(), "permessage-deflate, permessage-deflate"),
        (plain(), "permessage-deflate, x"),
        (plain(), "x"),
        (plain(), "permessage-deflate;"),
    ]);
    for (offer, chosen) in table {
        assert_eq!(
            verify(&[offer], &[chosen]),
            Err(UpgradeFailed::Extension),
            "{offer} -> {chosen}"
        );
    }
    assert_eq!(
        verify(&[], &["permessage-deflate"]),
        Err(UpgradeFailed::Extension),
        "nothing was offered"
    );
    assert_eq!(
        verify(&[plain()], &["permessage-deflate", "permessage-deflate"]),
        Err(UpgradeFailed::Extension)
    );
}

#[test]
fn s5_a_client_may_offer_twice_and_the_answer_may_be_to_either() {
    let fixed = plain().with_client_max_window_bits(OfferedClientWindow::Fixed);
    let offers = [fixed.with_server_max_window_bits(bits(10)), fixed];
    let small = verify(&offers, &["permessage-deflate; server_max_window_bits=10"]);
    assert_eq!(small, Ok(Some("10+, 15+".to_owned())));
    assert_eq!(
        verify(&offers, &["permessage-deflate"]),
        Ok(Some("15+, 15+".to_owned()))
    );
    let mut request = Vec::new();
    let handshake = ClientHandshake::new("example.org", "/", [7; 16]).expect("valid");
    offers
        .iter()
        .fold(handshake, |handshake, offer| {
            handshake.offer_deflate(*offer)
        })
        .encode(&mut request);
    let request = String::from_utf8(request).expect("ASCII");
    assert!(request.contains(
        "\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10, permessage-deflate\r\n"
    ));
}

#[test]
fn both_sides_come_to_the_same_terms() {
    let flags = [false, true];
    let windows = [None, Some(8), Some(9), Some(12), Some(15)];
    let client_windows = [
        OfferedClientWindow::Fixed,
        OfferedClientWindow::Any,
        OfferedClientWindow::AtMost(bits(8)),
        OfferedClientWindow::AtMost(bits(11)),
    ];
    let mut agreed = 0;
    for (server, client) in flags
        .iter()
        .flat_map(|s| flags.iter().map(move |c| (*s, *c)))
    {
        for (window, client_window) in windows
            .iter()
            .flat_map(|w| client_windows.iter().map(move |c| (*w, *c)))
        {
            let mut offer = plain().with_client_max_window_bits(client_window);
            offer.server_no_context_takeover = server;
            offer.client_no_context_takeover = client;
            offer.server_max_window_bits = window.map(bits);
            for policy in [
                ALL,
                ALL.with_server_takeover(false)
                    .with_client_window_bits_max(bits(9)),
                ALL.with_client_takeover(false)
                    .with_server_window_bits_max(bits(9)),
            ] {
                let answer = answer(policy, &[&offer.to_string()])
                    .expect("well-formed")
                    .expect("good");
                let terms = verify(&[offer], &[&answer.to_string()]).expect("an answer");
                assert_eq!(terms, Some(shown(answer.terms())), "{offer} -> {answer}");
                agreed += 1;
            }
        }
    }
    assert_eq!(agreed, 4 * 20 * 3);
}
