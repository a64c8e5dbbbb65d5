//! Which key a token is verified with, and which are none.
//!
//! Never: looks at claims.

use rcgen::PKCS_ECDSA_P521_SHA512;

use super::*;

/// Named secrets.
fn named(secrets: &[(Option<&str>, &[u8])]) -> Verifier {
    let mut keys = Keys::new(Algorithm::Hs256.into());
    for (id, secret) in secrets {
        keys.add(*id, secret).expect("a good secret");
    }
    Verifier::new(keys, Demands::default())
}

/// Whether a token with that `kid`, signed with that secret, is taken.
fn examine(verifier: &Verifier, id: Option<&str>, secret: &[u8]) -> Result<Claims, Refusal> {
    let header = match id {
        Some(id) => json!({"alg": "HS256", "kid": id}),
        None => json!({"alg": "HS256"}),
    };
    let token = signed(Algorithm::Hs256, secret, &header.to_string(), "{}");
    verifier.examine(None, &token, NOW)
}

#[test]
fn a_token_is_verified_with_the_key_that_it_names() {
    let verifier = named(&[(Some("a"), SECRET), (Some("b"), OTHER)]);
    assert!(examine(&verifier, Some("a"), SECRET).is_ok());
    assert!(examine(&verifier, Some("b"), OTHER).is_ok());
    let found = examine(&verifier, Some("a"), OTHER);
    assert_eq!(found, Err(Refusal::Signature), "the other's");
    for id in ["c", "", "A", "a\0", "../a"] {
        let found = examine(&verifier, Some(id), SECRET);
        assert_eq!(found, Err(Refusal::UnknownKey), "{id:?}");
    }
}

#[test]
fn a_token_that_names_no_key_is_for_the_only_one_or_the_unnamed_one() {
    let two = named(&[(Some("a"), SECRET), (Some("b"), OTHER)]);
    assert_eq!(examine(&two, None, SECRET), Err(Refusal::UnknownKey));
    let one = named(&[(Some("a"), SECRET)]);
    assert!(examine(&one, None, SECRET).is_ok());
    let unnamed = named(&[(None, SECRET), (Some("b"), OTHER)]);
    assert!(examine(&unnamed, None, SECRET).is_ok());
    assert_eq!(examine(&unnamed, None, OTHER), Err(Refusal::Signature));
    assert_eq!(
        examine(&unnamed, Some("c"), SECRET),
        Err(Refusal::UnknownKey)
    );
    let none = named(&[]);
    assert_eq!(examine(&none, None, SECRET), Err(Refusal::UnknownKey));
    assert_eq!(examine(&none, Some("a"), SECRET), Err(Refusal::UnknownKey));
}

#[test]
fn a_lone_unnamed_key_is_for_all_unless_more_are_expected() {
    let mut keys = Keys::new(Algorithm::Hs256.into());
    keys.add(None, SECRET).expect("a secret");
    let alone = Verifier::new(keys.clone(), Demands::default());
    assert!(examine(&alone, Some("any"), SECRET).is_ok());
    keys.expect_more();
    let waiting = Verifier::new(keys, Demands::default());
    assert_eq!(
        examine(&waiting, Some("any"), SECRET),
        Err(Refusal::UnknownKey)
    );
    assert!(examine(&waiting, None, SECRET).is_ok());
}

#[test]
fn two_keys_of_one_name_are_refused() {
    let mut keys = Keys::new(Algorithm::Hs256.into());
    assert_eq!(keys.add(Some("a"), SECRET), Ok(()));
    assert_eq!(keys.add(Some("a"), OTHER), Err(KeyError::Twice));
    assert_eq!(keys.add(None, SECRET), Ok(()));
    assert_eq!(keys.add(None, OTHER), Err(KeyError::Twice));
    assert_eq!(keys.len(), 2);
    let verifier = Verifier::new(keys, Demands::default());
    assert!(examine(&verifier, Some("a"), SECRET).is_ok());
}

#[test]
fn what_is_no_secret_is_refused() {
    let mut keys = Keys::new(Algorithm::Hs256.into());
    for (secret, error) in [
        (&b""[..], KeyError::Short),
        (b"fifteen-bytes--", KeyError::Short),
        (rsa().public.as_bytes(), KeyError::NoSecret),
        (rsa().private.as_bytes(), KeyError::NoSecret),
    ] {
        assert_eq!(keys.add(None, secret), Err(error));
    }
    assert_eq!(keys.add(None, b"sixteen-bytes---"), Ok(()));
}

#[test]
fn what_is_no_public_key_of_that_kind_is_refused() {
    let other = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).expect("a key");
    let other = other.public_key_pem();
    let certificate = rsa().public.replace("PUBLIC KEY", "CERTIFICATE");
    let garbage = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    for (algorithm, pem, error) in [
        (Algorithm::Rs256, SECRET, KeyError::NoPublicPem),
        (Algorithm::Rs256, b"\xff".as_slice(), KeyError::NoPublicPem),
        (
            Algorithm::Rs256,
            rsa().private.as_bytes(),
            KeyError::NoPublicPem,
        ),
        (
            Algorithm::Rs256,
            certificate.as_bytes(),
            KeyError::NoPublicPem,
        ),
        (Algorithm::Rs256, garbage.as_bytes(), KeyError::OtherKind),
        (
            Algorithm::Rs256,
            ec().public.as_bytes(),
            KeyError::OtherKind,
        ),
        (
            Algorithm::Es256,
            rsa().public.as_bytes(),
            KeyError::OtherKind,
        ),
        (Algorithm::Es256, garbage.as_bytes(), KeyError::OtherKind),
        (Algorithm::Es256, ec384().public.as_bytes(), KeyError::Curve),
        (Algorithm::Es384, ec().public.as_bytes(), KeyError::Curve),
        (Algorithm::Es256, other.as_bytes(), KeyError::OtherKind),
    ] {
        let found = Keys::new(algorithm.into()).add(None, pem);
        assert_eq!(
            found,
            Err(error),
            "{algorithm}: {}",
            String::from_utf8_lossy(pem)
        );
    }
}

#[test]
fn what_cannot_sign_is_refused() {
    for (algorithm, key, error) in [
        (Algorithm::Hs256, &b"short"[..], KeyError::Short),
        (Algorithm::Rs256, SECRET, KeyError::NoPrivatePem),
        (
            Algorithm::Rs256,
            rsa().public.as_bytes(),
            KeyError::NoPrivatePem,
        ),
        (
            Algorithm::Rs256,
            ec().private.as_bytes(),
            KeyError::NoPrivatePem,
        ),
        (
            Algorithm::Es256,
            rsa().private.as_bytes(),
            KeyError::NoPrivatePem,
        ),
        (
            Algorithm::Es256,
            ec384().private.as_bytes(),
            KeyError::NoPrivatePem,
        ),
        (
            Algorithm::Es256,
            ec().public.as_bytes(),
            KeyError::NoPrivatePem,
        ),
    ] {
        let found = Issuer::new(algorithm, key).err();
        assert_eq!(
            found,
            Some(error),
            "{algorithm}: {}",
            String::from_utf8_lossy(key)
        );
    }
}

#[test]
fn algorithms_are_of_one_kind() {
    use Algorithm::{Es256, Es384, Hs256, Hs512, Ps256, Rs256};
    for (list, error) in [
        (&[][..], Some(AlgorithmError::Empty)),
        (&[Hs256, Rs256], Some(AlgorithmError::Mixed)),
        (&[Rs256, Es256], Some(AlgorithmError::Mixed)),
        (&[Hs256, Hs512], None),
        (&[Rs256, Ps256], None),
        (&[Es256, Es384], None),
    ] {
        assert_eq!(Algorithms::new(list).err(), error, "{list:?}");
    }
    for name in ["none", "hs256", "", "HS256 ", "RS1"] {
        assert_eq!(
            name.parse::<Algorithm>(),
            Err(AlgorithmError::Unknown),
            "{name}"
        );
    }
}

/// The JWK of a public key in PEM.
fn jwk(algorithm: Algorithm, id: &str) -> Value {
    let key = match algorithm.family() {
        Family::Hmac => {
            return json!({"kty": "oct", "kid": id, "k": URL_SAFE_NO_PAD.encode(SECRET)});
        }
        Family::Rsa => jsonwebtoken::DecodingKey::from_rsa_pem(material(algorithm).1),
        Family::Ec => jsonwebtoken::DecodingKey::from_ec_pem(material(algorithm).1),
    };
    let key = key.expect("a key");
    let jwk = jsonwebtoken::jwk::Jwk::from_decoding_key(&key, None).expect("a JWK");
    let mut jwk = serde_json::to_value(jwk).expect("JSON");
    jwk["kid"] = json!(id);
    jwk
}

fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

fn of_set(algorithm: Algorithm, jwks: &[Value]) -> Result<(usize, Verifier), KeyError> {
    let mut keys = Keys::new(algorithm.into());
    let left_out = keys.add_set(&json!({ "keys": jwks }).to_string())?;
    Ok((left_out, Verifier::new(keys, Demands::default())))
}

#[test]
fn keys_come_from_a_jwk_set() {
    for &algorithm in Algorithm::ALL {
        let (left_out, verifier) = of_set(algorithm, &[jwk(algorithm, "k1")]).expect("a set");
        assert_eq!(left_out, 0);
        for (id, found) in [
            (Some("k1".to_owned()), None),
            (None, None),
            (Some("k2".to_owned()), Some(Refusal::UnknownKey)),
        ] {
            let issuer = Issuer::new(algorithm, material(algorithm).0).expect("a key");
            let token = issuer
                .with_key_id(id.clone())
                .issue(&Claims::default(), NOW);
            let refused = verifier.examine(None, &token.expect("a token"), NOW).err();
            assert_eq!(refused, found, "{algorithm} {id:?}");
        }
    }
}

#[test]
fn keys_of_a_set_that_are_for_something_else_are_left_out() {
    let rs = || jwk(Algorithm::Rs256, "k");
    for other in [
        with(rs(), "use", json!("enc")),
        with(rs(), "key_ops", json!(["encrypt"])),
        with(rs(), "alg", json!("RS512")),
        with(rs(), "alg", json!("RSA-OAEP")),
        with(rs(), "alg", json!("HS256")),
        with(rs(), "kty", json!("oct")),
        with(rs(), "kty", json!("AKP")),
        with(rs(), "n", json!("AQAB")),
        with(rs(), "n", json!("?")),
        with(rs(), "e", json!("")),
        with(rs(), "kid", json!(5)),
        jwk(Algorithm::Es256, "k"),
        // The public key as a secret.
        json!({"kty": "oct", "kid": "k", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(&rsa().public)}),
        json!("k"),
        Value::Null,
    ] {
        let alone = of_set(Algorithm::Rs256, std::slice::from_ref(&other));
        assert_eq!(alone.err(), Some(KeyError::NothingUsable), "{other}");
        let (left_out, verifier) =
            of_set(Algorithm::Rs256, &[other.clone(), rs()]).expect("one is good");
        assert_eq!((left_out, verifier.keys().len()), (1, 1), "{other}");
    }
    for good in [
        with(rs(), "use", json!("sig")),
        with(rs(), "key_ops", json!(["verify"])),
        with(rs(), "alg", json!("RS256")),
        with(rs(), "x5c", json!(["?"])),
    ] {
        assert!(
            of_set(Algorithm::Rs256, std::slice::from_ref(&good)).is_ok(),
            "{good}"
        );
    }
    for other in [
        with(jwk(Algorithm::Es256, "k"), "crv", json!("P-384")),
        with(jwk(Algorithm::Es256, "k"), "crv", json!("P-521")),
        with(jwk(Algorithm::Es256, "k"), "alg", json!("ES384")),
        jwk(Algorithm::Es384, "k"),
    ] {
        let alone = of_set(Algorithm::Es256, std::slice::from_ref(&other));
        assert_eq!(alone.err(), Some(KeyError::NothingUsable), "{other}");
    }
}

#[test]
fn rfc8725_3_1_a_key_of_one_algorithm_verifies_no_other() {
    let both = Algorithms::new(&[Algorithm::Rs256, Algorithm::Ps256]).expect("one kind");
    let mut keys = Keys::new(both);
    let set = json!({"keys": [with(jwk(Algorithm::Rs256, "k"), "alg", json!("RS256"))]});
    keys.add_set(&set.to_string()).expect("a set");
    let verifier = Verifier::new(keys, Demands::default());
    for (algorithm, found) in [
        (Algorithm::Rs256, None),
        (Algorithm::Ps256, Some(Refusal::Algorithm)),
    ] {
        let issuer = Issuer::new(algorithm, material(algorithm).0).expect("a key");
        let token = issuer.issue(&Claims::default(), NOW).expect("a token");
        assert_eq!(
            verifier.examine(None, &token, NOW).err(),
            found,
            "{algorithm}"
        );
    }
}

#[test]
fn numbers_of_a_jwk_may_be_padded_or_short() {
    let mut rs = jwk(Algorithm::Rs256, "k");
    let n = rs["n"].as_str().expect("text").to_owned();
    let n = URL_SAFE_NO_PAD.decode(n).expect("base64");
    let padded = [&[0][..], &n].concat();
    rs["n"] = json!(base64::engine::general_purpose::URL_SAFE.encode(padded));
    let (_, verifier) = of_set(Algorithm::Rs256, &[rs]).expect("a set");
    let issuer = Issuer::new(Algorithm::Rs256, material(Algorithm::Rs256).0).expect("a key");
    let token = issuer.issue(&Claims::default(), NOW).expect("a token");
    assert!(verifier.examine(None, &token, NOW).is_ok());
    // A coordinate with zeros in front, which some issuers leave out.
    let pair =
        std::iter::repeat_with(|| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"))
            .find(|pair| pair.public_key_raw()[1] == 0)
            .expect("one in 256");
    let (x, y) = pair.public_key_raw()[1..].split_at(32);
    let [x, y] = [&x[1..], y].map(|number| URL_SAFE_NO_PAD.encode(number));
    let ec = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
    let (_, verifier) = of_set(Algorithm::Es256, &[ec]).expect("a set");
    let issuer = Issuer::new(Algorithm::Es256, pair.serialize_pem().as_bytes()).expect("a key");
    let token = issuer.issue(&Claims::default(), NOW).expect("a token");
    assert!(verifier.examine(None, &token, NOW).is_ok());
}

#[test]
fn a_set_is_json() {
    let mut keys = Keys::new(Algorithm::Rs256.into());
    for text in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":null}"#,
        "<html>",
    ] {
        assert_eq!(keys.add_set(text), Err(KeyError::NoSet), "{text}");
    }
    assert_eq!(keys.add_set(r#"{"keys":[]}"#), Err(KeyError::NothingUsable));
    assert!(keys.is_empty());
}

#[test]
fn keys_are_not_printed() {
    let verifier = named(&[(None, SECRET), (Some("b"), OTHER)]);
    let secret = String::from_utf8_lossy(SECRET);
    let printed = format!("{verifier:?}");
    assert!(
        !printed.contains(&*secret) && printed.contains("Keys(2"),
        "{printed}"
    );
    let issuer = Issuer::new(Algorithm::Hs256, SECRET).expect("a secret");
    let printed = format!("{issuer:?}");
    assert!(!printed.contains(&*secret), "{printed}");
}
