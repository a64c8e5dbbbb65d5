//! What the backend says in front of an upgrade.
//!
//! Never: lets a client in that it did not let in.

use fanfare_codec::handshake::{Response, Status};
use fanfare_protocol::hook::Granted;

use super::fixture::*;
use super::*;

async fn entry(
    answer: impl Fn() -> axum::response::Response + Clone + Send + Sync + 'static,
) -> Result<Entry, HookFailed> {
    let backend = TestBackend::start(move || {
        let answer = answer();
        async { answer }
    })
    .await;
    let entry = Worker::asking(&backend.url(), &[]).admitted().await;
    let seen = backend.seen();
    assert_eq!(seen.len(), 1, "no redirect is followed");
    assert!(seen[0].body.contains(r#""channels":["news"]"#));
    if let Ok(entry) = &entry {
        let mut response = Response::new(Status::OK);
        for (name, value) in &entry.headers {
            response = response.header(name, value).expect("valid headers");
        }
    }
    entry
}

fn owned(headers: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let headers = headers.iter();
    headers
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn a_200_says_who_it_is_and_sets_cookies() {
    locally(async {
        let answer = || {
            let mut answer = json(r#"{"result":{"user":"56"}}"#);
            for cookie in ["a=1; HttpOnly", "b=2"] {
                let cookie = HeaderValue::from_static(cookie);
                answer.headers_mut().append("set-cookie", cookie);
            }
            let others = ["location", "www-authenticate", "x-other"];
            for other in others {
                answer
                    .headers_mut()
                    .insert(other, HeaderValue::from_static("x"));
            }
            answer
        };
        let user = Granted {
            user: "56".into(),
            ..Granted::default()
        };
        let expected = Entry {
            decision: Decision::Answered(HookAnswer::Granted(user)),
            headers: owned(&[("Set-Cookie", "a=1; HttpOnly"), ("Set-Cookie", "b=2")]),
        };
        assert_eq!(entry(answer).await, Ok(expected));
    })
    .await;
}

#[tokio::test]
async fn refusals_and_redirects_are_handed_on() {
    locally(async {
        const COOKIE: (&str, &str) = ("Set-Cookie", "gone=; Max-Age=0");
        const CHALLENGE: (&str, &str) = ("WWW-Authenticate", "Basic realm=\"x\"");
        const LOCATION: (&str, &str) = ("Location", "/login?next=%2F");
        for (code, kept) in [
            (401, vec![CHALLENGE, COOKIE]),
            (403, vec![CHALLENGE, COOKIE]),
            (301, vec![LOCATION, COOKIE]),
            (302, vec![LOCATION, COOKIE]),
            (303, vec![LOCATION, COOKIE]),
            (307, vec![LOCATION, COOKIE]),
            (308, vec![LOCATION, COOKIE]),
        ] {
            let answer = move || status(code, &[COOKIE, LOCATION, CHALLENGE]);
            let expected = Entry {
                decision: Decision::Refused(Status(code)),
                headers: owned(&kept),
            };
            assert_eq!(entry(answer).await, Ok(expected), "{code}");
        }
    })
    .await;
}

#[tokio::test]
async fn every_other_answer_fails() {
    locally(async {
        for code in [201, 204, 300, 304, 400, 404, 429, 500, 503] {
            let answer = move || {
                let mut answer = status(code, &[("location", "/")]);
                if [204, 304].contains(&code) {
                    *answer.body_mut() = Body::empty();
                }
                answer
            };
            assert_eq!(entry(answer).await, Err(HookFailed), "{code}");
        }
        let nowhere = || status(302, &[]);
        assert_eq!(entry(nowhere).await, Err(HookFailed));
        assert_eq!(entry(|| json("{}")).await, Err(HookFailed));
        assert_eq!(entry(|| status(200, &[])).await, Err(HookFailed));
        let no_text = || {
            let mut answer = status(302, &[]);
            let value = HeaderValue::from_bytes(b"/\xff").unwrap();
            answer.headers_mut().insert("location", value);
            answer
        };
        assert_eq!(entry(no_text).await, Err(HookFailed));
        let endless = || {
            let mut answer = json(r#"{"result":{}}"#);
            for _ in 0..5 {
                let cookie = HeaderValue::from_str(&"x".repeat(4 << 10)).unwrap();
                answer.headers_mut().append("set-cookie", cookie);
            }
            answer
        };
        assert_eq!(entry(endless).await, Err(HookFailed));
    })
    .await;
}
