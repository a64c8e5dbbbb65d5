//! What compresses and inflates (RFC 7692), shared by a thread's connections. In: one message. Out: what it takes,
//! for as long as it takes.
//!
//! Never: keeps more than a few contexts a thread; those of windows that outlive a message are their connections'.

use std::cell::RefCell;

use fanfare_codec::deflate::{DeflateSettings, Deflaters, Inflaters};

/// Contexts that a thread keeps while nobody needs them.
const IDLE_MAX: usize = 2;
/// Different settings that a thread keeps compressors for.
const SETTINGS_MAX: usize = 4;

thread_local! {
    static DEFLATERS: RefCell<Vec<Deflaters>> = const { RefCell::new(Vec::new()) };
    static INFLATERS: RefCell<Option<Inflaters>> = const { RefCell::new(None) };
}

pub(crate) fn with_deflaters<R>(
    settings: DeflateSettings,
    with: impl FnOnce(&mut Deflaters) -> R,
) -> R {
    DEFLATERS.with_borrow_mut(|all| {
        let at = all.iter().position(|d| d.settings() == settings);
        let at = at.unwrap_or_else(|| {
            if all.len() == SETTINGS_MAX {
                all.remove(0);
            }
            all.push(Deflaters::new(settings, IDLE_MAX));
            all.len() - 1
        });
        with(&mut all[at])
    })
}

pub(crate) fn with_inflaters<R>(with: impl FnOnce(&mut Inflaters) -> R) -> R {
    INFLATERS.with_borrow_mut(|inflaters| {
        with(inflaters.get_or_insert_with(|| Inflaters::new(IDLE_MAX)))
    })
}
