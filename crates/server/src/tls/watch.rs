//! Files that change. In: the names of those that were loaded. Out: what they hold now, for sessions from now on.
//!
//! They are looked at every few seconds: that sees a link that leads elsewhere, a folder that was swapped and a
//! file on a network, where notices of the kernel do not.
//!
//! Never: takes certificates that do not go with their keys; says the same fault twice.

use std::fs;
use std::os::unix::fs::MetadataExt;

use tokio::time::sleep;

use super::{Tls, TlsSettings};
use crate::limits::TLS_WATCH_INTERVAL;

/// How files looked: what writing or replacing one changes. A file that is not there is a `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<Stamp>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

impl Stamps {
    pub(super) fn of(settings: &TlsSettings) -> Self {
        let stamp = |path| {
            let file = fs::metadata(path).ok()?;
            Some(Stamp {
                device: file.dev(),
                inode: file.ino(),
                len: file.len(),
                changed: (file.mtime(), file.mtime_nsec()),
            })
        };
        Self(settings.files().map(stamp).collect())
    }
}

/// What a look at the files is compared with.
#[derive(Debug)]
pub(super) struct Watch {
    /// Of the last look.
    seen: Stamps,
    /// What was found to be at fault already.
    refused: Option<Stamps>,
}

impl Watch {
    pub(super) fn new(tls: &Tls) -> Self {
        Self {
            seen: tls.loaded().stamps.clone(),
            refused: None,
        }
    }

    /// Loads files that have changed since they were loaded, and not since the last look: whoever writes a
    /// certificate and then its key is let finish.
    pub(super) fn look(&mut self, tls: &Tls) {
        let loaded = tls.loaded();
        let now = Stamps::of(&loaded.settings);
        let is_settled = now == self.seen;
        self.seen = now;
        if !is_settled || self.seen == loaded.stamps || self.refused.as_ref() == Some(&self.seen) {
            return;
        }
        match loaded.settings.load() {
            Ok(new) => {
                self.refused = None;
                tls.adopt(new);
                tracing::info!(
                    "TLS: its files have changed; new connections get what they hold now"
                );
            }
            Err(fault) => {
                self.refused = Some(self.seen.clone());
                tracing::error!("TLS: {fault}; the certificates stay as they were");
            }
        }
    }
}

/// Looks at the files for ever. Reading them takes the time that it takes.
pub(crate) async fn watch(tls: Option<Tls>) {
    let Some(tls) = tls else {
        return std::future::pending().await;
    };
    let mut watch = Watch::new(&tls);
    loop {
        sleep(TLS_WATCH_INTERVAL).await;
        watch.look(&tls);
    }
}
