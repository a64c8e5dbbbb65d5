//! Tokens on their way through the daemon's threads.
//!
//! Never: says again what `fanfare-protocol` says of keys and claims.

mod issuer;
mod jwks;

use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use fanfare_hub::Wake;
use fanfare_protocol::Number;
use fanfare_protocol::token::{Algorithm, Demands, Issuer, Keys};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};

use super::*;
use crate::limits::TOKENS_WAITING_BYTES_MAX;
use crate::returns::Returns;
use crate::slab::ConnId;

const SECRET: &[u8] = b"a-secret-of-32-bytes-or-somewhat-more";
const NOW: Time = Time::from_millis(1_700_000_000_000);
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at what gives no event.
const STEP: Duration = Duration::from_millis(2);
const CONNECTION: Option<TokenKind> = Some(TokenKind::Connection);

/// An RSA key takes a while.
static RSA: LazyLock<KeyPair> = LazyLock::new(|| {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key")
});

fn ec() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

/// Signs for `user`, as the key of that id.
fn token(algorithm: Algorithm, key: &[u8], id: Option<&str>, user: &str) -> String {
    let issuer = Issuer::new(algorithm, key).expect("a key that signs");
    let claims = Claims {
        user: user.into(),
        ..Claims::default()
    };
    let issuer = issuer.with_key_id(id.map(Into::into));
    issuer.issue(&claims, NOW).expect("a token")
}

fn settings(algorithm: Algorithm, key: &[u8]) -> Option<Arc<TokenSettings>> {
    let mut keys = Keys::new(algorithm.into());
    keys.add(None, key).expect("a key");
    Some(Arc::new(TokenSettings {
        keys,
        demands: Demands::default(),
        jwks: None,
    }))
}

fn started(settings: Option<Arc<TokenSettings>>) -> Tokens {
    let tokens = Tokens::new(JWKS_PAUSE);
    tokens.apply(settings).expect("threads");
    tokens
}

/// A worker that is woken.
#[derive(Debug)]
struct Bell(Sender<()>);

impl Wake for Bell {
    fn wake(&self) {
        let _ = self.0.send(());
    }
}

struct Worker {
    returns: Arc<Returns>,
    rings: Receiver<()>,
}

impl Worker {
    fn new() -> Self {
        let (bell, rings) = channel();
        let returns = Arc::new(Returns::new(Bell(bell)));
        Self { returns, rings }
    }

    fn address(&self, number: u32) -> ReturnAddress {
        ReturnAddress {
            returns: Arc::clone(&self.returns),
            conn: ConnId::from(mio::Token(7)),
            number: Number(number),
        }
    }

    /// The next `count` findings, by their numbers.
    fn findings(&self, count: usize) -> Vec<(u32, Result<String, TokenError>)> {
        let mut found = Vec::new();
        while found.len() < count {
            let (taken, _) = self.returns.take();
            if taken.is_empty() {
                self.rings.recv_timeout(PATIENCE).expect("a finding");
            }
            found.extend(taken.into_iter().map(|back| {
                assert_eq!(back.conn, ConnId::from(mio::Token(7)));
                let Finding::Verified(verdict) = back.finding else {
                    panic!("{:?}", back.finding);
                };
                (back.number.0, verdict.map(|claims| claims.user))
            }));
        }
        found.sort_by_key(|(number, _)| *number);
        found
    }
}

fn user(verdict: Result<(TokenKind, Claims), TokenError>) -> Result<String, TokenError> {
    verdict.map(|(_, claims)| claims.user)
}

#[test]
fn a_secret_is_checked_at_once() {
    let tokens = started(settings(Algorithm::Hs256, SECRET));
    let good = token(Algorithm::Hs256, SECRET, None, "ada");
    let found = tokens.verify_now(CONNECTION, &good, NOW).expect("at once");
    assert_eq!(user(found), Ok("ada".into()));
    let found = tokens.verify_now(Some(TokenKind::Subscription), &good, NOW);
    assert_eq!(found, Some(Err(TokenError::Invalid)));
    let kind = tokens.verify_now(None, &good, NOW).expect("at once");
    assert_eq!(kind.map(|(kind, _)| kind), Ok(TokenKind::Connection));
    let worker = Worker::new();
    assert_eq!(
        tokens.verify(CONNECTION, good, NOW, worker.address(3)),
        Ok(())
    );
    assert!(worker.rings.try_recv().is_ok(), "before it returns");
    assert_eq!(worker.returns.take().0.len(), 1);
}

#[test]
fn what_is_costly_is_verified_on_other_threads_and_every_token_is_answered() {
    let public = RSA.public_key_pem();
    let private = RSA.serialize_pem();
    let tokens = started(settings(Algorithm::Rs256, public.as_bytes()));
    let good = token(Algorithm::Rs256, private.as_bytes(), None, "ada");
    assert_eq!(tokens.verify_now(CONNECTION, &good, NOW), None);
    let worker = Worker::new();
    let mut forged = good.clone();
    forged.truncate(good.len() - 4);
    let ask = |number, token: &str| {
        let asked = tokens.verify(CONNECTION, token.to_owned(), NOW, worker.address(number));
        assert_eq!(asked, Ok(()));
    };
    for number in 0..200 {
        ask(number, if number % 2 == 0 { &good } else { &forged });
    }
    for (number, verdict) in worker.findings(200) {
        let expected = if number % 2 == 0 {
            Ok("ada".to_owned())
        } else {
            Err(TokenError::Invalid)
        };
        assert_eq!(verdict, expected, "{number}");
    }
}

#[test]
fn a_giant_token_takes_nobodys_time() {
    let public = RSA.public_key_pem();
    let tokens = started(settings(Algorithm::Rs256, public.as_bytes()));
    let giant = "a".repeat(TOKEN_BYTES_MAX + 1);
    let found = tokens.verify_now(CONNECTION, &giant, NOW);
    assert_eq!(found, Some(Err(TokenError::Invalid)));
}

#[test]
fn more_tokens_than_may_wait_are_refused() {
    let bench = Arc::new(Bench::new(Jwks::new(JWKS_PAUSE)));
    let worker = Worker::new();
    let job = |bytes: usize| Job {
        kind: None,
        token: "a".repeat(bytes),
        now: NOW,
        to: worker.address(1),
    };
    let pool = Pool::new(bench);
    assert_eq!(pool.add(job(1)), Err(Busy), "nobody would take it");
    pool.pretend_to_run();
    assert_eq!(pool.add(job(TOKENS_WAITING_BYTES_MAX + 1)), Err(Busy));
    assert_eq!(pool.add(job(TOKENS_WAITING_BYTES_MAX - 1)), Ok(()));
    assert_eq!(pool.add(job(1)), Ok(()));
    assert_eq!(pool.add(job(1)), Err(Busy));
}

#[test]
fn a_reload_changes_keys_kinds_of_keys_and_whether_there_are_any() {
    let tokens = started(None);
    let good = token(Algorithm::Hs256, SECRET, None, "ada");
    let now = |tokens: &Tokens, token: &str| tokens.verify_now(CONNECTION, token, NOW).map(user);
    assert_eq!(now(&tokens, &good), Some(Err(TokenError::Invalid)));
    tokens
        .apply(settings(Algorithm::Hs256, SECRET))
        .expect("threads");
    assert_eq!(now(&tokens, &good), Some(Ok("ada".into())));
    let other = b"another-secret-of-as-many-bytes-or-so";
    tokens
        .apply(settings(Algorithm::Hs256, other))
        .expect("threads");
    assert_eq!(now(&tokens, &good), Some(Err(TokenError::Invalid)));
    let public = RSA.public_key_pem();
    tokens
        .apply(settings(Algorithm::Rs256, public.as_bytes()))
        .expect("threads");
    assert_eq!(now(&tokens, &good), None);
    let worker = Worker::new();
    let rs = token(
        Algorithm::Rs256,
        RSA.serialize_pem().as_bytes(),
        None,
        "bob",
    );
    for (number, token) in [(0, rs.clone()), (1, good)] {
        let asked = tokens.verify(CONNECTION, token, NOW, worker.address(number));
        assert_eq!(asked, Ok(()));
    }
    let found = worker.findings(2);
    assert_eq!(
        found,
        [(0, Ok("bob".into())), (1, Err(TokenError::Invalid))]
    );
    tokens.apply(None).expect("threads");
    assert_eq!(now(&tokens, &rs), Some(Err(TokenError::Invalid)));
}

#[test]
fn the_threads_end_with_the_last_handle() {
    let public = RSA.public_key_pem();
    let tokens = started(settings(Algorithm::Rs256, public.as_bytes()));
    let bench = Arc::downgrade(&tokens.0.bench);
    drop(tokens.clone());
    let worker = Worker::new();
    let rs = token(
        Algorithm::Rs256,
        RSA.serialize_pem().as_bytes(),
        None,
        "bob",
    );
    assert_eq!(
        tokens.verify(CONNECTION, rs, NOW, worker.address(0)),
        Ok(())
    );
    drop(tokens);
    // What waited is answered.
    assert_eq!(worker.findings(1), [(0, Ok("bob".into()))]);
    until(|| bench.upgrade().is_none().then_some(()), "no thread");
}

/// Asks until there is an answer; for what gives no event.
#[track_caller]
fn until<T>(mut ask: impl FnMut() -> Option<T>, what: &str) -> T {
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        if let Some(answer) = ask() {
            return answer;
        }
        thread::sleep(STEP);
    }
    panic!("not in time: {what}");
}
