//! Backends that fail, each in its way: the client gets error 100, and nothing else stops.
//!
//! Never: takes a failure for a permission.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::fixture::*;
use super::*;
use crate::returns::Return;

const BRIEF: (&str, &str) = ("FANFARE_HOOKS__TIMEOUT", "0.2");

#[tokio::test]
async fn statuses_but_200_are_no_answers() {
    locally(async {
        for code in [201, 204, 301, 302, 400, 401, 403, 404, 500, 502, 503] {
            let text = r#"{"result":{}}"#;
            let answer = move || async move {
                let mut answer = json(if code == 204 { "" } else { text });
                *answer.status_mut() = code.try_into().unwrap();
                let elsewhere = HeaderValue::from_static("http://127.0.0.1:1/");
                answer.headers_mut().insert("location", elsewhere);
                answer
            };
            let backend = TestBackend::start(answer).await;
            let worker = Worker::asking(&backend.url(), &[]);
            assert_eq!(worker.hooked(rpc("1")).await, Err(HookFailed), "{code}");
            assert_eq!(backend.seen().len(), 1, "asked once, here");
        }
    })
    .await;
}

#[tokio::test]
async fn answers_without_sense_are_none() {
    locally(async {
        for text in [
            "",
            "<html>",
            "{}",
            "[]",
            r#"{"result":5}"#,
            r#"{"result":{"b64data":"/w=="}}"#,
            r#"{"error":{"code":100,"message":"not an application's"}}"#,
            r#"{"disconnect":{"code":4000,"reason":""}}"#,
        ] {
            let backend = TestBackend::start(move || async move { json(text) }).await;
            let worker = Worker::asking(&backend.url(), &[]);
            assert_eq!(worker.hooked(rpc("1")).await, Err(HookFailed), "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_has_a_cap_and_one_below_it_arrives() {
    locally(async {
        for (len, is_ok) in [
            (HOOK_ANSWER_BYTES_MAX - 100, true),
            (HOOK_ANSWER_BYTES_MAX, false),
        ] {
            let answer = move || async move {
                json(format!(r#"{{"result":{{"data":"{}"}}}}"#, "x".repeat(len)))
            };
            let backend = TestBackend::start(answer).await;
            let worker = Worker::asking(&backend.url(), &[]);
            assert_eq!(worker.hooked(rpc("1")).await.is_ok(), is_ok, "{len}");
        }
    })
    .await;
}

/// A server that reads a request and says `answer`; then it keeps the connection, or ends it.
async fn raw(answer: &'static str, keeps: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::task::spawn_local(async move {
        let mut kept = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut received = Vec::new();
            while !received.ends_with(b"}") {
                if socket.read_buf(&mut received).await.unwrap() == 0 {
                    break;
                }
            }
            socket.write_all(answer.as_bytes()).await.unwrap();
            if keeps {
                kept.push(socket);
            }
        }
    });
    format!("http://127.0.0.1:{port}/")
}

#[tokio::test]
async fn what_is_no_http_or_ends_early_is_no_answer() {
    locally(async {
        for answer in [
            "",
            "garbage\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"result\":{}}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n{\"result\":{}}\r\n",
        ] {
            let worker = Worker::asking(&raw(answer, false).await, &[]);
            assert_eq!(worker.hooked(rpc("1")).await, Err(HookFailed), "{answer}");
        }
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"result\":{}}";
        let worker = Worker::asking(&raw(whole, false).await, &[]);
        assert!(worker.hooked(rpc("1")).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_or_end_in_time_is_none() {
    locally(async {
        for answer in [
            "",
            "HTTP/1.1 200",
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"result\":{}}",
        ] {
            let worker = Worker::asking(&raw(answer, true).await, &[BRIEF]);
            assert_eq!(worker.hooked(rpc("1")).await, Err(HookFailed), "{answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_backend_that_is_not_there_fails_and_is_asked_again() {
    locally(async {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", nobody.local_addr().unwrap());
        drop(nobody);
        let worker = Worker::asking(&url, &[]);
        for _ in 0..2 {
            assert_eq!(worker.hooked(rpc("1")).await, Err(HookFailed));
        }
        let worker = Worker::asking("http://no-such-host.invalid/", &[]);
        assert_eq!(worker.hooked(rpc("1")).await, Err(HookFailed));

        let is_well = Arc::new(AtomicBool::new(false));
        let health = Arc::clone(&is_well);
        let answer = move || {
            let is_well = health.load(Ordering::Relaxed);
            async move {
                let sick = status(500, &[]);
                if is_well {
                    json(r#"{"result":{}}"#)
                } else {
                    sick
                }
            }
        };
        let backend = TestBackend::start(answer).await;
        let worker = Worker::asking(&backend.url(), &[]);
        assert!(worker.hooked(rpc("1")).await.is_err());
        is_well.store(true, Ordering::Relaxed);
        assert!(worker.hooked(rpc("1")).await.is_ok());
        assert_eq!(
            backend.connections(),
            1,
            "an answer that was read is no reason to part"
        );
    })
    .await;
}

#[tokio::test]
async fn a_call_that_nobody_asks_any_more_fails() {
    locally(async {
        let worker = Worker::asking("http://127.0.0.1:1/", &[]);
        let (hooks, asking) = new(1, Client::new());
        let orphaned = Worker { hooks, ..worker };
        orphaned.ask(1, rpc("1")).unwrap();
        drop(asking);
        orphaned.ask(2, rpc("1")).unwrap();
        let findings = orphaned.findings(2).await;
        let failed = |f: &Return| matches!(f.finding, Finding::Hooked(Err(HookFailed)));
        assert!(findings.iter().all(failed));
    })
    .await;
}
