//! Where tokens are looked at. In: settings, JWK sets, tokens. Out: claims, by the keys of now.
//!
//! Never: waits: keys are swapped, and whoever has begun with the old ones ends with them.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use fanfare_hub::Time;
use fanfare_protocol::token::{Claims, KeyError, Refusal, TokenError, TokenKind, Verifier};

use super::jwks::Jwks;
use crate::config::TokenSettings;

/// What holds now.
pub(super) struct Standing {
    settings: Arc<TokenSettings>,
    verifier: Verifier,
    /// What the URL gave last.
    set: Option<Arc<str>>,
}

/// The keys of now, and who brings more.
pub(super) struct Bench {
    now: ArcSwapOption<Standing>,
    pub(super) jwks: Jwks,
}

impl Bench {
    pub(super) const fn new(jwks: Jwks) -> Self {
        Self {
            now: ArcSwapOption::const_empty(),
            jwks,
        }
    }

    /// Called by one thread at a time.
    pub(super) fn apply(&self, settings: Option<Arc<TokenSettings>>) {
        let url = settings.as_ref().and_then(|settings| settings.jwks.clone());
        let old = self.now.load_full();
        let same_url = |old: &&Arc<Standing>| {
            let old = old.settings.jwks.as_ref().map(|jwks| &jwks.url);
            old.is_some() && old == url.as_ref().map(|jwks| &jwks.url)
        };
        let kept = old.as_ref().filter(same_url);
        let kept = kept.and_then(|old| old.set.clone());
        let standing = settings.map(|settings| {
            let standing =
                Standing::new(&settings, kept).or_else(|_| Standing::new(&settings, None));
            standing.expect("no set to be wrong")
        });
        if let Some(standing) = &standing {
            tracing::info!("tokens: {}", standing.verifier.keys());
        }
        self.now.store(standing.map(Arc::new));
        self.jwks.follow(url);
    }

    /// Takes the set that `url` gave, if it still counts.
    ///
    /// # Errors
    ///
    /// It has no key that can be used: the old one stays.
    pub(super) fn take_set(&self, url: &str, set: &Arc<str>) -> Result<(), KeyError> {
        let Some(old) = self.now.load_full() else {
            return Ok(());
        };
        let is_wanted = old
            .settings
            .jwks
            .as_ref()
            .is_some_and(|jwks| jwks.url == url);
        if !is_wanted || old.set.as_ref() == Some(set) {
            return Ok(());
        }
        let standing = Standing::new(&old.settings, Some(Arc::clone(set)))?;
        let keys = standing.verifier.keys().to_string();
        let new = Some(Arc::new(standing));
        // A reload may have come in between: it has asked for the set anew.
        let found = self.now.compare_and_swap(&Some(Arc::clone(&old)), new);
        if found.as_ref().is_some_and(|found| Arc::ptr_eq(found, &old)) {
            tracing::info!("tokens: {keys}, some of them from {url}");
        }
        Ok(())
    }

    pub(super) fn needs_pool(&self) -> bool {
        let now = self.now.load();
        now.as_ref().is_some_and(|now| !now.verifier.is_cheap())
    }

    pub(super) fn needs_jwks(&self) -> bool {
        let now = self.now.load();
        now.as_ref().is_some_and(|now| now.settings.jwks.is_some())
    }

    /// None: it takes longer than a worker has.
    pub(super) fn verify_cheaply(
        &self,
        kind: Option<TokenKind>,
        token: &str,
        now: Time,
    ) -> Option<Result<Claims, TokenError>> {
        let standing = self.now.load();
        match standing.as_ref() {
            Some(standing) if !standing.verifier.is_cheap() => None,
            standing => Some(self.verdict(standing, kind, token, now)),
        }
    }

    pub(super) fn verify(
        &self,
        kind: Option<TokenKind>,
        token: &str,
        now: Time,
    ) -> Result<Claims, TokenError> {
        self.verdict(self.now.load().as_ref(), kind, token, now)
    }

    /// For tests: what whoever has begun goes on with.
    #[cfg(test)]
    pub(super) fn standing(&self) -> Option<Arc<Standing>> {
        self.now.load_full()
    }

    pub(super) fn verdict(
        &self,
        standing: Option<&Arc<Standing>>,
        kind: Option<TokenKind>,
        token: &str,
        now: Time,
    ) -> Result<Claims, TokenError> {
        let Some(standing) = standing else {
            tracing::debug!("a token is refused: [token] has no algorithm");
            return Err(TokenError::Invalid);
        };
        let refusal = match standing.verifier.examine(kind, token, now) {
            Ok(claims) => return Ok(claims),
            Err(refusal) => refusal,
        };
        if refusal == Refusal::UnknownKey && standing.settings.jwks.is_some() {
            if self.jwks.may_bring_key_of(token) {
                tracing::debug!("a token is put off: {refusal} yet");
                return Err(TokenError::Unavailable);
            }
            // Keys are put in place before those that are missing among them are refused: it may have come since.
            let current = self.now.load();
            if !current
                .as_ref()
                .is_some_and(|current| Arc::ptr_eq(current, standing))
            {
                return self.verdict(current.as_ref(), kind, token, now);
            }
        }
        tracing::debug!("a token is refused: {refusal}");
        Err(refusal.into())
    }
}

impl Standing {
    fn new(settings: &Arc<TokenSettings>, set: Option<Arc<str>>) -> Result<Self, KeyError> {
        let mut keys = settings.keys.clone();
        if let Some(set) = &set {
            keys.add_set(set)?;
        }
        Ok(Self {
            settings: Arc::clone(settings),
            verifier: Verifier::new(keys, settings.demands.clone()),
            set,
        })
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bench")
    }
}
