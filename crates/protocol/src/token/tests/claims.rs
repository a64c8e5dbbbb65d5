//! What tokens say: when they hold, for whom, and what they carry.
//!
//! Never: checks a signature.

use super::*;

fn demanding(audience: Option<&str>, issuer: Option<&str>, leeway: u64) -> Verifier {
    let demands = Demands {
        audience: audience.map(Into::into),
        issuer: issuer.map(Into::into),
        leeway: Duration::from_secs(leeway),
    };
    Verifier::new(keys(Algorithm::Hs256), demands)
}

fn bytes(json: &str) -> Option<bytes::Bytes> {
    Some(bytes::Bytes::copy_from_slice(json.as_bytes()))
}

#[test]
fn rfc7519_4_1_4_a_token_expires_at_its_exp() {
    for (exp, found) in [
        (json!(NOW_SECONDS + 1), None),
        (json!(NOW_SECONDS), Some(Refusal::Expired)),
        (json!(NOW_SECONDS - 1), Some(Refusal::Expired)),
        (json!(NOW_SECONDS as f64 + 0.5), None),
        (json!(NOW_SECONDS as f64 - 0.5), Some(Refusal::Expired)),
        (json!(0), Some(Refusal::Expired)),
        (json!(-1), Some(Refusal::Expired)),
        (json!(1e300), None),
        (json!(u64::MAX), None),
        (Value::Null, None),
        (json!("1800000000"), Some(Refusal::Claims)),
        (json!(true), Some(Refusal::Claims)),
    ] {
        let payload = json!({"sub": "ada", "exp": exp});
        assert_eq!(examine(&payload).err(), found, "{payload}");
    }
    let expired = token(&json!({"exp": 1}));
    let told = verifier(Algorithm::Hs256).verify(TokenKind::Connection, &expired, NOW);
    assert_eq!(told, Err(TokenError::Expired));
}

#[test]
fn a_token_has_expired_only_if_everything_else_is_right() {
    let exp = 1;
    for (payload, found) in [
        (json!({"exp": exp, "nbf": NOW_SECONDS + 9}), Refusal::NotYet),
        (
            json!({"exp": exp, "aud": "other", "iss": "me"}),
            Refusal::Audience,
        ),
        (
            json!({"exp": exp, "aud": "us", "iss": "other"}),
            Refusal::Issuer,
        ),
        (json!({"exp": exp, "channel": "a"}), Refusal::Kind),
        (json!({"exp": exp, "sub": 1}), Refusal::Claims),
        (json!({"exp": exp, "b64info": "?"}), Refusal::Claims),
    ] {
        let mut payload = payload;
        let claims = payload.as_object_mut().expect("an object");
        claims.entry("aud").or_insert_with(|| json!("us"));
        claims.entry("iss").or_insert_with(|| json!("me"));
        let verifier = demanding(Some("us"), Some("me"), 0);
        let kind = Some(TokenKind::Connection);
        let refused = verifier.examine(kind, &token(&payload), NOW);
        assert_eq!(refused, Err(found), "{payload}");
        let told = verifier.verify(TokenKind::Connection, &token(&payload), NOW);
        assert_eq!(told, Err(TokenError::Invalid), "{payload}");
    }
    let forged = signed(Algorithm::Hs256, OTHER, HS256, r#"{"exp":1}"#);
    let found = verifier(Algorithm::Hs256).examine(None, &forged, NOW);
    assert_eq!(found, Err(Refusal::Signature));
}

#[test]
fn rfc7519_4_1_5_a_token_does_not_hold_before_its_nbf() {
    for (nbf, found) in [
        (json!(NOW_SECONDS), None),
        (json!(NOW_SECONDS - 1), None),
        (json!(NOW_SECONDS + 1), Some(Refusal::NotYet)),
        (json!(-5), None),
        (json!("soon"), Some(Refusal::Claims)),
    ] {
        let payload = json!({ "nbf": nbf });
        assert_eq!(examine(&payload).err(), found, "{payload}");
    }
}

#[test]
fn iat_says_nothing() {
    for iat in [
        json!(NOW_SECONDS + 1000),
        json!(0),
        json!("then"),
        json!([]),
    ] {
        let payload = json!({"sub": "ada", "iat": iat, "jti": 5});
        assert!(examine(&payload).is_ok(), "{payload}");
    }
}

#[test]
fn leeway_stretches_both_ends() {
    let verifier = demanding(None, None, 30);
    for (payload, found) in [
        (json!({"exp": NOW_SECONDS - 29}), None),
        (json!({"exp": NOW_SECONDS - 30}), Some(Refusal::Expired)),
        (json!({"nbf": NOW_SECONDS + 30}), None),
        (json!({"nbf": NOW_SECONDS + 31}), Some(Refusal::NotYet)),
    ] {
        let refused = verifier.examine(None, &token(&payload), NOW);
        assert_eq!(refused.err(), found, "{payload}");
    }
}

#[test]
fn rfc7519_4_1_3_another_audience_is_refused() {
    let verifier = demanding(Some("us"), None, 0);
    for (aud, is_taken) in [
        (json!("us"), true),
        (json!(["them", "us"]), true),
        (json!("US"), false),
        (json!("them"), false),
        (json!(["them"]), false),
        (json!([]), false),
        (json!(["us", 1]), false),
        (json!([["us"]]), false),
        (json!({"us": "us"}), false),
        (Value::Null, false),
    ] {
        let payload = json!({ "aud": aud });
        let found = verifier.examine(None, &token(&payload), NOW).err();
        let expected = (!is_taken).then_some(Refusal::Audience);
        assert_eq!(found, expected, "{payload}");
        assert!(examine(&payload).is_ok(), "nobody asked: {payload}");
    }
    let found = verifier.examine(None, &token(&json!({})), NOW);
    assert_eq!(found, Err(Refusal::Audience), "none");
}

#[test]
fn rfc7519_4_1_1_another_issuer_is_refused() {
    let verifier = demanding(None, Some("https://a.test/"), 0);
    for (iss, is_taken) in [
        (json!("https://a.test/"), true),
        (json!("https://a.test"), false),
        (json!(["https://a.test/"]), false),
        (Value::Null, false),
    ] {
        let payload = json!({ "iss": iss });
        let found = verifier.examine(None, &token(&payload), NOW).err();
        let expected = (!is_taken).then_some(Refusal::Issuer);
        assert_eq!(found, expected, "{payload}");
        assert!(examine(&payload).is_ok(), "nobody asked: {payload}");
    }
    let found = verifier.examine(None, &token(&json!({})), NOW);
    assert_eq!(found, Err(Refusal::Issuer), "none");
}

#[test]
fn rfc8725_3_12_a_token_of_the_other_kind_is_refused() {
    let verifier = verifier(Algorithm::Hs256);
    let connection = token(&json!({"sub": "ada"}));
    let subscription = token(&json!({"sub": "ada", "channel": "a"}));
    for (token, is, other) in [
        (connection, TokenKind::Connection, TokenKind::Subscription),
        (subscription, TokenKind::Subscription, TokenKind::Connection),
    ] {
        let found = verifier.examine(Some(other), &token, NOW);
        assert_eq!(found, Err(Refusal::Kind));
        assert_eq!(
            verifier.verify(other, &token, NOW),
            Err(TokenError::Invalid)
        );
        assert!(verifier.verify(is, &token, NOW).is_ok());
        let any = verifier.verify_any(&token, NOW).map(|(kind, _)| kind);
        assert_eq!(any, Ok(is));
    }
    // A channel without a name would make it neither.
    assert_eq!(examine(&json!({"channel": ""})), Err(Refusal::Claims));
    assert!(examine(&json!({"channel": null})).is_ok_and(|c| c.kind() == TokenKind::Connection));
}

#[test]
fn a_claim_of_another_type_is_refused() {
    for payload in [
        json!({"sub": 42}),
        json!({"sub": ["ada"]}),
        json!({"sub": {}}),
        json!({"channels": "news"}),
        json!({"channels": ["news", 1]}),
        json!({"channels": {"news": {}}}),
        json!({"subs": ["news"]}),
        json!({"subs": {"news": null}}),
        json!({"subs": {"news": {"override": {"presence": true}}}}),
        json!({"subs": {"news": {"b64info": "not base64!"}}}),
        json!({"subs": {"news": {"b64data": "eyI="}}}),
        json!({"override": {"presence": {"value": 1}}, "channel": "a"}),
        json!({"override": {"presence": {}}, "channel": "a"}),
        json!({"channel": 5}),
        json!({"client": 5, "channel": "a"}),
        json!({"expire_at": "never"}),
        json!({"b64info": 5}),
    ] {
        assert_eq!(examine(&payload), Err(Refusal::Claims), "{payload}");
    }
    for text in [
        "",
        "null",
        "5",
        "\"ada\"",
        "[\"ada\"]",
        "{",
        "{}{}",
        r#"{"sub":"a","sub":"b"}"#,
    ] {
        let token = signed(Algorithm::Hs256, SECRET, HS256, text);
        let found = verifier(Algorithm::Hs256).examine(None, &token, NOW);
        assert_eq!(found, Err(Refusal::Claims), "{text}");
    }
    let not_text = URL_SAFE_NO_PAD.encode(b"{\"sub\":\"\xff\"}");
    let message = format!("{}.{not_text}", URL_SAFE_NO_PAD.encode(HS256));
    let key = EncodingKey::from_secret(SECRET);
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
    let token = format!("{message}.{}", signature.expect("a signature"));
    let found = verifier(Algorithm::Hs256).examine(None, &token, NOW);
    assert_eq!(found, Err(Refusal::Claims));
}

#[test]
fn a_user_may_have_any_name() {
    for user in [
        "ada",
        "42",
        "",
        "ada lovelace",
        "#a,b",
        "a\"b\\c",
        "ä€𝄞",
        "\0\n\r\u{2028}",
        "<b>",
    ] {
        let claims = examine(&json!({"sub": user})).expect("a good token");
        assert_eq!(claims.user, user);
    }
    assert_eq!(examine(&json!({})).expect("anonymous").user, "");
    assert_eq!(examine(&json!({"sub": null})).expect("anonymous").user, "");
}

#[test]
fn info_is_json_without_newlines() {
    for (text, info) in [
        (r#"{"info":{"name":"Ada"}}"#, bytes(r#"{"name":"Ada"}"#)),
        ("{\"info\":{\n\"a\":\r\n[1,\n2]}}", bytes(r#"{"a":[1,2]}"#)),
        (r#"{"info":"a\nb"}"#, bytes(r#""a\nb""#)),
        (r#"{"info":5}"#, bytes("5")),
        (r#"{"info":null}"#, None),
        (r#"{"b64info":"eyJhIjoxfQ=="}"#, bytes(r#"{"a":1}"#)),
        (r#"{"b64info":"ewp9"}"#, bytes("{}")),
        (r#"{"b64info":"","info":1}"#, bytes("1")),
        (r#"{"b64info":"Mg==","info":1}"#, bytes("2")),
    ] {
        let token = signed(Algorithm::Hs256, SECRET, HS256, text);
        let claims = verifier(Algorithm::Hs256).examine(None, &token, NOW);
        assert_eq!(claims.map(|claims| claims.info), Ok(info), "{text}");
    }
}

#[test]
fn b64info_that_is_no_json_is_refused() {
    // It would stand in frames of JSON clients as it is.
    for base64 in [
        "AAEC",
        "eyJhIjo=",
        "fQ==",
        "?",
        "eyJhIjoxfQ",
        "e30KeyJwdXNoIjp7fX0=",
    ] {
        let payload = json!({ "b64info": base64 });
        assert_eq!(examine(&payload), Err(Refusal::Claims), "{base64}");
    }
}

#[test]
fn a_connection_token_says_all_of_this() {
    let claims = examine(&json!({
        "sub": "ada", "exp": NOW_SECONDS + 60, "iat": NOW_SECONDS, "jti": "x",
        "info": {"n": 1}, "meta": {"m": 2}, "channels": ["news", "chat:a"], "unknown": [1],
        "subs": {
            "chat:b": {"info": {"i": 3}, "data": {"d": 4}, "override": {
                "presence": {"value": true}, "join_leave": {"value": false},
                "force_recovery": {"value": true}, "force_positioning": {"value": false},
                "force_push_join_leave": {"value": true}, "unknown": 1}},
            "chat:c": {"b64info": "NQ==", "b64data": "Ng=="},
            "chat:d": {}
        }
    }));
    let claims = claims.expect("a good token");
    assert_eq!(claims.user, "ada");
    assert_eq!(claims.expires_at, Some(NOW + Duration::from_secs(60)));
    assert_eq!(claims.ends_at(), claims.expires_at);
    assert_eq!(claims.info, bytes(r#"{"n":1}"#));
    assert_eq!(claims.meta, bytes(r#"{"m":2}"#));
    assert_eq!(claims.channels, ["news", "chat:a"]);
    let b = Grant {
        info: bytes(r#"{"i":3}"#),
        data: bytes(r#"{"d":4}"#),
        options: Overrides {
            presence: Some(true),
            join_leave: Some(false),
            force_push_join_leave: Some(true),
            force_recovery: Some(true),
            force_positioning: Some(false),
        },
    };
    let c = Grant {
        info: bytes("5"),
        data: bytes("6"),
        ..Grant::default()
    };
    let subs = [("chat:b", b), ("chat:c", c), ("chat:d", Grant::default())];
    assert_eq!(
        claims.subs,
        subs.map(|(name, grant)| (name.to_owned(), grant)).into()
    );
}

#[test]
fn a_subscription_token_says_all_of_this() {
    let payload = json!({
        "sub": "ada", "channel": "$chat:a", "client": "c1", "info": 1, "expire_at": 0,
        "exp": NOW_SECONDS + 60, "override": {"force_recovery": {"value": true}}
    });
    let claims = examine(&payload).expect("a good token");
    let expected = Claims {
        user: "ada".into(),
        channel: "$chat:a".into(),
        client: Some("c1".into()),
        info: bytes("1"),
        expires_at: Some(NOW + Duration::from_secs(60)),
        expire_at: Some(None),
        options: Overrides {
            force_recovery: Some(true),
            ..Overrides::default()
        },
        ..Claims::default()
    };
    assert_eq!(claims, expected);
}

#[test]
fn expire_at_counts_instead_of_exp() {
    let later = NOW_SECONDS + 3600;
    for (payload, ends_at) in [
        (json!({}), None),
        (json!({"exp": later}), Some(later)),
        (
            json!({"exp": later, "expire_at": later + 1}),
            Some(later + 1),
        ),
        (json!({"expire_at": later}), Some(later)),
        (json!({"exp": later, "expire_at": 0}), None),
        (json!({"exp": later, "expire_at": -0.0}), None),
        (json!({"exp": later, "expire_at": -5}), Some(0)),
        (json!({"exp": later, "expire_at": null}), Some(later)),
    ] {
        let claims = examine(&payload).expect("a good token");
        let ends_at = ends_at.map(|seconds| Time::from_millis(seconds * 1000));
        assert_eq!(claims.ends_at(), ends_at, "{payload}");
    }
}

#[test]
fn what_is_issued_is_what_is_read() {
    let issuer = Issuer::new(Algorithm::Hs256, SECRET)
        .expect("a secret")
        .with_audience(Some("us".into()))
        .with_issuer(Some("me".into()));
    let verifier = demanding(Some("us"), Some("me"), 0);
    let grant = Grant {
        info: bytes("[1]"),
        data: bytes("{}"),
        options: Overrides {
            presence: Some(false),
            ..Overrides::default()
        },
    };
    let connection = Claims {
        user: "ada \"#\n".into(),
        expires_at: Some(NOW + Duration::from_secs(5)),
        expire_at: Some(None),
        info: bytes(r#"{"a":"b"}"#),
        meta: bytes("0"),
        channels: vec!["news".into(), "chat:a".into()],
        subs: [("chat:b".into(), grant), ("c".into(), Grant::default())].into(),
        ..Claims::default()
    };
    let subscription = Claims {
        user: "ada".into(),
        channel: "$a".into(),
        client: Some("c".into()),
        expire_at: Some(Some(NOW + Duration::from_secs(9))),
        options: Overrides {
            join_leave: Some(true),
            force_positioning: Some(true),
            ..Overrides::default()
        },
        ..Claims::default()
    };
    for claims in [Claims::default(), connection, subscription] {
        let token = issuer.issue(&claims, NOW).expect("a token");
        assert_eq!(verifier.examine(None, &token, NOW), Ok(claims));
    }
    let no_json = Claims {
        info: bytes("{"),
        ..Claims::default()
    };
    assert_eq!(issuer.issue(&no_json, NOW), Err(IssueError));
}
