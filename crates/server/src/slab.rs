//! Connections by slot. In: a value. Out: an id that stops working when the value is gone.
//!
//! Never: gives an old id access to a slot's next tenant.

use mio::Token;

/// A connection's slot and the generation of its tenant, packed into one [`Token`].
///
/// An event can outlive its connection within one `poll` batch; a stale generation makes it miss
/// instead of reaching the slot's next tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConnId {
    slot: u32,
    generation: u32,
}

const _: () = assert!(
    size_of::<ConnId>() == size_of::<Token>(),
    "the server is for 64-bit targets: a poller's token holds slot and generation"
);

impl ConnId {
    pub(crate) const fn slot(self) -> u32 {
        self.slot
    }
}

impl From<ConnId> for Token {
    fn from(id: ConnId) -> Self {
        Self((id.generation as usize) << 32 | id.slot as usize)
    }
}

impl From<Token> for ConnId {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a token")]
    fn from(token: Token) -> Self {
        Self {
            slot: token.0 as u32,
            generation: (token.0 >> 32) as u32,
        }
    }
}

impl std::fmt::Display for ConnId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// On cache lines of its own: a connection's turn would otherwise touch one more, and a neighbour's.
#[derive(Debug)]
#[repr(align(64))]
struct Entry<T> {
    generation: u32,
    tenant: Option<T>,
}

/// Slots that are used again, the latest freed first.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    /// Slots from here on are the reactor's own tokens.
    pub(crate) const SLOTS_MAX: u32 = u32::MAX - 16;

    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// # Panics
    ///
    /// Past [`SLOTS_MAX`](Self::SLOTS_MAX) tenants, more than a process has descriptors.
    pub(crate) fn insert(&mut self, tenant: T) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
            assert!(slot < Self::SLOTS_MAX, "more connections than slots");
            self.entries.push(Entry {
                generation: 0,
                tenant: None,
            });
            slot
        });
        let entry = &mut self.entries[slot as usize];
        entry.tenant = Some(tenant);
        ConnId {
            slot,
            generation: entry.generation,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        let entry = self.entries.get_mut(id.slot as usize)?;
        if entry.generation == id.generation {
            entry.tenant.as_mut()
        } else {
            None
        }
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Option<T> {
        let entry = self.entries.get_mut(id.slot as usize)?;
        if entry.generation != id.generation {
            return None;
        }
        let tenant = entry.tenant.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(tenant)
    }

    /// The id of whoever is in `slot`.
    pub(crate) fn id_at(&self, slot: u32) -> Option<ConnId> {
        let entry = self.entries.get(slot as usize)?;
        entry.tenant.as_ref().map(|_| ConnId {
            slot,
            generation: entry.generation,
        })
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ConnId> {
        (0..)
            .map_while(|slot| ((slot as usize) < self.entries.len()).then_some(slot))
            .filter_map(|slot| self.id_at(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_misses_the_next_tenant() {
        let mut slab = Slab::new();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(second.slot(), first.slot());
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut 'b'));
        assert_eq!(slab.len(), 1);
        assert_eq!(slab.ids().collect::<Vec<_>>(), [second]);
    }

    #[test]
    fn a_token_keeps_slot_and_generation() {
        let mut slab = Slab::new();
        for _ in 0..3 {
            let id = slab.insert(());
            slab.remove(id);
        }
        slab.insert(());
        let id = slab.insert(());
        assert_eq!(ConnId::from(Token::from(id)), id);
    }
}
